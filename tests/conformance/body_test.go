package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// protocol is what a client and its backend speak.
type protocol struct {
	name  string
	route func(objects string) string
	http2 bool
}

var protocols = []protocol{
	{"HTTP/1.1", func(objects string) string { return objects }, false},
	{"HTTP/2", func(objects string) string {
		return strings.Replace(objects, "port: 80}]", "port: 80, appProtocol: kubernetes.io/h2c}]", 1)
	}, true},
}

// client returns a transport that speaks the protocol.
func (p protocol) client(t *testing.T) http.RoundTripper {
	transport := &http.Transport{Protocols: p.versions()}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// backend starts a server that speaks the protocol and returns its address.
func (p protocol) backend(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = p.versions()
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (p protocol) versions() *http.Protocols {
	versions := new(http.Protocols)
	versions.SetHTTP1(!p.http2)
	versions.SetUnencryptedHTTP2(p.http2)
	return versions
}

// upload is a request whose body the test writes.
type upload struct {
	*io.PipeWriter
	request *http.Request
	answers chan answer
}

// upload begins to send a request of unknown length.
func (w *world) upload(client http.RoundTripper, path string, header http.Header, trailers ...string) *upload {
	body, send := io.Pipe()
	u := &upload{PipeWriter: send, request: w.request(http.MethodPost, "app.test", path, ""), answers: make(chan answer, 1)}
	u.request.Body, u.request.ContentLength = body, -1
	for name, values := range header {
		u.request.Header[name] = values
	}
	u.request.Trailer = http.Header{}
	for _, name := range trailers {
		u.request.Trailer[name] = nil
	}
	w.t.Cleanup(func() { _ = send.Close() })
	go func() {
		response, err := client.RoundTrip(u.request)
		if err != nil {
			u.answers <- answer{err: err}
			return
		}
		defer response.Body.Close()
		all, err := io.ReadAll(response.Body)
		u.answers <- answer{status: response.StatusCode, header: response.Header, body: string(all), err: err}
	}()
	return u
}

// The server writes the trailers of a request when its body ends. That must not meet another use
// of the request, because concurrent use of a map ends the process.
func TestTrailersOfAHeldRequestReachTheBackend(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			backend := p.backend(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s %s %v", body, r.Trailer.Get("X-Sum"), err)
			})
			for _, c := range []struct {
				reason string
				end    func(w *world, u *upload)
			}{
				{"the body ends while the request is held", func(w *world, u *upload) {
					_ = u.Close()
					w.ready("app", backend)
				}},
				{"the body ends as the request is forwarded", func(w *world, u *upload) {
					closed := make(chan struct{})
					go func() { defer close(closed); _ = u.Close() }()
					w.ready("app", backend)
					<-closed
				}},
				{"the body ends afterwards", func(w *world, u *upload) {
					w.ready("app", backend)
					w.held("default/app", 0)
					_ = u.Close()
				}},
			} {
				t.Run(c.reason, func(t *testing.T) {
					w := newWorld(t, p.route(plainRoute))
					client := p.client(t)
					for range 10 {
						u := w.upload(client, "/", nil, "X-Sum")
						fmt.Fprint(u, "abc")
						w.held("default/app", 1)
						u.request.Trailer["X-Sum"] = []string{"7"}
						c.end(w, u)
						(<-u.answers).expect(t, c.reason, http.StatusOK, "abc 7 <nil>")
						w.ready("app")
					}
				})
			}
		})
	}
}

