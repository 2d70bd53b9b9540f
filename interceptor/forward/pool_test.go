package forward

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a network whose dials wait until they are let through.
type gate struct {
	dials int // begun
	let   chan error
}

func newGate() *gate { return &gate{let: make(chan error)} }

func (g *gate) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	g.dials++ // under synctest.Wait
	select {
	case err := <-g.let:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	near, _ := net.Pipe()
	return near, nil
}

// pool returns a pool of connections through the gate.
func (g *gate) pool(t *testing.T, w way) *pool {
	c := newClient(Options{DialContext: g.dial, MaxIdleConnsPerHost: 1000})
	t.Cleanup(c.close)
	return &c.add(name{address: "one:80"}).pools[w]
}

// wants looks for a connection for a request, and returns what it got.
func (p *pool) wants(ctx context.Context) <-chan delivery {
	got := make(chan delivery, 1)
	go func() {
		c, err := p.get(&call{in: httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)})
		got <- delivery{c, err}
	}()
	synctest.Wait()
	return got
}

func TestDialsAreLimitedPerAddress(t *testing.T) {
	for w, most := range map[way]int{plain: places, secureUpgrade: places, h2c: 1, secure: 1} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			p := g.pool(t, w)
			for range places + 5 {
				p.wants(t.Context())
			}
			if g.dials != most {
				t.Errorf("way %d: %d dials at a time, want %d", w, g.dials, most)
			}
			if other := g.pool(t, w); other.wants(t.Context()) == nil || g.dials != most+1 {
				t.Errorf("way %d: another address waits", w)
			}
		})
	}
}

func TestADialMakesRoomForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, plain)
		var all []<-chan delivery
		for range places + 2 {
			all = append(all, p.wants(t.Context()))
		}
		for i, got := range all {
			g.let <- nil
			synctest.Wait()
			if want := min(places+1+i, len(all)); g.dials != want {
				t.Errorf("%d dials instead of %d", g.dials, want)
			}
			if d := <-got; d.err != nil { // in order of arrival
				t.Error(d.err)
			}
		}
	})
}

func TestFailureIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, plain)
		var all []<-chan delivery
		for range 100 {
			all = append(all, p.wants(t.Context()))
		}
		for range places {
			g.let <- syscall.ECONNREFUSED
		}
		for _, got := range all {
			if d := <-got; !errors.As(d.err, new(*dialError)) {
				t.Fatal(d.err)
			}
		}
		if g.dials != places {
			t.Errorf("%d dials to find out that no one is there", g.dials)
		}
	})
}

// A request that waits for a connection goes when it is over. A connection that comes too
// late for one serves another.
func TestAConnectionServesWhoStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, plain)
		ctx, leave := context.WithCancel(t.Context())
		first, second := p.wants(ctx), p.wants(t.Context())
		leave()
		if d := <-first; !errors.Is(d.err, context.Canceled) {
			t.Error(d.err)
		}
		g.let <- nil
		if d := <-second; d.err != nil {
			t.Error(d.err)
		}
		g.let <- nil
		synctest.Wait()
		if len(p.idle) != 1 || g.dials != 2 {
			t.Errorf("%d idle connections after %d dials", len(p.idle), g.dials)
		}
	})
}

func TestConnectTimeoutIsPerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := connect(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, time.Second)
		for range 2 {
			start := time.Now()
			if _, err := dial(t.Context(), "tcp", "one:80"); !errors.As(err, new(*dialError)) || time.Since(start) != time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
	})
}
