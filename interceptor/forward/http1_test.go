package forward_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// scripted is a backend that plays a script on each connection, n counted from 1, and
// closes it then.
func scripted(t *testing.T, script func(n int, conn net.Conn, r *bufio.Reader)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(conn, nil)
			all.Go(func() {
				defer conn.Close()
				script(n, conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(conn, _ any) bool { _ = conn.(net.Conn).Close(); return true })
		all.Wait()
	})
	return l.Addr().String()
}

// overBoth runs a test with a scripted backend, plain and with TLS.
func overBoth(t *testing.T, script func(n int, conn net.Conn, r *bufio.Reader), test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Run("Plain", func(t *testing.T) { test(t, newFixture(scripted(t, script))) })
	t.Run("TLS", func(t *testing.T) {
		donor := serveTLS(t, hello) // of a certificate
		config := &tls.Config{Certificates: donor.TLS.Certificates, NextProtos: []string{"http/1.1"}}
		f := newFixture(scripted(t, func(n int, conn net.Conn, _ *bufio.Reader) {
			secured := tls.Server(conn, config)
			script(n, secured, bufio.NewReader(secured))
			_ = secured.Close()
		}))
		f.secure, f.options.TLS = true, insecure()
		test(t, f)
	})
}

// request reads a request with its body.
func request(r *bufio.Reader) (*http.Request, string) {
	got, err := http.ReadRequest(r)
	if err != nil {
		return nil, ""
	}
	body, _ := io.ReadAll(got.Body)
	return got, string(body)
}

// watched is a connection that reports when we close it.
type watched struct {
	*net.TCPConn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.TCPConn.Close()
}

// watch makes a fixture report its connections.
func watch(f *fixture) <-chan *watched {
	conns := make(chan *watched, 100)
	f.options.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w := &watched{TCPConn: conn.(*net.TCPConn), closed: make(chan struct{})}
		conns <- w
		return w, nil
	}
	return conns
}

// arrives waits until a connection to a backend has something to read, if only its end. On a busy
// machine that takes a while even over loopback.
func arrives(t *testing.T, conn *watched) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < patient; {
		ready := 0
		err := raw.Control(func(fd uintptr) {
			ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10) // milliseconds
		})
		if err != nil || ready > 0 { // an error: we have closed it
			return
		}
	}
	t.Fatal("nothing arrives")
}

// wait waits for what must happen.
func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patient):
		t.Fatalf("waited in vain: %s", what)
	}
}

// post sends a POST and returns status and body.
func (f *fixture) post(t *testing.T, body string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.front.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res := f.do(t, r)
	return fmt.Sprint(res.StatusCode, " ", read(t, res.Body))
}

func TestConnectionsThatAreNotUsedAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		reason string
		answer string // to the first request
		late   string // sent later
		closes bool
	}{
		"Closed":         {"the backend has closed it", okay, "", true},
		"LateAnswer":     {"an answer that nobody asked for would be the next client's", okay, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false},
		"TwoAnswers":     {"the same in one packet", okay + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "", false},
		"OneByte":        {"any byte does it", okay, "\n", false},
		"LongerThanSaid": {"a body that is longer than its length", okay + "!", "", false},
		"Close":          {"the backend says so", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "", false},
		"HTTP10":         {"connections of HTTP/1.0 end", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "", false},
		"NoIdleTime":     {"the backend keeps nothing", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok", "", false},
		"HeadWithBody":   {"no body follows a 204", "HTTP/1.1 204 No Content\r\n\r\nevil", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var answered, sent chan struct{}
			overBoth(t, func(n int, conn net.Conn, r *bufio.Reader) {
				for {
					if got, _ := request(r); got == nil {
						return
					}
					if n > 1 {
						_, _ = io.WriteString(conn, okay)
						continue
					}
					_, _ = io.WriteString(conn, tt.answer)
					<-answered
					_, _ = io.WriteString(conn, tt.late)
					if tt.closes {
						_ = conn.Close()
					}
					close(sent)
				}
			}, func(t *testing.T, f *fixture) {
				answered, sent = make(chan struct{}), make(chan struct{})
				conns := watch(f)
				f.start(t)
				f.post(t, "hello")
				close(answered)
				wait(t, "the backend goes on", sent)
				if tt.late != "" || tt.closes {
					arrives(t, <-conns)
				}
				// A POST is never repeated: it must get another connection at once.
				if got := f.post(t, "hello"); got != "200 ok" {
					t.Errorf("%s: got %q", tt.reason, got)
				}
			})
		})
	}
}

