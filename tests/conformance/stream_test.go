package conformance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/listen"
)

func streamRoute(callback string) string {
	return route("coldStart: {streamingCallback: {" + callback + "}}")
}

const chatPath = "/v1/chat/completions"

// The first proposal's own scenario: it runs on an httptest.ResponseRecorder,
// and the backend sends one event without a Content-Type.
func TestProposalStreamingScenario(t *testing.T) {
	w := newWorld(t, streamRoute(`message: "Waking up", interval: 100ms`))
	backend := w.backend(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		fmt.Fprint(w, "data: {\"choices\":[]}\n\n")
	})
	r := httptest.NewRequest(http.MethodPost, "http://app.test"+chatPath, strings.NewReader(`{"stream":true,"messages":[]}`))
	recorder := &flushed{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.app.Handler().ServeHTTP(recorder, r)
	}()
	<-recorder.began // a request is held before its body has shown that it asks for a stream
	w.ready("app", backend)
	<-done
	if got := recorder.Header().Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type: got %q", got)
	}
	body := recorder.Body.String()
	message, answer := strings.Index(body, "Waking up"), strings.Index(body, `data: {"choices":[]}`)
	if message < 0 || answer < message {
		t.Errorf("the body is the message, then the backend's chunk: got %q", body)
	}
	if recorder.Header().Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Error("the cold-start header is set")
	}
}

// flushed is a recorder that reports the begin of its response.
type flushed struct {
	*httptest.ResponseRecorder
	once  sync.Once
	began chan struct{}
}

func (f *flushed) Flush() {
	f.ResponseRecorder.Flush()
	f.once.Do(func() { close(f.began) })
}

// chat opens a streaming request and returns its response with the first event read.
func (w *world) chat(body string, headers ...string) (*http.Response, *bufio.Reader) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	r := w.request(http.MethodPost, "app.test", chatPath, body, append([]string{"Content-Type", "application/json"}, headers...)...)
	response, err := w.client.Do(r.WithContext(ctx))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = response.Body.Close() })
	return response, bufio.NewReader(response.Body)
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("reading a line of the stream: %v (got %q)", err, s)
	}
	return strings.TrimSuffix(s, "\n")
}

const answerStream = "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n"

func answerWith(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// The response begins while nothing is ready, with the cold-start header on it:
// it must be set before the commit.
func TestColdStartHeaderIsSetBeforeTheCommit(t *testing.T) {
	w := newWorld(t, streamRoute(`message: Waking, interval: 1h`))
	response, events := w.chat(`{"stream":true,"model":"m","messages":[]}`)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %d", response.StatusCode)
	}
	for name, want := range map[string]string{
		"X-KEDA-HTTP-Cold-Start": "true", "Content-Type": "text/event-stream",
		"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if first := line(t, events); !strings.Contains(first, `"content":"Waking"`) || !strings.Contains(first, `"id":""`) || !strings.Contains(first, `"model":"m"`) {
		t.Errorf("first event: %s", first)
	}
	w.ready("app", w.backend(answerWith(200, "text/event-stream", answerStream)))
	rest, err := io.ReadAll(events)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream ends with the backend's end: %q, %v", rest, err)
	}
	if strings.Contains(string(rest), `"role"`) {
		t.Errorf("a second role confuses SDKs, and is dropped: %q", rest)
	}
}

