package forward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
)

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// refusing is an address that nobody listens at.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestClientLeaves(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	each(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.front.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-arrived
			cancel()
		}()
		if _, err := f.client.Do(r); err == nil { //nolint:bodyclose // there is none
			t.Error("the client got an answer")
		}
		<-left // the backend was told
		if err := f.result(t); !errors.Is(err, context.Canceled) || status(err) != 0 {
			t.Errorf("the exchange ended with %v", err)
		}
	})
}

func TestClientLeavesWhileItSends(t *testing.T) {
	f, got := spy(t, false, nil)
	conn := f.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	_ = conn.Close()
	if err := f.result(t); !errors.Is(err, context.Canceled) || status(err) != 0 {
		t.Errorf("the exchange ended with %v", err)
	}
	<-got
}

func TestBrokenUploadIsTheClientsFault(t *testing.T) {
	f, got := spy(t, false, nil)
	conn := f.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
	defer conn.Close()
	if err := f.result(t); status(err) != http.StatusBadRequest {
		t.Errorf("the exchange ended with %v", err)
	}
	<-got
}

func TestBackendDiesInTheBody(t *testing.T) {
	each(t, func(w http.ResponseWriter, _ *http.Request) {
		hello(w, nil)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, f *fixture) {
		res := f.get(t, "/")
		if body, err := io.ReadAll(res.Body); err == nil || string(body) != "hello" {
			t.Errorf("the client read %q to a clean end", body)
		}
		if err := f.result(t); !errors.Is(err, http.ErrAbortHandler) || status(err) != 0 {
			t.Errorf("the exchange ended with %v", err)
		}
		// The same without a server's connection, as when it is spliced into a stream.
		w, x := httptest.NewRecorder(), &exchange.Exchange{Route: f.route, TLS: f.secure}
		x.Upstream.Target = f.target
		x.Upstream.Slot, _ = f.target.Endpoints.Pick()
		err := f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x)
		if !errors.Is(err, http.ErrAbortHandler) || w.Body.String() != "hello" {
			t.Errorf("with a recorder it ended with %v after %q", err, w.Body)
		}
	})
}

// brokenWriter is a client that takes no body.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (w brokenWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestClientTakesNoBody(t *testing.T) {
	backend := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	f := to(t, backend.Listener.Addr().String())
	x := &exchange.Exchange{Route: f.route}
	x.Upstream.Target = f.target
	x.Upstream.Slot, _ = f.target.Endpoints.Pick()
	err := f.forwarder.ServeExchange(brokenWriter{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil), x)
	if !errors.Is(err, http.ErrAbortHandler) {
		t.Errorf("the exchange ended with %v", err)
	}
}

func TestFailuresNameNothingInternal(t *testing.T) {
	tests := map[string]struct {
		answer string
		status int
	}{
		"NoHTTP":       {"SSH-2.0-server\r\n", 502},
		"NoAnswer":     {"", 502},
		"TornHeader":   {"HTTP/1.1 200 OK\r\nContent-Le", 502},
		"BadSwitching": {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 502},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, tt.answer)
				_ = conn.Close()
			}()
			f := to(t, l.Addr().String())
			res := f.get(t, "/")
			body := read(t, res.Body)
			if res.StatusCode != tt.status || strings.Contains(body, "127.0.0.1") || strings.Contains(body, "http") {
				t.Errorf("status %d with %q", res.StatusCode, body)
			}
			_ = l.Close()
			<-done
		})
	}
}

func TestInvalidUpgradeIsTheClientsFault(t *testing.T) {
	f := to(t, "127.0.0.1:1")
	f.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: \x80\r\n\r\n")
	if err := f.result(t); status(err) != http.StatusBadRequest {
		t.Errorf("the exchange ended with %v", err)
	}
}