// The deadline of a request without a body stays on its connection. Once it is over, it hides neither
// an end nor an answer that nobody asked for.
func TestADeadlineThatIsOverHidesNothing(t *testing.T) {
	const over = 50 * time.Millisecond
	for name, late := range map[string]string{"Closed": "", "LateAnswer": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"} {
		t.Run(name, func(t *testing.T) {
			var answered, sent chan struct{}
			overBoth(t, func(n int, conn net.Conn, r *bufio.Reader) {
				for {
					if got, _ := request(r); got == nil {
						return
					}
					_, _ = io.WriteString(conn, okay)
					if n > 1 {
						continue
					}
					<-answered
					if _, _ = io.WriteString(conn, late); late == "" {
						_ = conn.Close()
					}
					close(sent)
				}
			}, func(t *testing.T, f *fixture) {
				answered, sent = make(chan struct{}), make(chan struct{})
				conns := watch(f)
				f.start(t)
				f.post(t, "")
				<-time.After(over)
				close(answered)
				wait(t, "the backend goes on", sent)
				arrives(t, <-conns)
				if got := f.post(t, "hello"); got != "200 ok" {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

// A request that gets the deadline of the one before it may take long, and ends with its own timeout.
func TestTheDeadlineOfTheRequestBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		slow    time.Duration // the second answer; 0 for never
		timeout time.Duration // of the route
		want    string
	}{
		"Slow":    {slow: 60 * time.Millisecond, want: "200 ok"},
		"Timeout": {timeout: 200 * time.Millisecond, want: "504"},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				if got, _ := request(r); got == nil {
					return
				}
				_, _ = io.WriteString(conn, okay)
				if got, _ := request(r); got == nil {
					return
				}
				if tt.slow == 0 {
					_, _ = r.Peek(1) // until the connection ends
					return
				}
				<-time.After(tt.slow)
				_, _ = io.WriteString(conn, okay)
			}, func(t *testing.T, f *fixture) {
				f.route.ResponseHeader = tt.timeout
				f.start(t)
				if got := f.post(t, ""); got != "200 ok" {
					t.Fatalf("the first answer: %q", got)
				}
				if got := f.post(t, ""); !strings.HasPrefix(got, tt.want) {
					t.Errorf("the second answer: %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	var conns atomic.Int32
	overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		conns.Add(1)
		for {
			got, body := request(r)
			if got == nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
	}, func(t *testing.T, f *fixture) {
		conns.Store(0)
		f.start(t)
		for i := range 20 {
			want := strings.Repeat("x", 1+i*5000)
			if got := f.post(t, want); got != "200 "+want {
				t.Errorf("got %d bytes", len(got))
			}
			if err := f.result(t); err != nil {
				t.Error(err)
			}
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reason string
		header string
		end    func(f *fixture, conn net.Conn)
	}{
		"ByTheBackend": {"the backend has closed it", "", func(_ *fixture, conn net.Conn) { _ = conn.Close() }},
		"KeepAlive":    {"the backend is about to", "Keep-Alive: timeout=5\r\n", func(*fixture, net.Conn) {}},
		"EndpointGone": {"connections belong to their endpoint", "", func(f *fixture, _ net.Conn) { f.store.Update("ns", "svc", nil) }},
		"Closed":       {"the forwarder ends", "", func(f *fixture, _ net.Conn) { f.forwarder.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted := make(chan net.Conn, 1)
			overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = request(r)
				accepted <- conn
				_, _ = io.WriteString(conn, strings.Replace(okay, "Content-", tt.header+"Content-", 1))
				_, _ = r.ReadByte()
			}, func(t *testing.T, f *fixture) {
				conns := watch(f)
				f.start(t)
				f.post(t, "")
				_ = f.result(t)
				conn := <-conns
				select {
				case <-conn.closed:
					t.Fatal("it was not kept")
				default:
				}
				tt.end(f, <-accepted)
				wait(t, tt.reason, conn.closed)
			})
		})
	}
}

func TestConnectionInUseGoesWithItsEndpoint(t *testing.T) {
	next := make(chan struct{})
	f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		_, _ = request(r)
		next <- struct{}{}
		<-next
		_, _ = io.WriteString(conn, okay)
		_, _ = r.ReadByte()
	}))
	conns := watch(f)
	f.start(t)
	go func() {
		<-next
		f.store.Update("ns", "svc", nil)
		next <- struct{}{}
	}()
	if got := f.post(t, ""); got != "200 ok" {
		t.Errorf("got %q", got)
	}
	wait(t, "it is closed after the request", (<-conns).closed)
}

func TestIdleConnectionsAreLimited(t *testing.T) {
	for name, tt := range map[string]struct {
		all, perHost, kept int
		h2c                bool
	}{
		"PerHost": {0, 3, 3, false}, "All": {2, 100, 2, false}, "Default": {0, 0, http.DefaultMaxIdleConnsPerHost, false},
		"HTTP2PerHost": {0, 3, 3, true}, "HTTP2All": {2, 100, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			var arrived sync.WaitGroup
			arrived.Add(5)
			backend := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				arrived.Done()
				arrived.Wait()
			}))
			backend.Config.Protocols, backend.Config.HTTP2 = protocols(tt.h2c), &http.HTTP2Config{MaxConcurrentStreams: 1}
			backend.Start()
			t.Cleanup(backend.Close)
			f := newFixture(backend.Listener.Addr().String())
			if tt.h2c {
				f.target.Protocol = exchange.H2C
			}
			f.options.MaxIdleConns, f.options.MaxIdleConnsPerHost = tt.all, tt.perHost
			conns := watch(f)
			f.start(t)
			for range 5 {
				go func() {
					if res, err := f.client.Post(f.front.URL, "", nil); err == nil {
						_ = res.Body.Close()
					}
				}()
			}
			for range 5 {
				_ = f.result(t)
			}
			kept := 0
			for range 5 {
				select {
				case <-(<-conns).closed:
				default:
					kept++
				}
			}
			if kept != tt.kept {
				t.Errorf("%d connections are kept instead of %d", kept, tt.kept)
			}
		})
	}
}

func TestHeadsAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		begin, repeat string
		status        int
	}{
		"ManyFields":   {"HTTP/1.1 200 OK\r\n", "X-Field: value\r\n", 502},
		"LongField":    {"HTTP/1.1 200 OK\r\nX-Field: ", "value", 502},
		"LongStatus":   {"HTTP/1.1 200 ", "OK", 502},
		"NoHTTP":       {"", "x", 502},
		"Hint":         {"HTTP/1.1 103 Early Hints\r\n", "X-Field: value\r\n", 502},
		"EndlessHints": {"", "HTTP/1.1 103 Early Hints\r\n\r\n", 502}, // some are passed on
		"Tiny":         {"HTTP/1.1 200 OK\r\n", "a:\r\n", 502},
		"TooMany":      {"HTTP/1.1 200 OK\r\n" + strings.Repeat("a:\r\n", 1001) + "\r\n", "x", 502},
	} {
		for _, netHTTP := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/nethttp=%t", name, netHTTP), func(t *testing.T) {
				f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
					_, _ = request(r)
					_, err := io.WriteString(conn, tt.begin)
					for many := strings.Repeat(tt.repeat, 100); err == nil; {
						_, err = io.WriteString(conn, many)
					}
				}))
				f.options.NetHTTP, f.options.MaxResponseHeaderBytes = netHTTP, 64<<10
				f.route.ResponseHeader = 10 * time.Second
				f.start(t)
				w, x := httptest.NewRecorder(), &exchange.Exchange{Route: f.route}
				x.Upstream.Target = f.target
				x.Upstream.Slot, _ = f.target.Endpoints.Pick()
				err := f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodPost, "/", nil), x)
				if status(err) != tt.status {
					t.Errorf("ended with %v", err)
				}
			})
		}
	}
}