// A backend's error after the commit is an error event: never masked as a 200
// answer, never copied raw into the stream.
func TestBackendErrorAfterTheCommitIsAnErrorEvent(t *testing.T) {
	for _, c := range []struct {
		reason       string
		status       int
		contentType  string
		body         string
		want, forbid []string
	}{
		{"an API error keeps its message and code", 429, "application/json", `{"error":{"message":"slow down","type":"rate_limit","code":"r1"}}`, []string{`"message":"slow down"`, `"code":"r1"`}, nil},
		{"an HTML page is not copied", 502, "text/html", "<html><b>bad</b></html>", []string{`"error":`, `"code":"502"`}, []string{"<html>"}},
		{"an empty 500", 500, "text/plain", "", []string{`"error":`, `"code":"500"`}, nil},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, streamRoute(`message: Waking, interval: 1h`))
			_, events := w.chat(`{"stream":true,"messages":[]}`)
			line(t, events)
			w.ready("app", w.backend(answerWith(c.status, c.contentType, c.body)))
			rest, err := io.ReadAll(events)
			if err != nil {
				t.Fatalf("reading the stream: %v", err)
			}
			if strings.Contains(string(rest), "[DONE]") {
				t.Errorf("clients take the end for a complete answer: %q", rest)
			}
			for _, want := range c.want {
				if !strings.Contains(string(rest), want) {
					t.Errorf("want %s in %q", want, rest)
				}
			}
			for _, forbid := range c.forbid {
				if strings.Contains(string(rest), "\n"+forbid) || strings.HasPrefix(string(rest), forbid) {
					t.Errorf("raw bytes in %q", rest)
				}
			}
		})
	}
}

