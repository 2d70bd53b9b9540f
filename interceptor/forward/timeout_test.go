package forward_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
)

// bubble runs exchanges under synctest, where time passes only when everything
// waits: no sockets, but connections in memory, and dials by a function.
type bubble struct {
	forwarder *forward.Forwarder
	route     *exchange.Route
	target    *exchange.Target
}

func newBubble(t *testing.T, dial func(ctx context.Context, address string) (net.Conn, error)) *bubble {
	return newBubbleWith(t, options(), dial)
}

func newBubbleWith(t *testing.T, o forward.Options, dial func(ctx context.Context, address string) (net.Conn, error)) *bubble {
	store := endpoints.NewStore()
	store.Update("ns", "svc", map[string][]string{"": {"10.0.0.1:80"}})
	target := &exchange.Target{Endpoints: store.Port(endpoints.Key{Namespace: "ns", Service: "svc"}), Address: "svc.ns:80", ServerName: "svc.ns"}
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
	x := &exchange.Exchange{Start: time.Now(), Route: b.route, Cold: cold, Body: requestbody.Open(w, r)}
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
		"Dropped":   {"each attempt has its own timeout", hang, false, 0, 0, 502, 30 * time.Second, 32 * time.Second},
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

// A node that is gone is silent, and the pod that replaces the one on it refuses at first.
func TestARequestSurvivesANodeThatIsGone(t *testing.T) {
	for name, tt := range map[string]struct {
		silent, refusing time.Duration // one after the other
		others           int64         // requests that wait as long
		status           int
		most             time.Duration
	}{
		"a silent address":                 {20 * time.Second, 0, 0, 0, 21 * time.Second},
		"then one that refuses":            {12 * time.Second, 4 * time.Second, 0, 0, 17 * time.Second},
		"then one that refuses for long":   {12 * time.Second, time.Hour, 0, http.StatusBadGateway, 18 * time.Second},
		"for no longer than 30 s":          {28 * time.Second, time.Hour, 0, http.StatusBadGateway, 32 * time.Second},
		"while not too many do":            {20 * time.Second, 0, forward.MaxAbsent - 1, 0, 21 * time.Second},
		"and for 5 s while too many do so": {20 * time.Second, 0, forward.MaxAbsent, http.StatusBadGateway, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				answer := backend(takesHead, write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
				b := newBubble(t, func(ctx context.Context, address string) (net.Conn, error) {
					switch since := time.Since(start); {
					case since < tt.silent:
						<-ctx.Done()
						return nil, ctx.Err()
					case since < tt.silent+tt.refusing:
						return nil, syscall.ECONNREFUSED
					}
					return answer(ctx, address)
				})
				b.forwarder.SetAbsent(tt.others)
				_, _, took, err := b.serve(httptest.NewRequest(http.MethodGet, "/", nil), false)
				if status(err) != tt.status || took > tt.most {
					t.Errorf("ended with %v after %s", err, took)
				}
				if left := b.forwarder.SetAbsent(0); left != tt.others {
					t.Errorf("%d requests are counted, want %d", left, tt.others)
				}
			})
		})
	}
}

func TestAFallbackIsNoPodThatJustStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(context.Context, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED })
		b.route.Target = &exchange.Target{}
		_, _, took, err := b.serve(httptest.NewRequest(http.MethodGet, "/", nil), true)
		if status(err) != http.StatusBadGateway || took > 5300*time.Millisecond {
			t.Errorf("ended with %v after %v", err, took)
		}
	})
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

// backend answers one connection in memory, part by part.
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
	then  time.Duration // before the end
	ended chan struct{}
}

