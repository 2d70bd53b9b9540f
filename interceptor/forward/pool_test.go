package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// gate is a network whose dials wait until they are let through.
type gate struct {
	mu    sync.Mutex
	dials int // begun
	let   chan error
	conns []*ending
	http2 bool
}

func newGate() *gate { return &gate{let: make(chan error)} }

func (g *gate) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	g.mu.Lock() // its reader has synctest.Wait
	g.dials++
	g.mu.Unlock()
	select {
	case err := <-g.let:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	conn := &ending{Conn: near, ended: make(chan struct{})}
	g.mu.Lock()
	g.conns = append(g.conns, conn)
	g.mu.Unlock()
	if g.http2 {
		// This server sends nothing more.
		go func() { _ = http2.NewFramer(far, far).WriteSettings() }()
		go func() { _, _ = io.Copy(io.Discard, far) }()
	}
	return conn, nil
}

// ending is a connection that tells when it is closed.
type ending struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (e *ending) Close() error {
	e.once.Do(func() { close(e.ended) })
	return e.Conn.Close()
}

func (e *ending) closed() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

// pool returns a pool of connections through the gate.
func (g *gate) pool(t *testing.T, w way) *pool {
	g.http2 = w == h2c
	c := newClient(Options{DialContext: g.dial, MaxIdleConnsPerHost: 1000})
	t.Cleanup(c.close)
	h := c.add(name{address: "one:80"})
	h.named = true
	return &h.pools[w]
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

// TLS may negotiate HTTP/1.1: then all waiters get a connection at once.
func TestABurstIsDialedTogetherOnceHTTP1IsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, plain)
		p.multiplexed = true // as that of TLS
		const requests = 20
		for range requests {
			p.wants(t.Context())
		}
		for _, dials := range []int{1, requests} {
			if g.dials != dials {
				t.Errorf("%d dials, want %d", g.dials, dials)
			}
			g.let <- nil
			synctest.Wait()
		}
	})
}

func TestWhoWaitsForASharedConnectionMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, h2c)
		ctx, leave := context.WithCancel(t.Context())
		first, second := p.wants(ctx), p.wants(ctx)
		leave()
		for _, got := range []<-chan delivery{first, second} {
			if d := <-got; !errors.Is(d.err, context.Canceled) {
				t.Error(d.err)
			}
		}
		// The connection is there for the next one.
		g.let <- nil
		synctest.Wait()
		d := <-p.wants(t.Context())
		if d.err != nil || g.dials != 1 {
			t.Fatalf("%v after %d dials", d.err, g.dials)
		}
		d.connection.(*shared).release()
	})
}

func TestASharedConnectionThatComesTooLateIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, h2c)
		ctx, leave := context.WithCancel(t.Context())
		p.wants(ctx)
		leave()
		synctest.Wait()
		_ = p.host.Close() // its endpoint has gone
		g.let <- nil
		synctest.Wait() // no time passes
		if !g.conns[0].closed() {
			t.Error("it is open")
		}
	})
}

func TestIdleSharedConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, h2c)
		got := p.wants(t.Context())
		g.let <- nil
		s := (<-got).connection.(*shared)
		time.Sleep(2 * idleTimeout)
		if g.conns[0].closed() {
			t.Fatal("it was closed in use")
		}
		s.release()
		time.Sleep(idleTimeout / 2)
		if g.conns[0].closed() {
			t.Error("it was not kept")
		}
		time.Sleep(idleTimeout)
		synctest.Wait()
		if idle := p.host.client.idle.Load(); !g.conns[0].closed() || p.resting != 0 || idle != 0 {
			t.Errorf("closed: %t, %d counted, %d in all", g.conns[0].closed(), p.resting, idle)
		}
	})
}

// A host of no endpoint goes when it is not used, and not before.
func TestAHostWithConnectionsInUseStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, plain)
		hosts := p.host.client.hosts
		got := p.wants(t.Context())
		g.let <- nil
		c := (<-got).connection.(*conn)
		time.Sleep(10 * reapInterval)
		synctest.Wait()
		p.put(c)
		if len(p.idle) != 1 || g.conns[0].closed() || len(hosts) != 1 {
			t.Fatalf("%d idle connections, closed: %t", len(p.idle), g.conns[0].closed())
		}
		p.host.mu.Lock()
		c.idleUntil = time.Now()
		p.host.mu.Unlock()
		time.Sleep(3 * reapInterval)
		synctest.Wait()
		if !g.conns[0].closed() || len(hosts) != 0 {
			t.Errorf("closed: %t, hosts: %d", g.conns[0].closed(), len(hosts))
		}
	})
}

// Clients that leave before their request is sent must not keep a connection for longer than its
// backend does.
func TestAConnectionThatIsGivenBackUnusedDoesNotStayLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := g.pool(t, plain)
		got := p.wants(t.Context())
		g.let <- nil
		p.put((<-got).connection.(*conn))
		until := p.idle[0].idleUntil
		time.Sleep(reapInterval / 2)
		c, w := p.take()
		if w != nil {
			t.Fatal("the connection is not used")
		}
		p.giveBack(c)
		if now := p.idle[0].idleUntil; !now.Equal(until) {
			t.Errorf("it stays for %s more", now.Sub(until))
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
