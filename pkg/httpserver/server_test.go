package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/go-logr/logr/testr"

	"github.com/kedacore/http-add-on/tests/support/certificate"
	frames2 "github.com/kedacore/http-add-on/tests/support/frames"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

// running is a server with a plain and a TLS listener.
type running struct {
	*Server
	plain, secure string
}

func start(t *testing.T, handler http.HandlerFunc) *running {
	t.Helper()
	return startWith(t, Options{}, handler)
}

// startWith starts a server that prepare may change before.
func startWith(t *testing.T, o Options, handler http.HandlerFunc, prepare ...func(*connections)) *running {
	t.Helper()
	dir := t.TempDir()
	certificate.Write(t, dir+"/tls.crt", dir+"/tls.key", "default.test")
	certificates, err := LoadCertificates(CertificateFiles{Cert: dir + "/tls.crt", Key: dir + "/tls.key"})
	if err != nil {
		t.Fatal(err)
	}
	plain, secure := listen.Loopback(t), listen.Loopback(t)
	o.TLS, o.Log = &tls.Config{GetCertificate: certificates.Get}, testr.New(t)
	s := New(handler, o)
	for _, change := range prepare {
		change(s.connections)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(plain); err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	serving.Go(func() {
		if err := s.ServeTLS(secure); err != nil {
			t.Errorf("serving TLS ended with %v", err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		// Whatever a test left open is cut.
		_ = s.Shutdown(ctx)
		serving.Wait()
	})
	return &running{Server: s, plain: plain.Addr().String(), secure: secure.Addr().String()}
}

// client speaks one protocol only.
func client(t *testing.T, set func(*http.Protocols)) *http.Client {
	t.Helper()
	var protocols http.Protocols
	set(&protocols)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "tls.test"}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func TestProtocols(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
		if r.TLS != nil {
			_, _ = io.WriteString(w, " "+r.TLS.ServerName)
		}
	})
	for _, test := range []struct {
		reason, url, want string
		protocols         func(*http.Protocols)
	}{
		{"plain HTTP/1.1", "http://" + s.plain, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2 with prior knowledge", "http://" + s.plain, "HTTP/2.0", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"HTTP/1.1 over TLS", "https://" + s.secure, "HTTP/1.1 tls.test", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2 by ALPN", "https://" + s.secure, "HTTP/2.0 tls.test", func(p *http.Protocols) { p.SetHTTP2(true) }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			response, err := client(t, test.protocols).Get(test.url)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || string(body) != test.want {
				t.Errorf("the server saw %q (%v), want %q", body, err, test.want)
			}
		})
	}
}

func TestPlainRequestsToTLSAreExplained(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) { t.Error("a plain request is served") })
	conn, err := net.Dial("tcp", s.secure)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if status, err := get(conn); err != nil || status != http.StatusBadRequest {
		t.Errorf("answered with %d, %v", status, err)
	}
}

// refused waits until a listener is closed.
func refused(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Fatalf("%s still accepts connections", address)
}

func TestShutdownWaitsForRequests(t *testing.T) {
	for _, test := range []struct {
		reason    string
		protocols func(*http.Protocols)
	}{
		{"HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			arrived, answer := make(chan struct{}), make(chan struct{})
			s := start(t, func(w http.ResponseWriter, _ *http.Request) {
				close(arrived)
				<-answer
				_, _ = io.WriteString(w, "whole")
			})
			got := make(chan string, 1)
			go func() {
				response, err := client(t, test.protocols).Get("http://" + s.plain)
				if err != nil {
					got <- err.Error()
					return
				}
				defer response.Body.Close()
				body, _ := io.ReadAll(response.Body)
				got <- string(body)
			}()
			<-arrived
			stopped := make(chan error, 1)
			go func() { stopped <- s.Shutdown(context.Background()) }()
			refused(t, s.plain)
			refused(t, s.secure)
			select {
			case err := <-stopped:
				t.Fatalf("shut down with %v while a request is in flight", err)
			default:
			}
			close(answer)
			if body := <-got; body != "whole" {
				t.Errorf("the request in flight got %q, want its answer", body)
			}
			if err := <-stopped; err != nil {
				t.Errorf("shutting down: %v", err)
			}
		})
	}
}

// hijack upgrades a connection of a server whose handler echoes until it ends.
func hijack(t *testing.T, secure bool) (*running, net.Conn, *bufio.Reader) {
	t.Helper()
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijacking: %v", err)
			return
		}
		// net/http no longer reads this connection, and the handler need not be what keeps it
		// open.
		go func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, rw)
		}()
	})
	var conn net.Conn
	var err error
	if secure {
		conn, err = tls.Dial("tcp", s.secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	} else {
		conn, err = net.Dial("tcp", s.plain)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrading: %v, %v", response, err)
	}
	return s, conn, r
}

