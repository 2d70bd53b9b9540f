package conformance

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestBusyBackendIsAskedAgain: SDKs come back after a 503 with Retry-After. A client whose
// response is committed cannot.
func TestBusyBackendIsAskedAgain(t *testing.T) {
	const later = `"code":"503"`
	for _, c := range []struct {
		reason     string
		status     int
		retryAfter string // "date" is one that is near
		times      int64
		timeouts   string
		want       string
		asked      int64
	}{
		{"it says when", 503, "1", 1, "", `"content":"Hi"`, 2},
		{"it says a date", 503, "date", 1, "", `"content":"Hi"`, 2},
		{"it says at once, twice", 503, "0", 2, "", `"content":"Hi"`, 3},
		{"it does not say when", 503, "", 1, "", later, 1},
		{"it says nonsense", 503, "-1", 1, "", later, 1},
		{"it says too late", 503, "3600", 1, "", later, 1},
		{"it says after the timeout of the request", 503, "30", 1, "timeouts: {request: 25s}", later, 1},
		{"it says after the timeout of the answer, which is the time of the backend", 503, "11", 1, "timeouts: {responseHeader: 10s}", `"content":"Hi"`, 2},
		{"a limit of requests is the client's affair", 429, "1", 1, "", `"code":"429"`, 1},
		{"so is a failure", 500, "1", 1, "", `"code":"500"`, 1},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, route(c.timeouts+"\ncoldStart: {streamingCallback: {message: Waking, keepaliveMessage: still, interval: 100ms}}"))
			response, events := w.chat(`{"stream":true,"model":"m","messages":[]}`)
			if first := line(t, events); response.StatusCode != http.StatusOK || !strings.Contains(first, "Waking") {
				t.Fatalf("first event: %d %s", response.StatusCode, first)
			}
			var asked atomic.Int64
			w.ready("app", w.backend(func(rw http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); string(body) != `{"stream":true,"model":"m","messages":[]}` {
					t.Errorf("the backend got %q", body)
				}
				if asked.Add(1) > c.times {
					answerWith(200, "text/event-stream", answerStream)(rw, r)
					return
				}
				switch c.retryAfter {
				case "":
				case "date":
					rw.Header().Set("Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat))
				default:
					rw.Header().Set("Retry-After", c.retryAfter)
				}
				rw.WriteHeader(c.status)
				fmt.Fprint(rw, "busy")
			}))
			rest, err := io.ReadAll(events)
			if err != nil || !strings.Contains(string(rest), c.want) || strings.Contains(string(rest), `"error"`) != (c.asked == 1) {
				t.Errorf("got %q, %v, want %s", rest, err, c.want)
			}
			if asked.Load() != c.asked {
				t.Errorf("the backend was asked %d times", asked.Load())
			}
			if c.asked > 1 && !strings.Contains(string(rest), "still") {
				t.Errorf("no keepalive came meanwhile: %q", rest)
			}
		})
	}
}

// TestBusyBackendAnswersAHeldClient: a client that can come back learns when.
func TestBusyBackendAnswersAHeldClient(t *testing.T) {
	w := newWorld(t, streamRoute("message: Waking"))
	held := w.later(w.request(http.MethodPost, "app.test", chatPath, `{"model":"m","messages":[]}`, "Content-Type", "application/json"))
	w.held("default/app", 1)
	w.ready("app", w.backend(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Retry-After", "7")
		rw.WriteHeader(http.StatusServiceUnavailable)
	}))
	got := <-held
	got.expect(t, "the backend's own answer", http.StatusServiceUnavailable, "")
	got.expectHeader(t, "Retry-After", "7")
}

// TestClientThatLeavesABusyBackend frees its place.
func TestClientThatLeavesABusyBackend(t *testing.T) {
	w := newWorld(t, streamRoute("message: Waking, interval: 100ms"))
	response, events := w.chat(`{"stream":true,"messages":[]}`)
	line(t, events)
	var asked atomic.Int64
	w.ready("app", w.backend(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		rw.Header().Set("Retry-After", "50")
		rw.WriteHeader(http.StatusServiceUnavailable)
	}))
	w.eventually("the backend was asked", func() bool { return asked.Load() == 1 })
	_ = response.Body.Close()
	w.eventually("nothing is in flight", func() bool { return w.counts()["default/app"].Concurrency == 0 })
	if lines := w.log.with("request failed"); len(lines) > 0 {
		t.Errorf("the departure is logged as a failure: %q", lines)
	}
}