func TestRefusedThenUp(t *testing.T) {
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for _, h2c := range []bool{false, true} {
		var dials atomic.Int32
		f := newFixture(backend.Listener.Addr().String())
		f.h2c = h2c
		f.options.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) <= 3 {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		f.start(t)
		res, err := f.client.Post(f.front.URL, "text/plain", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, res.Body); res.StatusCode != 200 || got != "hello" {
			t.Errorf("status %d with %q: the body must be whole after a retry", res.StatusCode, got)
		}
		_ = res.Body.Close()
		if n := dials.Load(); n != 4 {
			t.Errorf("%d dials", n)
		}
	}
}

func TestAnotherEndpoint(t *testing.T) {
	backend := serve(t, false, hello)
	dead := []string{refusing(t), refusing(t), refusing(t)}
	for range 10 {
		f := to(t, append(dead, backend.Listener.Addr().String())...)
		if got := read(t, f.get(t, "/").Body); got != "hello" {
			t.Errorf("got %q", got)
		}
		if err := f.result(t); err != nil {
			t.Error(err)
		}
	}
}

func TestServiceNameIsDialled(t *testing.T) {
	backend := serve(t, false, hello)
	for name, change := range map[string]func(f *fixture){
		"NoDirectPodRouting": func(f *fixture) { f.options.DirectPodRouting = false },
		"NoSlot": func(f *fixture) {
			f.prepare = func(_ http.ResponseWriter, _ *http.Request, x *exchange.Exchange) {
				x.Upstream.Slot.Release()
				x.Upstream.Slot = endpoints.Slot{}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(refusing(t))
			f.target.Address = backend.Listener.Addr().String()
			change(f)
			f.start(t)
			if got := read(t, f.get(t, "/").Body); got != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// bubble runs exchanges under synctest, where time passes only when everything
// waits: no sockets, but connections in memory, and dials by a function.
type bubble struct {
	forwarder *forward.Forwarder
	route     *exchange.Route
	target    *exchange.Target
}

func newBubble(t *testing.T, dial func(ctx context.Context, address string) (net.Conn, error)) *bubble {
	store := endpoints.NewStore()
	store.Update("ns", "svc", map[string][]string{"": {"10.0.0.1:80"}})
	target := &exchange.Target{Endpoints: store.Port(endpoints.Key{Namespace: "ns", Service: "svc"}), Address: "svc.ns:80", ServerName: "svc.ns"}
	o := options()
	o.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) }
	b := &bubble{forwarder: forward.New(o), target: target, route: &exchange.Route{Target: target}}
	t.Cleanup(b.forwarder.Close)
	return b
}

// serve forwards one request and says how it ended, and how long it took.
func (b *bubble) serve(r *http.Request, cold bool) (*httptest.ResponseRecorder, *exchange.Exchange, time.Duration, error) {
	w := &recorder{httptest.NewRecorder(), nil}
	if b, ok := r.Body.(body); ok {
		w.body = b.Reader
	}
	x := &exchange.Exchange{Start: time.Now(), Route: b.route, Cold: cold}
	x.Upstream.Target = b.target
	x.Upstream.Slot, _ = b.target.Endpoints.Pick()
	err := b.forwarder.ServeExchange(w, r, x)
	return w.ResponseRecorder, x, time.Since(x.Start), err
}

func TestConnectingIsGivenUp(t *testing.T) {
	hang := func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	refuse := func(context.Context, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
	tests := map[string]struct {
		reason          string
		dial            func(ctx context.Context, address string) (net.Conn, error)
		cold            bool
		header, request time.Duration
		status          int
		least, most     time.Duration
	}{
		"Refused":   {"a warm backend that is gone", refuse, false, 0, 0, 502, 5 * time.Second, 5300 * time.Millisecond},
		"Dropped":   {"each attempt has its own timeout", hang, false, 0, 0, 502, 5 * time.Second, 6 * time.Second},
		"Cold":      {"a pod that has just started may not listen yet", refuse, true, 0, 0, 502, 30 * time.Second, 30300 * time.Millisecond},
		"Header":    {"the timeouts of the route come first", refuse, true, 2 * time.Second, 0, 504, 2 * time.Second, 2 * time.Second},
		"Request":   {"the timeouts of the route come first", hang, false, 0, 3 * time.Second, 504, 3 * time.Second, 3 * time.Second},
		"TheFirst":  {"of both", hang, false, time.Second, 3 * time.Second, 504, time.Second, time.Second},
		"TheSecond": {"of both", hang, false, 3 * time.Second, time.Second, 504, time.Second, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, tt.dial)
				b.route.ResponseHeader, b.route.Request = tt.header, tt.request
				_, _, took, err := b.serve(httptest.NewRequest(http.MethodPost, "/", strings.NewReader("hello")), tt.cold)
				if status(err) != tt.status {
					t.Errorf("%s: %v", tt.reason, err)
				}
				if took < tt.least || took > tt.most {
					t.Errorf("%s: took %v", tt.reason, took)
				}
			})
		})
	}
}

func TestClientLeavesWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(context.Context, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _, took, err := b.serve(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), true)
		if !errors.Is(err, context.DeadlineExceeded) || status(err) != 0 || took != time.Second {
			t.Errorf("ended with %v after %v", err, took)
		}
	})
}

// backend answers one connection in memory with what it is told to, part by part.
func backend(parts ...func(conn net.Conn)) func(context.Context, string) (net.Conn, error) {
	return func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			for _, part := range parts {
				part(far)
			}
		}()
		return near, nil
	}
}

func after(d time.Duration) func(net.Conn) { return func(net.Conn) { <-time.After(d) } }

func write(s string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, s) }
}

func takes(n int) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, n)) }
}

// takesHead reads until the empty line, byte by byte.
func takesHead(conn net.Conn) {
	var head []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// slowly is a body that comes in parts, unless its read deadline is set.
type slowly struct {
	parts int
	every time.Duration
	ended chan struct{}
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.parts == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.every):
	case <-s.ended:
		return 0, os.ErrDeadlineExceeded
	}
	s.parts--
	return copy(p, "x"), nil
}

// body is one that is not closed.
type body struct{ io.Reader }

func (body) Close() error { return nil }

// recorder is one whose reads can be ended.
type recorder struct {
	*httptest.ResponseRecorder
	body io.Reader
}

func (r *recorder) SetReadDeadline(time.Time) error {
	if s, ok := r.body.(*slowly); ok {
		close(s.ended)
	}
	return nil
}