func TestShutdownWaitsForHijackedConnections(t *testing.T) {
	for _, test := range []struct {
		reason string
		secure bool
	}{{"plain", false}, {"TLS", true}} {
		t.Run(test.reason, func(t *testing.T) {
			s, conn, r := hijack(t, test.secure)
			stopped := make(chan error, 1)
			go func() { stopped <- s.Shutdown(context.Background()) }()
			refused(t, s.plain)
			if _, err := io.WriteString(conn, "still here\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := r.ReadString('\n'); line != "still here\n" {
				t.Fatalf("the upgraded connection answers %q (%v) during the drain", line, err)
			}
			select {
			case err := <-stopped:
				t.Fatalf("shut down with %v while a hijacked connection is open", err)
			default:
			}
			conn.Close()
			if err := <-stopped; err != nil {
				t.Errorf("shutting down: %v", err)
			}
		})
	}
}

func TestShutdownCutsWhatOutlivesItsBound(t *testing.T) {
	t.Run("a hijacked connection", func(t *testing.T) {
		s, _, r := hijack(t, false)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- s.Shutdown(ctx) }()
		refused(t, s.plain)
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("shutting down returned %v, want the end of its context", err)
		}
		if _, err := r.ReadByte(); err == nil {
			t.Error("the hijacked connection is still open")
		}
	})
	t.Run("a request", func(t *testing.T) {
		arrived, left := make(chan struct{}), make(chan struct{})
		s := start(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(left)
		})
		failed := make(chan error, 1)
		go func() {
			response, err := client(t, func(p *http.Protocols) { p.SetHTTP1(true) }).Get("http://" + s.plain)
			if err == nil {
				response.Body.Close()
			}
			failed <- err
		}()
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("shutting down returned %v, want the end of its context", err)
		}
		if err := <-failed; err == nil {
			t.Error("the request in flight was answered, want a cut connection")
		}
		<-left
	})
}

func TestServeSaysWhichListenerFailed(t *testing.T) {
	l := listen.Loopback(t)
	l.Close()
	err := New(http.NotFoundHandler(), Options{Log: logr.Discard()}).Serve(l)
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v, want an error with the address", err)
	}
}

func TestErrorLogTellsOperatorsOnlyWhatMatters(t *testing.T) {
	for _, test := range []struct {
		reason, line string
		shown        bool
	}{
		{"a port scan", "http: TLS handshake error from 10.0.0.1:1: EOF", false},
		{"an odd query", "http: URL query contains semicolon, which is no longer a supported separator", false},
		{"no file descriptors left", "http: Accept error: too many open files; retrying in 5ms", true},
		{"a panic", "http: panic serving 10.0.0.1:1: boom", true},
	} {
		var shown []string
		log := funcr.New(func(_, args string) { shown = append(shown, args) }, funcr.Options{Verbosity: 0})
		errorLog(log).Print(test.line)
		if got := len(shown) == 1; got != test.shown {
			t.Errorf("%s: logged %q, want shown %v", test.reason, shown, test.shown)
		}
	}
}

// get sends a request on a connection and returns the response's status.
func get(conn net.Conn) (int, error) {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestConnectionsOverTheBoundWait(t *testing.T) {
	arrived, answer := make(chan struct{}, 3), make(chan struct{})
	s := startWith(t, Options{MaxConnections: 2}, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-answer
	})
	results := make(chan error, 3)
	for range 3 {
		conn, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer conn.Close()
			status, err := get(conn)
			if err == nil && status != http.StatusOK {
				err = errors.New("not 200")
			}
			results <- err
		}()
	}
	<-arrived
	<-arrived
	s.connections.mu.Lock()
	open := len(s.connections.open)
	s.connections.mu.Unlock()
	if open != 2 {
		t.Errorf("%d connections are open", open)
	}
	select {
	case <-arrived:
		t.Error("a request arrived on a connection too many")
	default:
	}
	close(answer)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	<-arrived // the one that waited
}