func (s *slowly) Read(p []byte) (int, error) {
	pause := s.every
	if s.parts == 0 {
		pause = s.then
	}
	select {
	case <-time.After(pause):
	case <-s.ended:
		return 0, os.ErrDeadlineExceeded
	}
	if s.parts == 0 {
		return 0, io.EOF
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
		upload          time.Duration
		contentType     string
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
		"RequestInTheBody": {
			reason:  "it ends with the last byte of the answer",
			request: 2 * time.Second, backend: []func(net.Conn){takesHead, write(ok), write(event), after(time.Hour), write(event)},
			status: 504, cut: true, took: 2 * time.Second, got: event,
		},
		"RequestUntilTheEnd": {
			reason:  "an answer that comes in time is whole",
			request: 2 * time.Second, backend: []func(net.Conn){takesHead, write(ok), after(time.Second), write(event), after(time.Second - 1), write(event)},
			took: 2*time.Second - 1, got: event + event,
		},
		"HeaderInTheBody": {
			reason:  "a stream that has begun is not cut by it",
			header:  2 * time.Second,
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
			reason:  "it bounds everything",
			request: 90 * time.Second, body: &slowly{parts: 10, every: time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(10*6 + 5), write(ok)},
			status:  504, took: 90 * time.Second,
		},
		"UploadStalls": {
			reason: "the client has sent nothing for long",
			header: 2 * time.Second, upload: 5 * time.Minute, body: &slowly{parts: 3, every: 6 * time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, after(time.Hour)},
			status:  408, took: 5 * time.Minute,
		},
		"UploadStallsLater": {
			reason: "each part begins a new wait",
			upload: 5 * time.Minute, body: &slowly{parts: 3, every: 4 * time.Minute, then: 10 * time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(3 * 6), after(time.Hour)},
			status:  408, took: 17 * time.Minute,
		},
		"UploadIsSlow": {
			reason: "it makes progress",
			upload: 5 * time.Minute, body: &slowly{parts: 10, every: 4 * time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(10*6 + 5), write(ok), write(event)},
			took:    40 * time.Minute, got: event,
		},
		"UploadIsAnswered": {
			reason: "client and backend talk in turns",
			upload: 5 * time.Minute, body: &slowly{parts: 2, every: 10 * time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, write(ok), write(event), takes(2*6 + 5), write(event)},
			took:    20 * time.Minute, got: event + event,
		},
		"UploadOfGRPC": {
			reason: "a call may be silent",
			upload: 5 * time.Minute, contentType: "application/grpc+proto", body: &slowly{parts: 2, every: 10 * time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(2*6 + 5), write(ok), write(event)},
			took:    20 * time.Minute, got: event,
		},
		"UploadIsTaken": {
			reason: "the client has sent everything",
			upload: 5 * time.Minute, body: &slowly{parts: 2, every: time.Minute}, length: -1,
			backend: []func(net.Conn){takesHead, takes(2*6 + 5), after(time.Hour), write(ok), write(event)},
			took:    time.Hour + 2*time.Minute, got: event,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options()
				o.UploadTimeout = tt.upload
				b := newBubbleWith(t, o, backend(tt.backend...))
				b.route.ResponseHeader, b.route.Request = tt.header, tt.request
				if s, ok := tt.body.(*slowly); ok {
					s.ended = make(chan struct{})
				}
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				if tt.body != nil {
					r.Body, r.ContentLength = body{tt.body}, tt.length
				}
				r.Header.Set("Content-Type", tt.contentType)
				w, _, took, err := b.serve(r, false)
				if status(err) != tt.status || errors.Is(err, http.ErrAbortHandler) != tt.cut {
					t.Errorf("%s: %v", tt.reason, err)
				}
				if took != tt.took {
					t.Errorf("%s: took %v", tt.reason, took)
				}
				if w.Body.String() != tt.got {
					t.Errorf("%s: got %q", tt.reason, w.Body)
				}
				// Let the rest of the backend end.
				b.forwarder.Close()
				<-time.After(2 * time.Hour)
			})
		})
	}
}

// The request timeout also ends what waits for a client that does not read, and connections
// that were upgraded.
func TestRequestTimeoutEndsEverything(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for _, err := w.Write([]byte("hello")); err == nil; {
			_, err = w.Write(make([]byte, 64<<10))
		}
	}
	each(t, endless, func(t *testing.T, f *fixture) {
		t.Parallel()
		f.route.Request = 4 * time.Second // the head arrives before
		res := f.get(t, "/")
		if err := f.result(t); status(err) != http.StatusGatewayTimeout || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("ended with %v", err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Errorf("the client read %d bytes to a clean end", n)
		}
	})
	for _, netHTTP := range []bool{false, true} {
		backendLeft := make(chan struct{}, 2)
		overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			_, _ = request(r)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: X\r\n\r\n")
			_, _ = io.Copy(io.Discard, r)
			backendLeft <- struct{}{}
		}, func(t *testing.T, f *fixture) {
			t.Parallel()
			f.options.NetHTTP, f.route.Request = netHTTP, 4*time.Second
			f.start(t)
			conn := f.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 101 ") {
				t.Errorf("got %q", got)
			}
			wait(t, "the backend sees the end", backendLeft)
			if err := f.result(t); err != nil {
				t.Error(err)
			}
		})
	}
}
