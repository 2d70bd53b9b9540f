package httpserver

import (
	"bufio"
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

func startWith(t *testing.T, o Options, handler http.HandlerFunc) *running {
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
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func TestProtocols(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	})
	for _, test := range []struct {
		reason, url, want string
		protocols         func(*http.Protocols)
	}{
		{"plain HTTP/1.1", "http://" + s.plain, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2 with prior knowledge", "http://" + s.plain, "HTTP/2.0", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"HTTP/1.1 over TLS", "https://" + s.secure, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2 by ALPN", "https://" + s.secure, "HTTP/2.0", func(p *http.Protocols) { p.SetHTTP2(true) }},
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
		// net/http hears nothing of this connection any more, and the handler
		// need not be what keeps it.
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
	s := startWith(t, Options{MaxConnections: 3}, func(http.ResponseWriter, *http.Request) {})
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	kept := dial()
	for range 4 {
		dial() // and sends nothing
		if status, err := get(kept); err != nil || status != http.StatusOK {
			t.Fatalf("the connection that is used last is closed: %d, %v", status, err)
		}
	}
	if status, err := get(dial()); err != nil || status != http.StatusOK {
		t.Errorf("idle connections keep others out: %d, %v", status, err)
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
	l := c.listen(listen.Loopback(t), false)
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
	// The bound is no outage: those who do not end their heads go, not the newcomers.
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
