package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is a backend that takes connections one after the other.
func scripted(t *testing.T, serve func(conn net.Conn, in *bufio.Reader)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			serve(conn, bufio.NewReader(conn))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// refusals are answers that a client of events must see: it signs in, stops to ask, or goes
// elsewhere by them.
var refusals = []struct {
	status int
	header http.Header
}{
	{http.StatusUnauthorized, http.Header{"Www-Authenticate": {`Bearer resource_metadata="https://app.test/.well-known"`}}},
	{http.StatusForbidden, http.Header{}},
	{http.StatusMethodNotAllowed, http.Header{"Allow": {"POST"}}},
	{http.StatusFound, http.Header{"Location": {"/login"}}},
	{http.StatusNoContent, http.Header{}},
}

// TestEventSourcesSeeTheRealStatus: where the Model Context Protocol is spoken, by its first
// request. Elsewhere an EventSource asks again after a stream that ended, and then sees it.
func TestEventSourcesSeeTheRealStatus(t *testing.T) {
	for _, refusal := range refusals {
		for path, held := range map[string]bool{"/sse": true, "/servers/1/mcp/sse/": true, "/mcp/v1": true, "/feed": false} {
			t.Run(fmt.Sprint(refusal.status, path), func(t *testing.T) {
				w := newWorld(t, streamRoute("message: Waking"))
				asked := w.request(http.MethodGet, "app.test", path, "", "Accept", "text/event-stream")
				cold := w.later(asked)
				w.held("default/app", 1)
				w.ready("app", w.backend(func(rw http.ResponseWriter, _ *http.Request) {
					for name, values := range refusal.header {
						rw.Header()[name] = values
					}
					rw.WriteHeader(refusal.status)
				}))
				got := <-cold
				if !held {
					ended := refusal.status == http.StatusNoContent // a stream without events
					if got.status != http.StatusOK || got.body != ": keepalive\n" || (got.err == nil) != ended {
						t.Errorf("the stream ended with %d %q, %v", got.status, got.body, got.err)
					}
					got = w.do(asked)
				}
				if got.err != nil || got.status != refusal.status {
					t.Errorf("got %d, %v", got.status, got.err)
				}
				for name := range refusal.header {
					got.expectHeader(t, name, refusal.header.Get(name))
				}
			})
		}
	}
}

// TestContinueIsSentOnce: whichever side asks for the body, and however often.
func TestContinueIsSentOnce(t *testing.T) {
	const asks = "HTTP/1.1 100 Continue\r\n\r\n"
	backends := map[string]func(conn net.Conn, in *bufio.Reader){
		"asks":       func(conn net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(conn, asks) },
		"asks twice": func(conn net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(conn, asks+asks) },
		"asks not":   func(net.Conn, *bufio.Reader) {},
		"asks too late": func(conn net.Conn, in *bufio.Reader) {
			_, _ = in.Peek(1)
			_, _ = io.WriteString(conn, asks)
		},
	}
	for name, begin := range backends {
		for _, length := range []string{"Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
			for _, cold := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %.7s, cold %t", name, length, cold), func(t *testing.T) {
					w := newWorld(t, plainRoute)
					address := scripted(t, func(conn net.Conn, in *bufio.Reader) {
						r, err := http.ReadRequest(in)
						if err != nil {
							return
						}
						begin(conn, in)
						body, _ := io.ReadAll(r.Body)
						fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
					})
					if !cold {
						w.ready("app", address)
					}
					conn := w.dial()
					_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nExpect: 100-continue\r\n"+length)
					answers := bufio.NewReader(conn)
					if cold {
						w.held("default/app", 1)
						w.ready("app", address)
					}
					if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusContinue {
						t.Fatalf("first: %v, %v", res, err)
					}
					body := "hello"
					if strings.HasPrefix(length, "Transfer") {
						body = "5\r\nhello\r\n0\r\n\r\n"
					}
					_, _ = io.WriteString(conn, body)
					res, err := http.ReadResponse(answers, nil)
					if err != nil || res.StatusCode != http.StatusOK {
						t.Fatalf("second: %v, %v", res, err)
					}
					if got, err := io.ReadAll(res.Body); err != nil || string(got) != "hello" {
						t.Errorf("got %q, %v", got, err)
					}
				})
			}
		}
	}
}