func TestIdleConnectionsMakeRoom(t *testing.T) {
	for _, test := range []struct{ reason, sends string }{
		{"nothing is sent", ""},
		{"a part of a head is sent", "GET / HTT"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			s := startWith(t, Options{MaxConnections: 3}, func(http.ResponseWriter, *http.Request) {}, func(c *connections) { c.patience = 0 })
			// dial returns once the server has the connection, and what it sends.
			dial := func() net.Conn {
				t.Helper()
				conn, err := net.Dial("tcp", s.plain)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				if _, err := io.WriteString(conn, test.sends); err != nil {
					t.Fatal(err)
				}
				s.eventually(t, func(c *connections) bool {
					for open := range c.watched {
						if open.RemoteAddr().String() == conn.LocalAddr().String() {
							return open.client.head.Load() == int64(len(test.sends))
						}
					}
					return false
				})
				return conn
			}
			kept, err := net.Dial("tcp", s.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer kept.Close()
			var dialed []net.Conn
			for n := range 4 {
				if status, err := get(kept); err != nil || status != http.StatusOK {
					t.Fatalf("the connection that is used last is closed: %d, %v", status, err)
				}
				dialed = append(dialed, dial())
				if n >= 2 {
					cut(t, dialed[n-2])
				}
			}
		})
	}
}

// A process that is slow to read must not take a client for idle.
func TestUnreadRequestsAreNotIdle(t *testing.T) {
	c := newConnections(0)
	c.patience = 0
	l := c.listen(listen.Loopback(t), nil)
	defer l.Close()
	accept := func() (client net.Conn, conn *tcpConn) {
		t.Helper()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn = accepted.(*tcpConn)
		c.watch(conn)
		return client, conn
	}
	client, conn := accept()
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); !readable(conn.client.socket); {
		if time.Now().After(deadline) {
			t.Fatal("the request does not arrive")
		}
	}
	if c.evict() {
		t.Error("the server closed a connection with an unread request")
	}
	idle, _ := accept()
	if !c.evict() {
		t.Error("an idle connection is not closed")
	}
	cut(t, idle)
}

// Waiting requests keep no one out: the server sheds the newest one and closes its connection.
func TestWaitingRequestsMakeRoom(t *testing.T) {
	for _, test := range []struct {
		reason    string
		protocols func(*http.Protocols)
		each      int           // requests on a connection
		interval  time.Duration // between sheds that gave no place
	}{
		{"HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }, 1, time.Hour},
		{"HTTP/2", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 1, time.Hour},
		{"many requests on each connection", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 5, time.Millisecond},
	} {
		t.Run(test.reason, func(t *testing.T) {
			const conns = 2
			var mu sync.Mutex
			var waiting []chan struct{}
			shed := func(n int) (shed int) {
				mu.Lock()
				defer mu.Unlock()
				for ; shed < n && len(waiting) > 0; shed++ {
					close(waiting[len(waiting)-1])
					waiting = waiting[:len(waiting)-1]
				}
				return shed
			}
			arrived := make(chan struct{}, conns*test.each)
			s := startWith(t, Options{MaxConnections: conns, Shed: shed}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/warm" {
					return
				}
				end := make(chan struct{})
				mu.Lock()
				waiting = append(waiting, end)
				mu.Unlock()
				arrived <- struct{}{}
				<-end
				ClientOf(r.Context()).Retire()
				w.WriteHeader(http.StatusServiceUnavailable)
			}, func(c *connections) { c.interval = test.interval })
			answers := make(chan error, conns*test.each)
			for range conns {
				c := client(t, test.protocols)
				for range test.each {
					go func() {
						response, err := c.Get("http://" + s.plain + "/wait")
						if err == nil {
							response.Body.Close()
							if response.StatusCode != http.StatusServiceUnavailable {
								err = errors.New(response.Status)
							}
						}
						answers <- err
					}()
					<-arrived
				}
			}
			response, err := client(t, test.protocols).Get("http://" + s.plain + "/warm")
			if err != nil {
				t.Fatalf("requests that wait keep others out: %v", err)
			}
			response.Body.Close()
			mu.Lock()
			left := len(waiting)
			mu.Unlock()
			if test.each == 1 && left != conns-1 {
				t.Errorf("%d requests wait yet, want all but one", left)
			}
			shed(left)
			for range conns * test.each {
				if err := <-answers; err != nil {
					t.Errorf("a request was not shed: %v", err)
				}
			}
		})
	}
}

func TestShutdownEndsWaitingForAPlace(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	s := startWith(t, Options{MaxConnections: 1}, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-answer
	})
	first, err := net.Dial("tcp", s.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	done := make(chan error, 1)
	go func() { _, err := get(first); done <- err }()
	<-arrived
	second, err := net.Dial("tcp", s.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	refused(t, s.plain)
	close(answer)
	if err := errors.Join(<-done, <-stopped); err != nil {
		t.Error(err)
	}
	if _, err := get(second); err == nil {
		t.Error("the connection that waited was served during the shutdown")
	}
}

func TestUpgradedConnectionMayBeHalfClosed(t *testing.T) {
	s, conn, r := hijack(t, false)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s.connections.mu.Lock()
	for c := range s.connections.watched {
		if c.client.phase.Load() == serving {
			t.Error("the client of an upgraded connection is watched")
		}
	}
	s.connections.mu.Unlock()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v", rest, err)
	}
}

