package forward_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
)

// listenShort listens with a queue for as few connections as there can be.
func listenShort(t *testing.T, backlog int) net.Listener {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// counting counts connections, and how many are being opened at a time.
type counting struct {
	dials, failed, now, most atomic.Int64
}

func (c *counting) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.dials.Add(1)
	for now := c.now.Add(1); ; {
		most := c.most.Load()
		if now <= most || c.most.CompareAndSwap(most, now) {
			break
		}
	}
	defer c.now.Add(-1)
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		c.failed.Add(1)
	}
	return conn, err
}

// release holds requests, makes one endpoint ready, and forwards each when it is
// its turn. All must be answered.
func release(t *testing.T, requests int, h2c bool, backend *httptest.Server) *counting {
	t.Helper()
	store := endpoints.NewStore()
	target := &exchange.Target{Endpoints: store.Port(endpoints.Key{Namespace: "ns", Service: "svc"}), ServerName: "svc.ns"}
	if h2c {
		target.Protocol = exchange.H2C
	}
	var dials counting
	o := options()
	o.DialContext = dials.dial
	f := forward.New(o)
	defer f.Close()

	var lost atomic.Int64
	var wg sync.WaitGroup
	for range requests {
		waiter := target.Endpoints.Enqueue(0)
		wg.Go(func() {
			defer waiter.Leave()
			w := httptest.NewRecorder()
			x := &exchange.Exchange{Start: time.Now(), Route: &exchange.Route{Target: target}, Cold: true}
			x.Upstream = exchange.Upstream{Target: target, Slot: <-waiter.C}
			err := f.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x)
			if err != nil || w.Code != http.StatusOK || w.Body.String() != "hello" {
				lost.Add(1)
				t.Logf("status %d, %v", w.Code, err)
			}
		})
	}
	store.Update("ns", "svc", map[string][]string{"": {backend.Listener.Addr().String()}})
	wg.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d of %d requests were lost", n, requests)
	}
	t.Logf("%d requests: %d dials, %d failed, at most %d at a time", requests, dials.dials.Load(), dials.failed.Load(), dials.most.Load())
	return &dials
}

func TestReleaseOfThousandsOpensFewConnections(t *testing.T) {
	const requests = 2000
	for name, tt := range map[string]struct {
		h2c  bool
		most int64
	}{
		"HTTP1": {false, 32},
		"H2C":   {true, 1}, // one connection serves many
	} {
		t.Run(name, func(t *testing.T) {
			dials := release(t, requests, tt.h2c, serve(t, tt.h2c, hello))
			if n := dials.most.Load(); n > tt.most {
				t.Errorf("%d dials at a time", n)
			}
			if n := dials.dials.Load(); n > requests/2 {
				t.Errorf("%d dials", n)
			}
		})
	}
}

func TestReleaseToAShortAcceptQueue(t *testing.T) {
	// A server that takes one connection after the other, like many simple ones.
	backend := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	_ = backend.Listener.Close()
	backend.Listener = listenShort(t, 4)
	backend.Start()
	t.Cleanup(backend.Close)
	release(t, 1000, false, backend)
}
