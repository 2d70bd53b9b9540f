package scenario

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/role"
)

const (
	// spare is how many file descriptors are left for all but clients, and
	// multiplexed how many requests share a connection of HTTP/2.
	spare, multiplexed = 2000, 200
	// directConnections is over how many of them the backend is measured alone.
	directConnections = 64
	// answerTimeout is when a held request counts as lost.
	answerTimeout = 2 * time.Minute
)

// plainRequest is one request on a connection that stays open.
var plainRequest = []byte("GET / HTTP/1.1\r\nHost: app\r\n\r\n")

// Held is the cost of holding requests and of releasing them.
type Held struct {
	// Requests that were held, and how many of them came over HTTP/2.
	Requests, OverHTTP2 int
	// Lost is how many were not answered with 200, and Err why one was not.
	Lost int64
	Err  error
	// Memory of one held request, in bytes of resident memory. It counts only
	// if none came over HTTP/2.
	Memory int64
	// Took is the time from the endpoint's readiness to the last answer, and CPU
	// what the process spent in it.
	Took, CPU time.Duration
	// Dialled is how many connections the backend accepted.
	Dialled int64
}

// HoldAndRelease holds requests in a separate process: a role.Handler, or a role.Interceptor with
// the options, whose first service must be "app". Then it makes the backend's port with the short
// accept queue ready.
//
// Each request has a separate connection as far as the limit of open files allows, which often is
// 20,000. Those beyond it come over HTTP/2.
func HoldAndRelease(name string, options any, backend *role.Server, requests int, cores ...int) (Held, error) {
	p, err := role.Start(name, options, cores...)
	if err != nil {
		return Held{}, err
	}
	defer p.Stop()
	if err := p.Wait("/started", 1); err != nil {
		return Held{}, err
	}
	h := Held{Requests: requests}
	before, err := p.Ask("/memory")
	if err != nil {
		return h, err
	}
	conns, err := connect(p.Proxy(), requests)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	if err != nil {
		return h, err
	}
	var answers sync.WaitGroup
	var lost failures
	h.OverHTTP2 = requests - len(conns)
	for left := h.OverHTTP2; left > 0; left -= multiplexed {
		client := &http.Transport{
			Protocols: new(http.Protocols), MaxConnsPerHost: 1, HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
		}
		client.Protocols.SetUnencryptedHTTP2(true)
		defer client.CloseIdleConnections()
		for range min(left, multiplexed) {
			answers.Go(func() { lost.note(get(client, p.Proxy())) })
		}
	}
	if err := p.Wait("/held", int64(requests)); err != nil {
		return h, err
	}
	memory, err := p.Ask("/memory")
	if err != nil {
		return h, err
	}
	h.Memory = (memory - before) / int64(requests)
	for _, conn := range conns {
		answers.Go(func() { lost.note(receive(conn)) })
	}

	cpu, err := p.Ask("/cpu")
	if err != nil {
		return h, err
	}
	dialled, err := backend.Ask("/dialled")
	if err != nil {
		return h, err
	}
	begun := time.Now()
	if err := p.Ready("app", backend.Addresses["short"]); err != nil {
		return h, err
	}
	answers.Wait()
	h.Took = time.Since(begun)
	after, err := p.Ask("/cpu")
	if err != nil {
		return h, err
	}
	h.CPU = time.Duration(after - cpu)
	h.Lost, h.Err = lost.n.Load(), lost.one()
	now, err := backend.Ask("/dialled")
	h.Dialled = now - dialled
	return h, err
}

// connect opens connections and sends a request on each, as many as there may be
// open files.
func connect(address string, requests int) ([]net.Conn, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}
	var conns []net.Conn
	for n := range min(requests, max(int(min(files.Cur, 1<<20))-spare, 0)) {
		// One address has 28,000 ports, and those of the last run are not free yet.
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n%8))}}
		conn, err := dialer.Dial("tcp", address)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
		if _, err := conn.Write(plainRequest); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

// Direct returns how long the backend takes for the requests of an ordinary client
// that has a few connections: what a release is compared with.
func Direct(backend *role.Server, requests int) (time.Duration, error) {
	client := &http.Transport{MaxIdleConnsPerHost: directConnections}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var lost failures
	var running sync.WaitGroup
	begun := time.Now()
	for range directConnections {
		running.Go(func() {
			for next.Add(1) <= int64(requests) {
				lost.note(get(client, backend.Addresses["short"]))
			}
		})
	}
	running.Wait()
	if n := lost.n.Load(); n > 0 {
		return 0, fmt.Errorf("%d of %d requests to the backend alone failed: %w", n, requests, lost.one())
	}
	return time.Since(begun), nil
}

// failures counts, and keeps one of them.
type failures struct {
	n   atomic.Int64
	err atomic.Pointer[error]
}

func (f *failures) note(err error) {
	if err != nil {
		f.n.Add(1)
		f.err.Store(&err)
	}
}

func (f *failures) one() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// receive reads one answer that must be "ok", as cheaply as can be.
func receive(conn net.Conn) error {
	var buf [1024]byte
	_ = conn.SetReadDeadline(time.Now().Add(answerTimeout)) // else the read fails
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

// get sends one request that must be answered with "ok".
func get(client *http.Transport, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return err
	}
	r.Host = "app"
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

// Release is a release beside the backend's own time.
type Release struct {
	Held
	// Alone is what the backend took for as many requests, before and after.
	Alone time.Duration
}

// Ratio is how many times as long as the backend alone the release took.
func (r Release) Ratio() float64 { return float64(r.Took) / float64(r.Alone) }

// ReleaseBesideBackend holds requests in an interceptor and releases them. It measures the
// backend alone before and after, because a busy machine stays busy for a while.
func ReleaseBesideBackend(options role.InterceptorOptions, backend *role.Server, requests int, cores ...int) (Release, error) {
	before, err := Direct(backend, requests)
	if err != nil {
		return Release{}, err
	}
	h, err := HoldAndRelease(role.Interceptor, options, backend, requests, cores...)
	if err != nil {
		return Release{}, err
	}
	after, err := Direct(backend, requests)
	return Release{Held: h, Alone: (before + after) / 2}, err
}