// eventually waits until something is true of the open connections.
func (r *running) eventually(t *testing.T, is func(*connections) bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		r.connections.mu.Lock()
		done := is(r.connections)
		r.connections.mu.Unlock()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

// cut waits until the server closes a connection.
func cut(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is not closed: %v", err)
	}
}

// A connection may be closed by another one's goroutine while its own has just read. The
// charge must not outlive it.
func TestClosedConnectionsAreNotCharged(t *testing.T) {
	c := newConnections(0)
	c.maxHeads = 1 << 20
	l := c.listen(listen.Loopback(t), nil)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := accepted.(*tcpConn)
	if !c.received(conn, 4096) || c.heads == 0 {
		t.Error("an open connection is not charged")
	}
	if err := conn.Close(); err != nil || c.heads != 0 {
		t.Errorf("%d bytes are charged once it is closed (%v)", c.heads, err)
	}
	if c.received(conn, 4096) || c.heads != 0 {
		t.Errorf("%d bytes are charged after it was closed", c.heads)
	}
}

// A body that is read with the end of its head costs nothing, however slowly the head is parsed.
// Before that, bystanders lost their connections in a burst of uploads.
func TestBodiesAreNotChargedAsHeads(t *testing.T) {
	const line, end = "POST / HTTP/1.1\r\nHost: test\r\nCookie: ", "\r\n\r\n"
	for _, test := range []struct {
		reason  string
		reads   []string
		charged int // bytes
	}{
		{"a short head and a body", []string{line + end + strings.Repeat("x", 4000)}, 0},
		{"a head that does not end", []string{line + strings.Repeat("c", 4000)}, len(line) + 4000 - freeHead},
		{"a long head and a body", []string{line + strings.Repeat("c", 2000) + end + strings.Repeat("x", 1000)}, len(line) + 2000 - freeHead},
		{"an end that comes later", []string{line + strings.Repeat("c", 2000), end + strings.Repeat("x", 1000)}, len(line) + 2000 - freeHead},
	} {
		t.Run(test.reason, func(t *testing.T) {
			c := newConnections(0)
			c.maxHeads = 1 << 20
			conn := &tcpConn{of: c, client: Client{free: freeHead}}
			c.open[conn] = struct{}{}
			for _, read := range test.reads {
				if !c.read(conn, []byte(read)) {
					t.Fatal("the connection is closed")
				}
			}
			if want := int64(headMemory * test.charged); c.heads != want {
				t.Errorf("%d bytes are charged, want %d", c.heads, want)
			}
		})
	}
}

// Heads that do not end take memory before any handler knows of them.
func TestMemoryOfHeadsIsBounded(t *testing.T) {
	const unit = 4 << 10
	s := startWith(t, Options{MaxHeadMemory: 4 * headMemory * unit}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	begin := func(bytes int) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\nCookie: "+strings.Repeat("x", bytes)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	end := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	used := func(is func(int64) bool) {
		t.Helper()
		s.eventually(t, func(c *connections) bool { return is(c.heads) })
	}
	large := begin(3 * unit)
	used(func(n int64) bool { return n > 2*headMemory*unit })
	small := begin(freeHead / 2)
	if err := end(small); err != nil {
		t.Errorf("a small head is refused: %v", err)
	}
	// The bound does not cause an outage: clients that do not finish their heads go, not the
	// newcomers.
	for range 3 {
		newer := begin(3 * unit)
		cut(t, large)
		used(func(n int64) bool { return n > 2*headMemory*unit })
		if err := end(begin(2 * unit)); err != nil {
			t.Errorf("a newcomer's head is refused: %v", err)
		}
		cut(t, newer)
		large = begin(3 * unit)
		used(func(n int64) bool { return n > 2*headMemory*unit })
	}
	if err := end(large); err != nil {
		t.Errorf("the last large head is refused: %v", err)
	}
	used(func(n int64) bool { return n == 0 })
	again := begin(3 * unit)
	used(func(n int64) bool { return n > 2*headMemory*unit })
	again.Close()
	used(func(n int64) bool { return n == 0 })
	// A body is not a head.
	conn := begin(0)
	if _, err := fmt.Fprintf(conn, "\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 1_000_000)); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.Body.Close() != nil {
		t.Errorf("a large body is refused: %v", err)
	}
}