// A streaming callback on a route is for clients that ask for a stream. A body that does not end
// must not keep its request from its backend.
func TestUnfinishedBodiesOnARouteWithAStreamingCallback(t *testing.T) {
	for _, c := range []struct {
		reason, path, kind, accept, first string
	}{
		{"gRPC", "/pkg.Service/Bidi", "application/grpc", "", "\x00\x00\x00\x00\x05hello\n"},
		{"gRPC that begins like JSON", "/pkg.Service/Bidi", "application/grpc+json", "", "{\n"},
		{"a client that says nothing before it is answered", "/", "", "", ""},
		{"JSON lines in both directions", "/lines", "application/json", "", "{\"stream\":true}\n"},
		{"an endless upload on the path of an API", chatPath, "application/json", "", "{\"stream\":true,\n"},
		{"no JSON", "/lines", "text/plain", "", "one\n"},
		{"a client that takes events", "/lines", "text/plain", "text/event-stream", "one\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			p := protocols[1]
			w := newWorld(t, p.route(streamRoute(`message: Waking`)))
			body, send := io.Pipe()
			defer send.Close()
			r := w.request(http.MethodPost, "app.test", c.path, "", "Content-Type", c.kind)
			if c.accept != "" {
				r.Header.Set("Accept", c.accept)
			}
			r.Body = body
			go func() {
				if c.first != "" {
					fmt.Fprint(send, c.first)
				}
				w.held("default/app", 1)
				w.ready("app", p.backend(t, func(w http.ResponseWriter, r *http.Request) {
					control := http.NewResponseController(w)
					w.WriteHeader(http.StatusOK)
					_ = control.Flush()
					lines := bufio.NewScanner(r.Body)
					for lines.Scan() {
						fmt.Fprintf(w, "echo %s\n", lines.Text())
						_ = control.Flush()
					}
				}))
			}()
			response, err := p.client(t).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answers := bufio.NewReader(response.Body)
			for _, text := range []string{c.first, "two\n"} {
				if text == "" {
					continue
				}
				if text != c.first {
					fmt.Fprint(send, text)
				}
				if got, err := answers.ReadString('\n'); got != "echo "+text {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			send.Close()
			if rest, err := io.ReadAll(answers); len(rest) != 0 || err != nil {
				t.Errorf("the end: %q, %v", rest, err)
			}
		})
	}
}

// The placeholder comes at once, and not after megabytes that nothing reads.
func TestPlaceholderDoesNotWaitForABodyThatIsNoStream(t *testing.T) {
	both := route("coldStart: {streamingCallback: {message: Waking}, placeholder: {response: {body: soon}}}")
	for _, c := range []struct{ reason, framing string }{
		{"a large body that is no JSON", "Content-Length: 10000000\r\n\r\n  x"},
		{"a body of unknown length that is no JSON", "Transfer-Encoding: chunked\r\n\r\n3\r\n\r\nx\r\n"},
		{"a body that says that it is too long", "Content-Length: 1000000000\r\n\r\n{"},
		{"a small body that asks for no stream", "Content-Length: 16\r\n\r\n{\"stream\":false}"},
		{"no body", "Content-Length: 0\r\n\r\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, both)
			conn := w.dial()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\n%s", chatPath, c.framing)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("got %+v, %v", response, err)
			}
			if body, err := io.ReadAll(response.Body); string(body) != "soon" {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
}

// The timeouts of a route run from the beginning. They also bound a client that sends slowly, or
// half.
func TestTimeoutsRunWhileTheBodyIsReceived(t *testing.T) {
	const callback = "\ncoldStart: {streamingCallback: {message: Waking}}"
	for _, c := range []struct{ reason, spec, framing string }{
		{"half a body", "timeouts: {readiness: 50ms}", "Content-Length: 1000\r\n\r\nhalf"},
		{"half a body, and a request timeout", "timeouts: {request: 50ms}", "Content-Length: 1000\r\n\r\nhalf"},
		{"a body that is not read ahead", "timeouts: {readiness: 50ms}", "Content-Length: 100000\r\n\r\nhalf"},
		{"half of a streaming candidate", "timeouts: {readiness: 50ms}" + callback, "Content-Length: 1000\r\n\r\n{\"stream\":"},
		{"half of a candidate of unknown length", "timeouts: {request: 50ms}" + callback, "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		{"no candidate", "timeouts: {readiness: 50ms}" + callback, "Content-Length: 1000\r\n\r\nhalf"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, route(c.spec))
			conn := w.dial()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\n%s", chatPath, c.framing)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("got %+v, %v", response, err)
			}
			w.eventually("nothing is in flight", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
		})
	}
}

func TestUnfinishedBodyIsForwardedWhenTheTargetIsReady(t *testing.T) {
	for _, spec := range []string{"coldStart: {maxPendingRequests: 1}", "coldStart: {streamingCallback: {message: Waking}}"} {
		w := newWorld(t, route(spec))
		conn := w.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\nContent-Length: 15\r\n\r\n{\"stream\":", chatPath)
		w.held("default/app", 1)
		got := make(chan string, 1)
		w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) {
			half := make([]byte, 10)
			_, err := io.ReadFull(r.Body, half)
			got <- fmt.Sprintf("%s %v", half, err)
			rest, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %v", rest, err)
		}))
		if half := <-got; half != `{"stream": <nil>` {
			t.Errorf("the first half: %q", half)
		}
		fmt.Fprint(conn, "true}")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != "true} <nil>" {
			t.Errorf("the rest: %q, %v", body, err)
		}
		conn.Close()
	}
}

const spare = `
apiVersion: v1
kind: Service
metadata: {name: spare}
spec: {ports: [{name: http, port: 81}]}
---`