// TestCallsOfGRPCGetNoPlaceholder: their clients read no body but gRPC's.
func TestCallsOfGRPCGetNoPlaceholder(t *testing.T) {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	for _, placeholder := range []string{
		`{response: {statusCode: 202, body: "{}", headers: {Content-Type: application/json}}}`,
		`{response: {body: "<p>Starting</p>", headers: {Content-Type: text/html}}}`,
	} {
		for _, media := range []string{"application/grpc", "application/grpc+proto", "application/grpc-web+proto"} {
			for _, spec := range []string{"", ", streamingCallback: {message: Waking}", ", waitingPage: {}", ", maxPendingRequests: 1, overflow: Placeholder"} {
				w := newWorld(t, route("coldStart: {placeholder: "+placeholder+spec+"}"))
				if strings.Contains(spec, "overflow") {
					w.later(w.request(http.MethodGet, "app.test", "/", ""))
					w.held("default/app", 1)
				}
				w.client.Transport = transport
				got := w.do(w.request(http.MethodPost, "app.test", "/pkg.Service/Method", "\x00\x00\x00\x00\x00", "Content-Type", media, "Te", "trailers"))
				got.expect(t, media+spec, http.StatusOK, "")
				got.expectHeader(t, "Content-Type", media)
				got.expectHeader(t, "Grpc-Status", "14")
				if got.body != "" {
					t.Errorf("%s: a call gets the body %q", media, got.body)
				}
			}
		}
	}
}

// TestCallsOfConnectGetNoPlaceholder, for the same reason.
func TestCallsOfConnectGetNoPlaceholder(t *testing.T) {
	w := newWorld(t, route(`coldStart: {placeholder: {response: {statusCode: 200, body: "{}", headers: {Content-Type: application/json}}}}`))
	got := w.do(w.request(http.MethodPost, "app.test", "/pkg.Service/Method", "{}", "Content-Type", "application/json", "Connect-Protocol-Version", "1"))
	got.expect(t, "a call of Connect", http.StatusServiceUnavailable, `{"code":"unavailable","message":"the service is starting"}`)
}

// TestSwitchingProtocolsHasNoLength: whatever the method is (RFC 9110, 8.6).
func TestSwitchingProtocolsHasNoLength(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch} {
		for _, extra := range []string{"", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"} {
			t.Run(method+extra, func(t *testing.T) {
				w := newWorld(t, plainRoute)
				w.ready("app", scripted(t, func(conn net.Conn, in *bufio.Reader) {
					if _, err := http.ReadRequest(in); err == nil {
						_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"+extra+"\r\nhello")
					}
				}))
				conn := w.dial()
				_, _ = io.WriteString(conn, method+" / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				got, err := io.ReadAll(conn)
				head, rest, found := strings.Cut(string(got), "\r\n\r\n")
				if err != nil || !found || rest != "hello" || !strings.HasPrefix(head, "HTTP/1.1 101 ") {
					t.Fatalf("got %q, %v", got, err)
				}
				if strings.Contains(head, "Content-Length") || strings.Contains(head, "Transfer-Encoding") {
					t.Errorf("the head is %q", head)
				}
			})
		}
	}
}

// TestLongListsArrive: no answer is too long for a held client, and no list for one that reads it
// as events.
func TestLongListsArrive(t *testing.T) {
	const (
		text    = 64 << 10
		n       = 300 // more than 16 MiB
		path    = "/v1beta/models/g:streamGenerateContent"
		element = `{"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}`
	)
	one := fmt.Sprintf(element, strings.Repeat("x", text))
	list := "[" + strings.Repeat(one+"\r\n,", n-1) + one + "]"
	for query, want := range map[string]string{"": list, "?alt=sse": strings.Repeat("data: "+one+"\n\n", n)} {
		t.Run(query, func(t *testing.T) {
			w := newWorld(t, streamRoute("message: Waking, interval: 1h"))
			r := w.request(http.MethodPost, "app.test", path+query, `{"contents":[]}`)
			begun := make(chan struct{})
			if query == "" {
				close(begun) // it is held
			}
			trace := &httptrace.ClientTrace{GotFirstResponseByte: sync.OnceFunc(func() {
				if query != "" {
					close(begun)
				}
			})}
			asked := w.later(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
			w.held("default/app", 1)
			<-begun // a request may be held before its body has shown that it asks for a stream
			w.ready("app", w.backend(answerWith(200, "application/json", list)))
			got := <-asked
			if body := got.body[max(0, len(got.body)-len(want)):]; got.err != nil || got.status != http.StatusOK || body != want {
				t.Errorf("status %d, %d bytes of %d, %v", got.status, len(got.body), len(want), got.err)
			}
		})
	}
}