func TestTimeouts(t *testing.T) {
	const ok, event = "HTTP/1.1 200 OK\r\n\r\n", "data: 1\n\n"
	tests := map[string]struct {
		reason          string
		header, request time.Duration
		body            io.Reader
		length          int64
		backend         []func(net.Conn)
		status          int // of the error
		cut             bool
		took            time.Duration
		got             string
	}{
		"Header": {
			reason: "the backend does not answer",
			header: 2 * time.Second, backend: []func(net.Conn){takesHead, after(time.Minute)},
			status: 504, took: 2 * time.Second,
		},
		"RequestBeforeHeader": {
			reason:  "the backend does not answer",
			request: 2 * time.Second, backend: []func(net.Conn){takesHead, after(time.Minute)},
			status: 504, took: 2 * time.Second,
		},
		"RequestBeforeBody": {
			reason:  "the header was passed on, so all that is left is to cut",
			request: 2 * time.Second, backend: []func(net.Conn){takesHead, write(ok), after(time.Minute)},
			status: 504, cut: true, took: 2 * time.Second,
		},
		"StreamGoesOn": {
			reason: "a stream that has begun is never cut",
			header: 2 * time.Second, request: 2 * time.Second,
			backend: []func(net.Conn){takesHead, write(ok), write(event), after(time.Hour), write(event)},
			took:    time.Hour, got: event + event,
		},
		"HeaderDoesNotMeasureTheBody": {
			reason: "it ends with the header",
			header: 2 * time.Second, backend: []func(net.Conn){takesHead, write(ok), after(time.Hour), write(event)},
			took: time.Hour, got: event,
		},
		"None": {
			reason:  "0 is no bound",
			backend: []func(net.Conn){takesHead, after(24 * time.Hour), write(ok), write(event)},
			took:    24 * time.Hour, got: event,
		},
		"LongUpload": {
			reason: "it is not the backend's turn while the client sends",
			header: 2 * time.Second, body: &slowly{parts: 10, every: time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(10*6 + 5), after(time.Second), write(ok), write(event)},
			took:    10*time.Minute + time.Second, got: event,
		},
		"HeaderAfterLongUpload": {
			reason: "now it is",
			header: 2 * time.Second, body: &slowly{parts: 10, every: time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(10*6 + 5), after(time.Minute)},
			status:  504, took: 10*time.Minute + 2*time.Second,
		},
		"BackendTakesNoBody": {
			reason: "an upload that gets nowhere is the backend's fault",
			header: 2 * time.Second, body: strings.NewReader(strings.Repeat("x", 1<<20)), length: 1 << 20,
			backend: []func(net.Conn){takesHead, after(time.Minute)},
			status:  504, took: 2 * time.Second,
		},
		"RequestMeasuresUploads": {
			reason:  "it bounds everything up to the body",
			request: 90 * time.Second, body: &slowly{parts: 10, every: time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(10*6 + 5), write(ok)},
			status:  504, took: 90 * time.Second,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, backend(tt.backend...))
				b.route.ResponseHeader, b.route.Request = tt.header, tt.request
				if s, ok := tt.body.(*slowly); ok {
					s.ended = make(chan struct{})
				}
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				if tt.body != nil {
					r.Body, r.ContentLength = body{tt.body}, tt.length
				}
				w, x, took, err := b.serve(r, false)
				if status(err) != tt.status || errors.Is(err, http.ErrAbortHandler) != tt.cut {
					t.Errorf("%s: %v", tt.reason, err)
				}
				if took != tt.took {
					t.Errorf("%s: took %v", tt.reason, took)
				}
				if w.Body.String() != tt.got {
					t.Errorf("%s: got %q", tt.reason, w.Body)
				}
				if tt.cut && x.Status != tt.status {
					t.Errorf("%s: recorded as %d", tt.reason, x.Status)
				}
				// Let what is left of the backend end.
				b.forwarder.Close()
				<-time.After(2 * time.Hour)
			})
		})
	}
}

func TestStalledUploadIsInterrupted(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		backend := serve(t, false, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		f := newFixture(backend.Listener.Addr().String())
		f.h2c = h2c
		f.route.Request = 50 * time.Millisecond
		f.start(t)
		out, in := io.Pipe()
		res, err := f.client.Post(f.front.URL, "text/plain", out) // which never ends
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("status %d", res.StatusCode)
		}
		_ = res.Body.Close()
		_ = in.Close()
	}
}

func TestServerNameOfTLS(t *testing.T) {
	names := make(chan string, 4)
	backend := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		names <- fmt.Sprint(r.TLS.ServerName, " ", r.Proto, " ", r.Host)
	})
	f := newFixture(backend.Listener.Addr().String())
	f.secure, f.options.TLS = true, insecure()
	f.start(t)
	host := strings.TrimPrefix(f.front.URL, "http://")
	f.get(t, "/")
	// The same pod behind another Service: a connection of its own.
	f.target.ServerName = "other.ns"
	f.get(t, "/")
	for _, want := range []string{"svc.ns HTTP/2.0 " + host, "other.ns HTTP/2.0 " + host} {
		if got := <-names; got != want {
			t.Errorf("the backend saw %q instead of %q", got, want)
		}
	}
}

func TestCertificateIsVerified(t *testing.T) {
	backend := serveTLS(t, hello)
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	f := newFixture(backend.Listener.Addr().String())
	f.secure = true
	f.start(t)
	if res := f.get(t, "/"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d", res.StatusCode)
	}
	if err := f.result(t); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the log does not say why: %v", err)
	}
}
