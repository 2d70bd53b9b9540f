package conformance

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// stalling answers with a head and the begin of a body, and then nothing more.
func stalling(status int, contentType, begin string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, begin)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// The request timeout bounds everything from the arrival to the last byte.
func TestRequestTimeoutBoundsTheWholeAnswer(t *testing.T) {
	const event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n"
	const timeout, streaming = "timeouts: {request: 5s}\n", "coldStart: {streamingCallback: {message: Waking}}\n"
	for _, c := range []struct {
		reason  string
		spec    string
		warm    bool
		backend http.HandlerFunc
		want    string // that the client reads
		cut     bool
	}{
		{"a warm answer is cut", timeout, true, stalling(200, "text/event-stream", event), event, true},
		{"an answer after a hold too", timeout, false, stalling(200, "text/event-stream", event), event, true},
		{"an open stream that waits for JSON gets a failure", timeout + streaming, false, stalling(200, "application/json", `{"id":`), `"code":"504"`, false},
		{"one that waits for an error too", timeout + streaming, false, stalling(500, "application/json", `{"error":`), `"code":"500"`, false},
		{"an open stream with an answer is cut", timeout + streaming, false, stalling(200, "text/event-stream", event), event, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, route(c.spec))
			if c.warm {
				w.ready("app", w.backend(c.backend))
			}
			if strings.Contains(c.spec, "streamingCallback") {
				response, events := w.chat(`{"stream":true,"messages":[]}`)
				line(t, events) // the stream is open
				w.ready("app", w.backend(c.backend))
				body, err := io.ReadAll(events)
				if response.StatusCode != http.StatusOK || !strings.Contains(string(body), c.want) || (err != nil) != c.cut {
					t.Errorf("status %d, %v, with\n%s", response.StatusCode, err, body)
				}
				return
			}
			pending := w.later(w.request(http.MethodPost, "app.test", chatPath, `{"stream":true,"messages":[]}`))
			if !c.warm {
				w.held("default/app", 1)
				w.ready("app", w.backend(c.backend))
			}
			got := <-pending
			if got.status != http.StatusOK || !strings.Contains(got.body, c.want) || (got.err != nil) != c.cut {
				t.Errorf("status %d, %v, with\n%s", got.status, got.err, got.body)
			}
		})
	}
}

func TestRequestTimeoutEndsTunnels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("timeouts: {request: 5s}"))
	left := make(chan struct{})
	w.ready("app", w.backend(func(w http.ResponseWriter, _ *http.Request) {
		defer close(left)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
	answers := bufio.NewReader(conn)
	if response, err := http.ReadResponse(answers, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", response, err)
	}
	if echo, _ := io.ReadAll(answers); string(echo) != "hello" {
		t.Errorf("got %q", echo)
	}
	<-left
}