// After the request's own time no backend can answer, so the fallback is not asked.
func TestFallbackIsNotAskedAfterTheRequestTimeout(t *testing.T) {
	for _, c := range []struct{ reason, timeouts, callback, path, body string }{
		{"a held request", "request: 50ms, readiness: 1h", "", "/", "pay"},
		{"no readiness timeout", "request: 50ms", "", "/", "pay"},
		{"an open stream", "request: 5s", "streamingCallback: {message: Waking}, ", chatPath, `{"stream":true,"messages":[]}`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, spare+route("timeouts: {"+c.timeouts+"}\ncoldStart: {"+c.callback+"fallback: {service: {name: spare, port: 81}}}"))
			asked := make(chan struct{}, 1)
			w.ready("spare", w.backend(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
			got := w.do(w.request(http.MethodPost, "app.test", c.path, c.body))
			if c.callback == "" {
				got.expect(t, c.reason, http.StatusGatewayTimeout, "did not become ready in time")
			} else {
				got.expect(t, c.reason, http.StatusOK, "did not become ready in time")
			}
			if len(asked) != 0 {
				t.Error("the fallback was asked")
			}
		})
	}
}

// A route may lose its callback while a request waits to open its stream.
func TestCallbackThatIsRemovedDuringTheInitialDelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("coldStart: {streamingCallback: {message: Waking, initialDelay: 5s}, activationLease: 1h}"))
	begun := make(chan *http.Response, 1)
	go func() {
		defer close(begun)
		response, _ := w.chat(`{"stream":true,"messages":[]}`)
		begun <- response
	}()
	w.held("default/app", 1)
	w.pass(time.Hour)
	w.eventually("the lease is over", func() bool { return !w.counts()["default/app"].Cold })
	w.change(strings.ReplaceAll(service, "name: app", "name: other") + strings.ReplaceAll(plainRoute, "service: app", "service: other"))
	// It takes a new one, for the new target.
	w.eventually("the request has followed its route", func() bool { return w.counts()["default/app"].Cold })
	response := <-begun
	if response == nil {
		t.Fatal("there is no answer")
	}
	w.ready("other", w.backend(answerWith(http.StatusOK, "text/event-stream", answerStream)))
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), `"content":"Waking"`) {
		t.Errorf("the stream is not opened as it was meant to be: %d %q, %v", response.StatusCode, text, err)
	}
}

// The demand of a held request is for the target that it waits for.
func TestLeaseFollowsTheTarget(t *testing.T) {
	wrong := strings.Replace(plainRoute, "service: app", "service: ap", 1)
	w := newWorld(t, wrong)
	w.ready("app", w.backend(say("app")))
	pending := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	w.change(plainRoute)
	(<-pending).expect(t, "the target was mended", http.StatusOK, "app")
	w.eventually("no demand is left", func() bool {
		c := w.counts()["default/app"]
		return !c.Cold && c.Concurrency == 0
	})
}

// TestAnAnswerReachesAClientThatSendsOn: an answer that comes before the end of its request
// survives. The rest of the request is not read, and a reset would lose the answer.
func TestAnAnswerReachesAClientThatSendsOn(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}
	for _, c := range []struct {
		reason string
		ready  bool
		length int64
		want   int
	}{
		{"warm, chunked", true, -1, http.StatusRequestEntityTooLarge},
		{"warm, of a known length", true, 1 << 30, http.StatusRequestEntityTooLarge},
		{"cold, chunked", false, -1, http.StatusGatewayTimeout},
		{"cold, of a known length", false, 1 << 30, http.StatusGatewayTimeout},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, route("timeouts: {readiness: 50ms}"))
			if c.ready {
				w.ready("app", w.backend(refuse))
			}
			for range 10 {
				body, send := io.Pipe()
				go func() {
					for err := error(nil); err == nil; {
						_, err = send.Write(make([]byte, 8<<10))
					}
				}()
				r := w.request(http.MethodPost, "app.test", "/", "")
				r.Body, r.ContentLength = body, c.length
				response, err := w.client.Do(r)
				if err != nil {
					t.Fatalf("the answer is lost: %v", err)
				}
				if response.StatusCode != c.want {
					t.Errorf("status %d, want %d", response.StatusCode, c.want)
				}
				_ = response.Body.Close()
				_ = body.Close()
			}
		})
	}
}

// The answer interrupts a chunk that has not arrived completely. Its client sends the rest before
// it reads the answer.
func TestAnAnswerReachesAClientInTheMiddleOfAChunk(t *testing.T) {
	for name, length := range map[string]string{"chunked": "Transfer-Encoding: chunked", "of a known length": "Content-Length: 1048576"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, route("timeouts: {readiness: 50ms}"))
			conn := w.dial()
			_ = conn.SetDeadline(time.Now().Add(patience))
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\n%s\r\n\r\n%x\r\nthe begin", length, 1<<20)
			first := make([]byte, 1)
			if _, err := io.ReadFull(conn, first); err != nil {
				t.Fatalf("the answer did not come: %v", err)
			}
			for range 16 {
				if _, err := conn.Write(make([]byte, 32<<10)); err != nil {
					t.Fatalf("the rest is not taken: %v", err)
				}
			}
			response, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(first), conn)), nil)
			if err != nil {
				t.Fatalf("the answer is lost: %v", err)
			}
			if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("status %d, body %q, error %v", response.StatusCode, body, err)
			}
		})
	}
}