// A 2xx that is neither a stream nor the API's JSON is the only answer that is lost: it is
// counted. Failures, which clients read, do not count, nor do answers that pass or are converted.
func TestLostAnswersAreCounted(t *testing.T) {
	scraped := listen.Loopback(t)
	w := newWorldWith(t, streamRoute(`message: Waking, interval: 1h`), listeners{metrics: scraped}, "OTEL_PROM_EXPORTER_ENABLED", "true")
	lost := func() string {
		response, err := w.client.Get("http://" + scraped.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^interceptor_cold_start_lost_answers_total\{.*route_name="app".*\} (\d+)$`).FindSubmatch(body)
		if found == nil {
			return "0"
		}
		return string(found[1])
	}
	for _, c := range []struct {
		reason      string
		status      int
		contentType string
		body, lost  string
	}{
		{"a stream", 200, "text/event-stream", answerStream, "0"},
		{"a stream that is labelled as a page", 200, "text/html", answerStream, "0"},
		{"JSON of the API", 200, "application/json", `{"choices":[{"message":{"content":"Hi"}}]}`, "0"},
		{"an error", 503, "text/html", "<h1>busy</h1>", "0"},
		{"a page", 200, "text/html", "<h1>Log in</h1>", "1"},
		{"sound", 200, "audio/mpeg", "\xff\xfb\x90", "2"},
		{"other JSON", 200, "application/json", `{"ok":true}`, "3"},
		{"text", 200, "text/plain", "Hi", "3"},
		{"nothing", 204, "", "", "3"},
	} {
		w.ready("app")
		_, events := w.chat(`{"stream":true,"messages":[]}`)
		line(t, events)
		w.ready("app", w.backend(answerWith(c.status, c.contentType, c.body)))
		if _, err := io.ReadAll(events); err != nil {
			t.Errorf("%s: reading the stream: %v", c.reason, err)
		}
		w.eventually(c.reason+": lost answers: "+c.lost, func() bool { return lost() == c.lost })
	}
	// The line names the route, the status and the type.
	if lines := w.log.with("replaced by a failure", `"default/app"`, `"contentType"="text/html"`, `"status"=200`); len(lines) != 1 {
		t.Errorf("the page is logged %d times: %q", len(lines), lines)
	}
}

// Servers redirect a path with a slash too many. A client whose response is committed cannot
// follow.
func TestRedirectAfterTheCommitIsFollowed(t *testing.T) {
	const objects = `  rules: [{hosts: [app.test], paths: [{value: /v1}]}]`
	for _, c := range []struct {
		reason, location string
		status           int
		want             string
	}{
		{"to an absolute path", "/v1/redirected", http.StatusTemporaryRedirect, `"content":"Hi"`},
		{"to a relative path", "../redirected?a=b", http.StatusPermanentRedirect, `"content":"Hi"`},
		{"to a URL, by http behind something that ends TLS", "https://app.test/v1/redirected", http.StatusTemporaryRedirect, `"content":"Hi"`},
		{"to the port that is HTTP's anyway", "http://app.test:80/v1/redirected", http.StatusTemporaryRedirect, `"content":"Hi"`},
		{"to the port that is HTTPS' anyway", "https://app.test:443/v1/redirected", http.StatusTemporaryRedirect, `"content":"Hi"`},
		{"to a path that net/url encodes otherwise", "/v1/a%2Fb|c", http.StatusTemporaryRedirect, `"content":"Hi"`},
		{"to another port", "http://app.test:81/v1/redirected", http.StatusTemporaryRedirect, `"error":`},
		{"twice", "/v1/again", http.StatusTemporaryRedirect, `"content":"Hi"`},
		{"to itself", chatPath, http.StatusTemporaryRedirect, `"error":`},
		{"to another host", "http://other.test/v1/redirected", http.StatusTemporaryRedirect, `"error":`},
		{"to a path of another route", "/other", http.StatusTemporaryRedirect, `"error":`},
		{"to nowhere", "", http.StatusTemporaryRedirect, `"error":`},
		{"by a status that makes a GET of a POST", "/v1/redirected", http.StatusSeeOther, `"error":`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, strings.Replace(streamRoute(`message: Waking, interval: 1h`), "  rules: [{hosts: [app.test]}]", objects, 1)+"---\n"+
				strings.NewReplacer("app}", "other}", "rules: [{hosts: [app.test]}]", "rules: [{hosts: [app.test], paths: [{value: /other}]}]").Replace(plainRoute))
			response, events := w.chat(`{"stream":true,"model":"m","messages":[]}`)
			if first := line(t, events); response.StatusCode != http.StatusOK || !strings.Contains(first, "Waking") {
				t.Fatalf("first event: %d %s", response.StatusCode, first)
			}
			w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch {
				case r.URL.Path == "/v1/again":
					http.Redirect(w, r, "/v1/redirected", http.StatusTemporaryRedirect)
				case r.URL.Path == chatPath:
					w.Header().Set("Location", c.location)
					w.WriteHeader(c.status)
				case strings.Contains(r.URL.Path, "|") && r.RequestURI != "/v1/a%2Fb|c":
					t.Errorf("the redirect leads to %s", r.RequestURI)
				case r.Method == http.MethodPost && strings.Contains(string(body), `"model":"m"`):
					answerWith(200, "text/event-stream", answerStream)(w, r)
				}
			}))
			rest, err := io.ReadAll(events)
			if err != nil || !strings.Contains(string(rest), c.want) {
				t.Errorf("got %q, %v, want %s", rest, err, c.want)
			}
		})
	}
}

func TestStreamTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("timeouts: {readiness: 5s}\ncoldStart: {streamingCallback: {message: Waking, interval: 1h}}"))
	response, events := w.chat(`{"stream":true,"messages":[]}`)
	all, err := io.ReadAll(events)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(all), `"code":"504"`) || strings.Contains(string(all), "[DONE]") {
		t.Errorf("the wait ends in an error event: %q, %v", all, err)
	}
}

func TestStreamFallback(t *testing.T) {
	w := newWorld(t, `
apiVersion: v1
kind: Service
metadata: {name: spare}
spec: {ports: [{name: http, port: 81}]}
---`+route("timeouts: {readiness: 50ms}\ncoldStart: {streamingCallback: {message: Waking}, fallback: {service: {name: spare, port: 81}}}"))
	w.ready("spare", w.backend(answerWith(200, "text/event-stream", answerStream)))
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	all, err := io.ReadAll(events)
	if err != nil || !strings.Contains(string(all), `"content":"Hi"`) {
		t.Errorf("the fallback's answer is spliced in: %q, %v", all, err)
	}
}

func TestStructuredRequestsSeeNoText(t *testing.T) {
	for _, more := range []string{`"tools":[{}]`, `"response_format":{"type":"json_object"}`, `"n":2`} {
		t.Run(more, func(t *testing.T) {
			w := newWorld(t, streamRoute(`message: Waking, interval: 1h`))
			_, events := w.chat(`{"stream":true,"messages":[],` + more + `}`)
			if first := line(t, events); first != ": keepalive" {
				t.Errorf("first line: %q", first)
			}
			w.ready("app", w.backend(answerWith(200, "text/event-stream", answerStream)))
			rest, err := io.ReadAll(events)
			if err != nil || strings.Contains(string(rest), "Waking") || !strings.HasSuffix(string(rest), answerStream) {
				t.Errorf("the answer is intact: %q, %v", rest, err)
			}
		})
	}
}

func TestInitialDelayKeepsTheRealStatus(t *testing.T) {
	w := newWorld(t, streamRoute(`message: Waking, initialDelay: 1h`))
	pending := w.later(w.request(http.MethodPost, "app.test", chatPath, `{"stream":true,"messages":[]}`))
	w.held("default/app", 1)
	w.ready("app", w.backend(answerWith(429, "application/json", `{"error":{"message":"no"}}`)))
	(<-pending).expect(t, "a quick failure keeps its status", 429, "no")
}

func TestNotStreamingIsHeld(t *testing.T) {
	for _, c := range []struct{ reason, body, header, value string }{
		{"stream is false", `{"stream":false,"messages":[]}`, "X-A", "b"},
		{"the last duplicate wins", `{"stream":true,"messages":[],"stream":false}`, "X-A", "b"},
		{"malformed JSON", `{"stream":true`, "X-A", "b"},
		{"a nested stream", `{"messages":[],"a":{"stream":true}}`, "X-A", "b"},
		{"text that looks like it", `"\"stream\":true"`, "X-A", "b"},
		{"a cross-origin browser request", `{"stream":true,"messages":[]}`, "Sec-Fetch-Site", "cross-site"},
		{"a compressed body", `{"stream":true,"messages":[]}`, "Content-Encoding", "gzip"},
		{"MCP", `{"stream":true,"messages":[]}`, "Mcp-Session-Id", "1"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, streamRoute(`message: Waking`))
			pending := w.later(w.request(http.MethodPost, "app.test", chatPath, c.body, c.header, c.value))
			w.held("default/app", 1)
			w.ready("app", w.backend(echo))
			got := <-pending
			got.expect(t, c.reason, http.StatusOK, "")
			if got.body != c.body {
				t.Errorf("the body reaches the backend whole: got %q", got.body)
			}
		})
	}
}

// The interceptor reads a request body up to a bound, and the backend gets it whole. It does not
// inspect a body over the limit, and loses no byte of it.
func TestRequestBodyIsReadWithinABoundAndReachesTheBackendWhole(t *testing.T) {
	const bound = "4096"
	begin := func(t *testing.T, size int) (w *world, body string, wake func() (received string)) {
		w = newWorld(t, streamRoute(`message: Waking, interval: 1h`), "KEDA_HTTP_COLD_START_MAX_BODY_BYTES", bound)
		bodies := make(chan string, 1)
		backend := w.backend(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			bodies <- string(b)
			answerWith(200, "text/event-stream", answerStream)(w, r)
		})
		return w, `{"stream":true,"messages":[],"pad":"` + strings.Repeat("x", size) + `"}`, func() string {
			w.ready("app", backend)
			return <-bodies
		}
	}
	t.Run("under the limit it is a stream", func(t *testing.T) {
		w, body, wake := begin(t, 1000)
		_, events := w.chat(body)
		if first := line(t, events); !strings.Contains(first, "Waking") {
			t.Errorf("first line: %q", first)
		}
		if sent := wake(); sent != body {
			t.Errorf("the backend received %d of %d bytes", len(sent), len(body))
		}
	})
	t.Run("over the limit it is held silently", func(t *testing.T) {
		w, body, wake := begin(t, 100_000)
		pending := w.later(w.request(http.MethodPost, "app.test", chatPath, body))
		w.held("default/app", 1)
		if sent := wake(); sent != body {
			t.Errorf("the backend received %d of %d bytes", len(sent), len(body))
		}
		if got := <-pending; strings.Contains(got.body, "Waking") {
			t.Errorf("streamed: got %q", got.body)
		}
	})
}

func TestBackendCutMidStreamIsNoCleanEnd(t *testing.T) {
	w := newWorld(t, streamRoute(`message: Waking, interval: 1h`))
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	line(t, events)
	w.ready("app", w.backend(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[]}\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	if all, err := io.ReadAll(events); err == nil {
		t.Errorf("a cut stream ended cleanly: %q", all)
	}
}