func TestEarlyAnswerEndsTheUpload(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusRequestEntityTooLarge} {
		each(t, func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no")
		}, func(t *testing.T, f *fixture) {
			// The client sends nothing more, or sends on. net/http's client of HTTP/1.1 may lose
			// an answer then, as tests/conformance has it.
			for _, endless := range []bool{false, f.h2c} {
				body, send := io.Pipe()
				go func() {
					for _, err := io.WriteString(send, "hello"); endless && err == nil; {
						_, err = send.Write(make([]byte, 1<<10))
					}
				}()
				res, err := f.client.Post(f.front.URL, "text/plain", body)
				if err != nil {
					t.Fatal(err)
				}
				if err := f.result(t); err != nil { // before the client has read everything, and leaves
					t.Error(err)
				}
				if got := read(t, res.Body); res.StatusCode != status || got != "no" {
					t.Errorf("status %d with %q", res.StatusCode, got)
				}
				_ = res.Body.Close()
				_ = body.Close()
			}
		})
	}
}

// The rest of a body must not be taken for the next request.
func TestEarlyAnswerEndsTheConnection(t *testing.T) {
	f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		_, _ = http.ReadRequest(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, r)
	}))
	conns := watch(f)
	f.start(t)
	body, send := io.Pipe()
	defer send.Close()
	go func() { _, _ = io.WriteString(send, "hello") }()
	res, err := f.client.Post(f.front.URL, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wait(t, "it is closed", (<-conns).closed)
}

func TestClientLeavesInTheBody(t *testing.T) {
	for _, sends := range []bool{false, true} {
		f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			_, _ = http.ReadRequest(r)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			_, _ = io.Copy(io.Discard, r)
		}))
		conns := watch(f)
		f.start(t)
		head := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		if sends {
			head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello"
		}
		conn := f.raw(t, head)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if err := f.result(t); !errors.Is(err, context.Canceled) && !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("the exchange ended with %v", err)
		}
		wait(t, "it is not used again", (<-conns).closed)
	}
}

func TestExpectContinue(t *testing.T) {
	for name, tt := range map[string]struct {
		reason string
		answer string // before the body
		status int
		body   string // that the backend gets
	}{
		"Asked":     {"the backend asks for the body", "HTTP/1.1 100 Continue\r\n\r\n", 200, "hello"},
		"Silent":    {"the backend does not know 100 Continue", "", 200, "hello"},
		"Refused":   {"the backend wants no body", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 417, ""},
		"OtherHint": {"another 1xx decides nothing", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", 200, "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			bodies := make(chan string, 1)
			f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				got, err := http.ReadRequest(r)
				if err != nil || got.Header.Get("Expect") == "" {
					return
				}
				_, _ = io.WriteString(conn, tt.answer)
				body, _ := io.ReadAll(got.Body)
				bodies <- string(body)
				_, _ = io.WriteString(conn, okay)
			}))
			conns := watch(f)
			f.start(t)
			r, err := http.NewRequest(http.MethodPost, f.front.URL, strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Expect", "100-continue")
			if res := f.do(t, r); res.StatusCode != tt.status {
				t.Errorf("%s: status %d", tt.reason, res.StatusCode)
			}
			if tt.status == http.StatusExpectationFailed {
				wait(t, "the backend may still wait for the body", (<-conns).closed)
			}
			if got := <-bodies; got != tt.body {
				t.Errorf("%s: the backend got %q", tt.reason, got)
			}
		})
	}
}

func TestShortResponsesAreOneWrite(t *testing.T) {
	for name, answer := range map[string]string{
		"Length":  okay,
		"Chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
		"Empty":   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"Events":  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = request(r)
				_, _ = io.WriteString(conn, answer)
			}, func(t *testing.T, f *fixture) {
				f.start(t)
				w, x := &flushes{ResponseRecorder: httptest.NewRecorder()}, &exchange.Exchange{Route: f.route, TLS: f.secure}
				x.Upstream.Target = f.target
				x.Upstream.Slot, _ = f.target.Endpoints.Pick()
				if err := f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x); err != nil || w.n != 0 {
					t.Errorf("%d flushes, %v", w.n, err)
				}
			})
		})
	}
}