// An HTTP/2 connection that serves a stream may begin another header block. The server does not
// charge for frames outside of header blocks.
func TestHeaderBlocksAreBounded(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) { headerBlocksAreBounded(t, secure) })
	}
}

func headerBlocksAreBounded(t *testing.T, secure bool) {
	const unit = 4 << 10
	hold := make(chan struct{})
	defer close(hold)
	s := startWith(t, Options{MaxHeadMemory: 4 * headMemory * unit}, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-hold
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	open := func() *frames2.Conn {
		t.Helper()
		var conn net.Conn
		var err error
		if secure {
			conn, err = tls.Dial("tcp", s.secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		} else {
			conn, err = net.Dial("tcp", s.plain)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		c, err := frames2.Open(conn, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	used := func(is func(int64) bool) {
		t.Helper()
		s.eventually(t, func(c *connections) bool { return is(c.heads) })
	}
	// begin sends the begin of a header block of 3 units: GET, http, / and accept-charset.
	begin := func(c *frames2.Conn, stream byte) {
		t.Helper()
		block := append([]byte{0x82, 0x86, 0x84}, bytes.Repeat([]byte{0x8f}, 3*unit)...)
		frame := append([]byte{0, byte(len(block) >> 8), byte(len(block)), 0x01, 0, 0, 0, 0, stream}, block...)
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	request := func(c *frames2.Conn, end bool, path string) uint32 {
		t.Helper()
		stream, err := c.Request(end, frames2.Fields("GET", "test", path)...)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	over := func(c *frames2.Conn, stream uint32) {
		t.Helper()
		if answer, err := c.Wait(stream); err != nil || answer.Status != http.StatusOK {
			t.Errorf("answered with %d, %v", answer.Status, err)
		}
	}
	idle := open()
	oldest := open()
	held := request(oldest, true, "/hold")
	begin(oldest, 3)
	used(func(n int64) bool { return n > 2*headMemory*unit })
	// Bodies, pings and settings are not heads.
	other := open()
	stream := request(other, false, "/")
	for range 8 {
		if err := other.Data(stream, false, make([]byte, unit)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Data(stream, true, nil); err != nil {
		t.Fatal(err)
	}
	over(other, stream)
	for range 4 * unit / 17 {
		if _, err := idle.Write([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}); err != nil { // PING
			t.Fatal(err)
		}
	}
	over(idle, request(idle, true, "/"))
	s.eventually(t, func(c *connections) bool {
		for conn := range c.watched {
			if unfinished := conn.client.head.Load() > 0; unfinished != (conn.RemoteAddr().String() == oldest.LocalAddr().String()) {
				return false
			}
		}
		return len(c.watched) == 3 && c.heads <= 3*headMemory*unit // no one was cut
	})
	// The oldest block makes room.
	newer := open()
	begin(newer, 1)
	if _, err := oldest.Wait(held); err == nil {
		t.Error("the connection with the oldest block is not cut")
	}
	used(func(n int64) bool { return n > 2*headMemory*unit })
	over(idle, request(idle, true, "/"))
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	used(func(n int64) bool { return n == 0 })
}

func TestFrames(t *testing.T) {
	stream := []byte{
		0, 0, 2, 0x0, 0x4, 0, 0, 0, 1, 0xa, 0xa, // DATA, whose flag means something else
		0, 0, 3, 0x1, 0x0, 0, 0, 0, 1, 0xb, 0xb, 0xb, // HEADERS
		0, 0, 0, 0x9, 0x0, 0, 0, 0, 1, // CONTINUATION
		0, 0, 1, 0x9, 0x4, 0, 0, 0, 1, 0xb, // the last one
		0, 0, 0, 0x4, 0x1, 0, 0, 0, 0, // SETTINGS
		0, 0, 0, 0x1, 0x5, 0, 0, 0, 3, // HEADERS of no bytes
	}
	for size := 1; size <= len(stream); size++ {
		var f frames
		blocks, ends := 0, 0
		for rest := stream; len(rest) > 0; {
			part := rest[:min(size, len(rest))]
			rest = rest[len(part):]
			for len(part) > 0 {
				n, block, end, _ := f.next(part)
				for _, b := range part[:n] {
					if (b == 0xb) && block == 0 {
						t.Errorf("in parts of %d bytes a byte of a block is not counted", size)
					}
				}
				blocks += block
				if end {
					ends++
				}
				part = part[n:]
			}
		}
		if blocks != 4 || ends != 2 {
			t.Errorf("in parts of %d bytes: %d bytes of blocks, %d ends, want 4 and 2", size, blocks, ends)
		}
	}
}
