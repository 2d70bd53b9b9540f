package forward

import (
	"container/list"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// idleTimeout is how long a connection is kept for reuse. uvicorn and Node close
	// theirs after 5 s: a request that is sent at that moment is lost.
	idleTimeout = 4 * time.Second
	// reapInterval is how often idle connections are looked at, so that those which the
	// backend has closed do not pile up.
	reapInterval = time.Second
)

// http1 is the client that speaks plain HTTP/1.1. It has a pool of connections per
// endpoint, which goes with that, and one for each other address, while it is of use.
type http1 struct {
	connect                 dialFunc
	maxHead                 int64
	maxIdle, maxIdlePerHost int
	idle                    atomic.Int64    // connections in all pools
	maxHeads                int64           // memory of all heads that are being read; 0 is no bound
	heads                   atomic.Int64    // what they may take of it
	ctx                     context.Context // of dials; ends with close
	cancel                  context.CancelFunc

	mu    sync.Mutex
	pools map[*pool]struct{} // all of them
	named map[string]*pool   // by address: those of no endpoint
}

func newHTTP1(o Options) *http1 {
	h := &http1{
		connect: connect(o.DialContext, o.ConnectTimeout), maxHead: o.MaxResponseHeaderBytes,
		maxHeads: o.MaxHeadMemory, maxIdle: o.MaxIdleConns, maxIdlePerHost: o.MaxIdleConnsPerHost,
		pools: make(map[*pool]struct{}), named: make(map[string]*pool),
	}
	if h.maxIdlePerHost <= 0 {
		h.maxIdlePerHost = http.DefaultMaxIdleConnsPerHost
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// send sends the request of an attempt on a connection of its pool.
func (h *http1) send(a *attempt) (*http.Response, error) {
	p := h.poolOf(a)
	if a.fresh {
		p.purge()
	}
	c, err := p.get(a.call)
	if err != nil {
		failed := &sendError{err: err}
		if errors.As(err, new(*dialError)) {
			failed.reached = refused
		}
		return nil, failed
	}
	return c.send(a)
}

// poolOf returns the pool for an attempt.
func (h *http1) poolOf(a *attempt) *pool {
	if slot := a.x.Upstream.Slot; slot.Valid() && slot.Addr() == a.address {
		if p, ok := slot.Attachment(h.newPool).(*pool); ok && p.client == h && p.address == a.address {
			return p
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.named[a.address]
	if p == nil {
		p = h.add(a.address)
		p.named = true
		h.named[a.address] = p
	}
	return p
}

// newPool returns a pool for an endpoint, which closes it.
func (h *http1) newPool(address string) io.Closer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(address)
}

// add makes a pool. The caller holds the lock.
func (h *http1) add(address string) *pool {
	p := &pool{client: h, address: address, closed: h.ctx.Err() != nil}
	h.pools[p] = struct{}{}
	return p
}

// forget drops a pool that keeps no connections any more.
func (h *http1) forget(p *pool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pools, p)
	if h.named[p.address] == p {
		delete(h.named, p.address)
	}
}

func (h *http1) close() {
	h.cancel()
	h.mu.Lock()
	pools := maps.Clone(h.pools)
	h.mu.Unlock()
	for p := range pools {
		_ = p.Close()
	}
}

// pool is the connections to one address, and the requests that wait for one. It opens
// a few at a time, on goroutines of their own: a connection that comes too late for one
// request serves another. It is safe for concurrent use.
type pool struct {
	client  *http1
	address string
	named   bool // it belongs to no endpoint, and closes when it is not used

	mu      sync.Mutex
	idle    []*conn   // the one that was used last at the end
	waiting list.List // of *waiter, in order of arrival
	dialing int
	reaper  *time.Timer
	reaping bool // the timer runs
	active  bool // since the reaper's last look
	closed  bool // nothing is kept any more
}

// waiter is a request that waits for a connection.
type waiter struct {
	place *list.Element // nil once there is a delivery
	ready chan delivery // buffered
}

// delivery is a connection, or the reason why there is none.
type delivery struct {
	conn *conn
	err  error
}

// get returns a connection: an idle one, or the first that becomes idle or is opened.
// The error is a *dialError unless the call is over.
func (p *pool) get(call *call) (*conn, error) {
	for {
		c, w := p.take()
		if w != nil {
			select {
			case d := <-w.ready:
				if d.err != nil {
					return nil, d.err
				}
				c = d.conn
			case <-call.in.Context().Done():
				p.leave(w)
				return nil, context.Cause(call.in.Context())
			case <-call.clock.done():
				p.leave(w)
				return nil, errTimeout
			}
		}
		if !c.used || c.reusable() {
			return c, nil
		}
		_ = c.socket.Close()
	}
}

// take takes the idle connection that was used last. Without one it joins those who wait.
func (p *pool) take() (*conn, *waiter) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n-- {
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.client.idle.Add(-1)
		if now.Before(c.idleUntil) {
			return c, nil
		}
		_ = c.socket.Close() // the reaper comes later
	}
	w := &waiter{ready: make(chan delivery, 1)}
	w.place = p.waiting.PushBack(w)
	p.grow()
	return nil, w
}

// grow opens a connection if more requests wait than connections are being opened. The
// caller holds the lock.
func (p *pool) grow() {
	if p.dialing < places && p.waiting.Len() > p.dialing {
		p.dialing++
		p.watch()
		go p.open()
	}
}

// open opens a connection. When that fails, the requests that no other dial is for fail
// together, instead of finding out one after the other.
func (p *pool) open() {
	socket, err := p.client.connect(p.client.ctx, "tcp", p.address)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err == nil {
		c := newConn(socket, p)
		c.idle = idleTimeout
		p.keep(c)
	}
	for err != nil && p.waiting.Len() > p.dialing {
		p.deliver(delivery{err: err})
	}
	p.grow()
}

// deliver ends the wait of the first request. The caller holds the lock. It reports
// whether there is one.
func (p *pool) deliver(d delivery) bool {
	first := p.waiting.Front()
	if first == nil {
		return false
	}
	w := p.waiting.Remove(first).(*waiter)
	w.place = nil
	w.ready <- d
	return true
}

// leave ends a wait whose request is over.
func (p *pool) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.place != nil {
		p.waiting.Remove(w.place)
	} else if d := <-w.ready; d.conn != nil {
		p.keep(d.conn)
	}
}