// The rest of a chunk may be in a buffer already, and the next read waits all the same.
func TestChunksInPiecesWaitForNothing(t *testing.T) {
	next := make(chan struct{}, 10)
	overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		_, _ = request(r)
		for _, piece := range []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r", "\n5\r\nworld\r\n", "1", "\r\n!\r\n0\r\n", "\r\n"} {
			<-next
			_, _ = io.WriteString(conn, piece)
		}
	}, func(t *testing.T, f *fixture) {
		f.start(t)
		next <- struct{}{}
		res := f.get(t, "/") // the head comes alone
		for _, want := range []string{"hello", "world"} {
			next <- struct{}{}
			b := make([]byte, 5)
			if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != want {
				t.Errorf("got %q, %v", b, err)
			}
		}
		for range 3 {
			next <- struct{}{}
		}
		if rest := read(t, res.Body); rest != "!" {
			t.Errorf("the rest is %q", rest)
		}
	})
}

func TestUpgradeLosesNoByte(t *testing.T) {
	for _, netHTTP := range []bool{false, true} {
		overBoth(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			_, _ = request(r)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: X\r\n\r\nfirst ")
			_, _ = io.Copy(conn, r)
			_, _ = io.WriteString(conn, " last")
		}, func(t *testing.T, f *fixture) {
			f.options.NetHTTP = netHTTP
			f.start(t)
			conn := f.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other/1, x\r\n\r\nearly ")
			answer := bufio.NewReader(conn)
			if res, err := http.ReadResponse(answer, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("got %v, %v", res, err)
			}
			_, _ = io.WriteString(conn, "late")
			_ = conn.(*net.TCPConn).CloseWrite()
			if got := read(t, answer); got != "first early late last" {
				t.Errorf("nethttp %t: got %q", netHTTP, got)
			}
			if err := f.result(t); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHintsAreNotForHTTP10(t *testing.T) {
	f := to(t, scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
		_, _ = request(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+okay)
	}))
	conn := f.raw(t, "GET / HTTP/1.0\r\n\r\n")
	if answer := read(t, conn); !strings.HasPrefix(answer, "HTTP/1.0 200 ") || strings.Contains(answer, "Link") {
		t.Errorf("got %q", answer)
	}
}

// TestChunksOfHTTP10AreDecoded: net/http takes them for the body.
func TestChunksOfHTTP10AreDecoded(t *testing.T) {
	const chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
	for _, c := range []struct {
		reason, answer, want string
		cut                  bool
	}{
		{"chunked", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "hello world", false},
		{"in capitals, beside a connection that is kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTRANSFER-ENCODING: Chunked\r\n\r\n" + chunks, "hello world", false},
		{"behind a long field", "HTTP/1.0 200 OK\r\nX-Long: " + strings.Repeat("x", 10_000) + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "hello world", false},
		{"lines that end with LF", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n" + chunks, "hello world", false},
		{"no chunk", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello world", "", true},
		{"cut", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", true},
		{"another coding is ignored", "HTTP/1.0 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello world", "hello world", false},
		{"a length", "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world", "hello world", false},
		{"neither", "HTTP/1.0 200 OK\r\n\r\n" + chunks, chunks, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = http.ReadRequest(r)
				_, _ = io.WriteString(conn, c.answer)
			}))
			f.start(t)
			res := f.get(t, "/")
			got, err := io.ReadAll(res.Body)
			if string(got) != c.want || (err != nil) != c.cut || res.StatusCode != http.StatusOK {
				t.Errorf("got %d %q %v", res.StatusCode, got, err)
			}
			if err := f.result(t); (err != nil) != c.cut {
				t.Error(err)
			}
		})
	}
}

