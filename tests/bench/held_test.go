package bench

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heldRequests is how many requests the comparison holds.
const heldRequests = 5000

// TestHeldRequestsCostLittleMoreThanANetHTTPHandler holds the same requests in a
// bare handler and in the interceptor: memory per request stays within 1.25
// times, and every one is answered after one endpoint becomes ready.
func TestHeldRequestsCostLittleMoreThanANetHTTPHandler(t *testing.T) {
	bare := holdAll(t, "bare")
	ours := holdAll(t, "interceptor")
	ratio := float64(ours) / float64(bare)
	t.Logf("memory of a held request: bare %d B, interceptor %d B, ratio %.2f", bare, ours, ratio)
	if ratio > 1.25 {
		t.Errorf("a held request costs %.2f times a bare handler's", ratio)
	}
}

// holdAll holds requests in a server, returns its memory for each, and releases them.
func holdAll(t *testing.T, role string) int64 {
	p := start(t, role)
	before := p.ask("/memory")

	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok"))
	}))
	var dialled atomic.Int64
	backend.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	backend.Start()
	defer backend.Close()

	conns := make([]net.Conn, heldRequests)
	for i := range conns {
		conn, err := net.Dial("tcp", p.Proxy)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	p.wait("/held", heldRequests)
	each := (p.ask("/memory") - before) / heldRequests

	cpu, start := p.ask("/cpu"), time.Now()
	p.ask("/ready?address=" + url.QueryEscape(backend.Listener.Addr().String()))
	var wg sync.WaitGroup
	var answered atomic.Int64
	for _, conn := range conns {
		wg.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil && response.StatusCode == http.StatusOK {
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("%s: released %d of %d in %s, %s of CPU, %d connections to the backend", role, answered.Load(), heldRequests,
		time.Since(start).Round(time.Millisecond), time.Duration(p.ask("/cpu")-cpu).Round(time.Millisecond), dialled.Load())
	if answered.Load() != heldRequests {
		t.Errorf("%s: %d of %d requests were answered", role, answered.Load(), heldRequests)
	}
	if role != "bare" && dialled.Load() > heldRequests/4 {
		t.Errorf("%d connections for %d requests: connections are not reused", dialled.Load(), heldRequests)
	}
	return each
}