// put takes back a connection that is in order.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(c)
}

// keep gives a connection to the first request that waits, or keeps it for the next one.
// The caller holds the lock.
func (p *pool) keep(c *conn) {
	if p.deliver(delivery{conn: c}) {
		return
	}
	if p.closed || len(p.idle) >= p.client.maxIdlePerHost {
		_ = c.socket.Close()
		return
	}
	if most := p.client.maxIdle; p.client.idle.Add(1) > int64(most) && most > 0 {
		p.client.idle.Add(-1)
		_ = c.socket.Close()
		return
	}
	c.idleUntil = time.Now().Add(c.idle)
	p.idle = append(p.idle, c)
	p.watch()
}

// watch keeps the reaper running. The caller holds the lock.
func (p *pool) watch() {
	if p.active = true; p.reaping {
		return
	}
	p.reaping = true
	if p.reaper == nil {
		p.reaper = time.AfterFunc(reapInterval, p.reap)
	} else {
		p.reaper.Reset(reapInterval)
	}
}

// reap closes idle connections that are too old, or closed by the backend. It runs once
// in an interval in which the pool is used, or has connections.
func (p *pool) reap() {
	if !p.clean() {
		p.client.forget(p)
	}
}

// clean is reap, and reports whether the pool is still of use.
func (p *pool) clean() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.drop(func(c *conn) bool { return !now.Before(c.idleUntil) || !c.reusable() })
	p.reaping = p.active || len(p.idle) > 0 || p.waiting.Len() > 0 || p.dialing > 0
	p.active = false
	if p.reaping {
		p.reaper.Reset(reapInterval)
	} else if p.named {
		p.closed = true
	}
	return !p.closed
}

// purge closes the idle connections.
func (p *pool) purge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(func(*conn) bool { return true })
}

// Close closes the idle connections, and those in use as they become idle.
func (p *pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.drop(func(*conn) bool { return true })
	p.mu.Unlock()
	p.client.forget(p)
	return nil
}

// drop closes idle connections. The caller holds the lock.
func (p *pool) drop(which func(*conn) bool) {
	kept := p.idle[:0]
	for _, c := range p.idle {
		if which(c) {
			_ = c.socket.Close()
			p.client.idle.Add(-1)
		} else {
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
}