// TestAnAnswerInPlaceOfContinueArrivesWhole: also if its body comes later, is longer than a
// buffer, or ends with the connection.
func TestAnAnswerInPlaceOfContinueArrivesWhole(t *testing.T) {
	long := strings.Repeat("0123456789", 2000)
	for _, c := range []struct{ reason, head, body string }{
		{"a body after the head", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\n", "0123456789"},
		{"a long body", "HTTP/1.1 413 Content Too Large\r\nContent-Length: 20000\r\n\r\n", long},
		{"a body that ends with the connection", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "bye"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", "bye"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			head := make(chan struct{})
			f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = http.ReadRequest(r)
				_, _ = io.WriteString(conn, c.head)
				<-head
				_, _ = io.WriteString(conn, c.body)
			}))
			f.start(t)
			conn := f.raw(t, "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			close(head)
			if got := read(t, res.Body); got != c.body {
				t.Errorf("got %d bytes of %d", len(got), len(c.body))
			}
			if err := f.result(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMemoryOfHeadsIsBounded: heads that are being read share a bound. Those that are being
// sent are charged, and sent without room too: their backends have done their work.
func TestMemoryOfHeadsIsBounded(t *testing.T) {
	small := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	large := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Long: " + strings.Repeat("x", 20<<10) + "\r\n\r\nok"
	for _, tt := range []struct {
		reason, answer string
		heads          int64
		budget         int64
		status         int
	}{
		{"a large head with room", large, 1 << 20, 30 << 10, 0},
		{"a large head that may take too much while it is read", large, 100 << 10, 30 << 10, 502},
		{"a large head without room while it is sent", large, 1 << 20, 10 << 10, 0},
		{"a small head costs nothing", small, 1, 1, 0},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			f := newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if _, err := io.WriteString(conn, tt.answer); err != nil {
						return
					}
				}
			}))
			budget := requestbody.NewBudget(tt.budget)
			f.options.MaxHeadMemory, f.options.Heads = tt.heads, budget
			f.start(t)
			for range 3 {
				w, x := httptest.NewRecorder(), &exchange.Exchange{Route: f.route}
				x.Upstream.Target = f.target
				x.Upstream.Slot, _ = f.target.Endpoints.Pick()
				err := f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x)
				if status(err) != tt.status || tt.status == 0 && w.Body.String() != "ok" {
					t.Errorf("ended with %v and %q", err, w.Body)
				}
			}
			if !budget.Reserve(int(tt.budget)) {
				t.Error("the budget is not given back")
			}
		})
	}
}

// TestHeadsThatDoNotEndAreCut: a backend that keeps heads open without end takes the room of
// no other's.
func TestHeadsThatDoNotEndAreCut(t *testing.T) {
	for _, tt := range []struct {
		reason      string
		heads, size int // of the backend that does not end
	}{
		{"one large head", 1, 220 << 10},
		{"several", 4, 58 << 10},
		{"many smaller than that of the other backend", 72, 7 << 10},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			const large = 8 << 10
			good := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Large", strings.Repeat("y", large))
			})
			ended := make(chan struct{})
			evil := scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = http.ReadRequest(r)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", tt.size))
				<-ended
			})
			f := newFixture(good.Listener.Addr().String())
			f.options.MaxHeadMemory = 32 * (220 << 10) // what the chart's default has room for
			f.store.Update("ns", "evil", map[string][]string{"": {evil}})
			target := &exchange.Target{Endpoints: f.store.Port(endpoints.Key{Namespace: "ns", Service: "evil"}), ServerName: "evil.ns"}
			f.prepare = func(_ http.ResponseWriter, r *http.Request, x *exchange.Exchange) {
				if r.URL.Path == "/evil" {
					x.Upstream.Target = target
					x.Upstream.Slot, _ = target.Endpoints.Pick()
				}
			}
			f.start(t)
			defer close(ended)
			for range tt.heads {
				f.raw(t, "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
			}
			// One head of the other backend is one too many as soon as all of these have come.
			for begun := time.Now(); time.Since(begun) < patient; {
				if res := f.get(t, "/"); res.StatusCode != http.StatusOK || len(res.Header.Get("X-Large")) != large {
					t.Fatalf("another backend's answer is %s", res.Status)
				}
				if err := f.result(t); err != nil { // of a head that does not end
					if status(err) != http.StatusBadGateway {
						t.Error(err)
					}
					return
				}
			}
			t.Error("no head was cut")
		})
	}
}
