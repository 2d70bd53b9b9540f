package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// released is how many requests one endpoint is given.
	released = 20_000
	// backlog is the length of its accept queue.
	backlog = 128
	// connections is over how many of them the backend is measured alone.
	connections = 64
	// spare is how many file descriptors are left for all but clients, and multiplexed
	// how many requests share a connection of HTTP/2.
	spare, multiplexed = 2000, 500
)

// TestReleaseOfManyToOneEndpoint holds 20,000 requests and makes one endpoint with a
// short accept queue ready. Every one is answered, within three times of what the
// backend takes for as many requests over 64 connections in the same run; that is the
// median of three.
//
// Each has a connection of its own as far as the limit of open files allows, which
// often is 20,000; those beyond it come over HTTP/2.
func TestReleaseOfManyToOneEndpoint(t *testing.T) {
	backend := start(t, roleBackend)
	// One look is as good as the moment it falls into.
	var ratios []float64
	for range 3 {
		t.Run("look", func(t *testing.T) { ratios = append(ratios, release(t, backend)) })
	}
	if t.Failed() {
		return
	}
	slices.Sort(ratios)
	if middle := ratios[len(ratios)/2]; middle > 3 {
		t.Errorf("the release takes %.2f times as long as the backend alone", middle)
	}
}

// release holds requests in a process of its own, lets them go, and returns how many
// times as long as the backend alone they took.
func release(t *testing.T, backend *process) float64 {
	t.Helper()
	alone := direct(t, backend)

	p := start(t, "interceptor")
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, min(released, max(int(min(files.Cur, 1<<20))-spare, 0)))
	for i := range conns {
		// One address has 28,000 ports, and those of the last run are not free yet.
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}}
		conn, err := dialer.Dial("tcp", p.Proxy)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(plainRequest); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	var wg sync.WaitGroup
	var failed atomic.Int64
	for left := released - len(conns); left > 0; left -= multiplexed {
		client := &http.Transport{
			Protocols: new(http.Protocols), MaxConnsPerHost: 1, HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
		}
		client.Protocols.SetUnencryptedHTTP2(true)
		defer client.CloseIdleConnections()
		for range min(left, multiplexed) {
			wg.Go(func() { note(t, &failed, get(client, p.Proxy)) })
		}
	}
	p.wait("/held", released)
	for _, conn := range conns {
		wg.Go(func() { note(t, &failed, receive(conn)) })
	}

	before, dialled := p.ask("/cpu"), backend.ask("/dialled")
	begin := time.Now()
	p.ask("/ready?address=" + url.QueryEscape(backend.Proxy))
	wg.Wait()
	took, cpu := time.Since(begin), time.Duration(p.ask("/cpu")-before)
	dialled = backend.ask("/dialled") - dialled
	// Before and after: a machine that is busy is so for a while.
	alone = (alone + direct(t, backend)) / 2
	times := float64(took) / float64(alone)
	t.Logf("%d requests, %d of them over HTTP/2: the backend alone %s, released %s, ratio %.2f, %s of CPU, %d connections to the backend",
		released, released-len(conns), alone.Round(time.Millisecond), took.Round(time.Millisecond), times, cpu.Round(time.Millisecond), dialled)
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests were not answered", n, released)
	}
	if cpu > 3*5*time.Second { // the goal is 5 s
		t.Errorf("the release costs %s of CPU", cpu)
	}
	return times
}

// note counts failures, and shows a few.
func note(t *testing.T, failed *atomic.Int64, err error) {
	if err != nil && failed.Add(1) <= 5 {
		t.Log(err)
	}
}

// direct is how long the backend takes for the requests of an ordinary client that
// has a few connections.
func direct(t *testing.T, backend *process) time.Duration {
	t.Helper()
	client := &http.Transport{MaxIdleConnsPerHost: connections}
	defer client.CloseIdleConnections()
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range connections {
		wg.Go(func() {
			for next.Add(1) <= released {
				note(t, &failed, get(client, backend.Proxy))
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d requests to the backend alone failed", n)
	}
	return time.Since(begin)
}

// plainRequest is one request on a connection that stays open.
var plainRequest = []byte("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")

// receive reads one answer that must be "ok", as cheaply as can be.
func receive(conn net.Conn) error {
	var buf [1024]byte
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute)) // else the read says so
	for n := 0; ; {
		more, err := conn.Read(buf[n:])
		n += more
		switch {
		case bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200 OK\r\n")) && bytes.HasSuffix(buf[:n], []byte("\r\n\r\nok")):
			return nil
		case err != nil || n == len(buf):
			return fmt.Errorf("got %q: %w", buf[:n], err)
		}
	}
}

// get is one request that must be answered with "ok".
func get(client *http.Transport, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return err
	}
	response, err := client.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(text) != "ok" {
		return fmt.Errorf("status %d with %q: %w", response.StatusCode, text, err)
	}
	return nil
}

// roleBackend is a server that answers at once, and has a short accept queue.
const roleBackend = "backend"

// serveBackend answers every request at once.
func serveBackend(ctx context.Context, l net.Listener, mux *http.ServeMux) error {
	// Whoever calls listen again changes the length of the queue.
	socket, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := errors.Join(socket.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), backlog) }), failed); err != nil {
		return err
	}
	var dialled atomic.Int64
	mux.HandleFunc("/dialled", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, dialled.Load()) })
	mux.HandleFunc("/started", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, 1) })
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				dialled.Add(1)
			}
		},
	}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
