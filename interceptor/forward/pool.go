package forward

import (
	"container/list"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

const (
	// idleTimeout is how long a connection is kept for reuse. uvicorn and Node close theirs after
	// 5 s, and a request that is sent at that moment is lost.
	idleTimeout = 4 * time.Second
	// places is how many connections are opened at a time to one address. The queue
	// of a fresh server for connections that it has not accepted yet is short.
	places = 32
)

// way is how a backend is spoken to.
type way uint8

const (
	plain  way = iota // HTTP/1.1
	h2c               // HTTP/2 without TLS
	secure            // TLS, and the protocol that is negotiated
	// secureUpgrade is HTTP/1.1 over TLS: HTTP/2 has no upgrades.
	secureUpgrade
	ways
)

// wayOf returns how an attempt speaks to its backend.
func wayOf(a *attempt) way {
	upgrade := a.request.Header["Upgrade"] != nil
	switch {
	case a.x.Secure() && upgrade:
		return secureUpgrade
	case a.x.Secure():
		return secure
	case a.x.Upstream.Target.Protocol == exchange.H2C && !upgrade: // who speaks h2c speaks HTTP/1.1 too
		return h2c
	}
	return plain
}

// pool holds connections of one kind, and the requests that wait for one. It opens a few at a
// time, on separate goroutines, because a connection that comes too late for one request serves
// another. The lock of its host guards it.
type pool struct {
	host *host
	way  way
	// multiplexed says that a connection serves many requests, or may: then one is opened at
	// a time. What TLS negotiates shows with each one.
	multiplexed bool

	idle    []*conn   // the one that was used last at the end
	shared  []*shared // in use or not
	resting int       // how many of those are idle
	waiting list.List // of *waiter, in order of arrival
	dialing int
}

// sender is a connection.
type sender interface {
	send(a *attempt) (*http.Response, error) // as client.send
	// check looks whether the client of a request has left, and whether the connection can
	// take the request if not. One that cannot is closed.
	check(client *httpserver.Client) (left, usable bool)
}

// waiter is a request that waits for a connection.
type waiter struct {
	place *list.Element // nil once there is a delivery
	ready chan delivery // buffered
}

// delivery is a connection, or the reason for the lack of one.
type delivery struct {
	connection sender
	err        error
}

// send sends the request of an attempt once and returns the response, whose body the caller
// closes. A response to an upgrade has a body that is an io.ReadWriteCloser. The error is
// httpserver.ErrLeft or a *sendError.
func (c *client) send(a *attempt) (*http.Response, error) {
	p := &c.hostOf(a).pools[wayOf(a)]
	if a.fresh {
		p.purge()
	}
	connection, err := p.get(a.call)
	switch {
	case errors.Is(err, httpserver.ErrLeft):
		return nil, err
	case errors.As(err, new(*dialError)):
		return nil, &sendError{err: err, reached: refused}
	case err != nil:
		return nil, &sendError{err: err}
	}
	return connection.send(a)
}

// hostOf returns the host that an attempt is for.
func (c *client) hostOf(a *attempt) *host {
	u := &a.x.Upstream
	if u.Slot.Valid() && u.Slot.Addr() == a.address {
		attached := u.Slot.Attachment()
		if attached == nil {
			attached = c.attach(u)
		}
		if h, ok := attached.(*host); ok && h.client == c && h.address == a.address {
			return h
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := name{a.address, u.Target.ServerName}
	h := c.named[n]
	if h == nil {
		h = c.add(n)
		h.named = true
		c.named[n] = h
	}
	return h
}

// get returns a connection for one request: one that has room, or the first that gets some or is
// opened. The error is a *dialError unless the call is over. net/http notices a departure on
// another goroutine. That may be too late for a request that arrives together with it.
func (p *pool) get(call *call) (sender, error) {
	for {
		c, w := p.take()
		if w != nil {
			select {
			case d := <-w.ready:
				if d.err != nil {
					return nil, d.err
				}
				c = d.connection
			case <-call.in.Context().Done():
				p.leave(w)
				return nil, context.Cause(call.in.Context())
			case <-call.clock.done():
				p.leave(w)
				return nil, errTimeout
			}
		}
		switch left, usable := c.check(httpserver.ClientOf(call.in.Context())); {
		case left:
			p.giveBack(c)
			return nil, httpserver.ErrLeft
		case usable:
			return c, nil
		}
	}
}

// take takes the idle connection that was used last, or returns one that can be shared. Without
// either, it adds a waiter.
func (p *pool) take() (sender, *waiter) {
	now := time.Now()
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	for _, s := range p.shared {
		if s.claim() {
			return s, nil
		}
	}
	for n := len(p.idle); n > 0; n-- {
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.host.client.idle.Add(-1)
		if now.Before(c.idleUntil) {
			return c, nil
		}
		_ = c.stream.Close() // the reaper comes later
	}
	w := &waiter{ready: make(chan delivery, 1)}
	w.place = p.waiting.PushBack(w)
	p.grow()
	return nil, w
}

// grow opens connections as long as more requests wait than are being opened. The caller
// holds the lock.
func (p *pool) grow() {
	most := places
	if p.multiplexed {
		most = 1
	}
	for p.dialing < most && p.waiting.Len() > p.dialing {
		p.dialing++
		p.host.watch()
		go p.open()
	}
}

// open opens a connection. When that fails, the requests that no other dial is for fail
// together, instead of finding out one after the other.
func (p *pool) open() {
	c, err := p.dial()
	p.host.mu.Lock()
	p.dialing--
	many, multiplexes := c.(*shared)
	switch {
	case err != nil:
		for p.waiting.Len() > p.dialing {
			p.deliver(delivery{err: err})
		}
	case multiplexes:
		p.multiplexed = !p.host.client.netHTTP
		p.shared = append(p.shared, many)
		p.share(many)
	default:
		p.multiplexed = false
		p.keep(c.(*conn))
	}
	p.grow()
	p.host.mu.Unlock()
	if multiplexes {
		many.retire() // its endpoint may have gone meanwhile
	}
}

// share gives the room of a connection to the waiters. Without a request it is idle. The caller
// holds the lock.
func (p *pool) share(s *shared) {
	for p.waiting.Len() > 0 && s.claim() {
		p.deliver(delivery{connection: s})
	}
	if s.requests == 0 && p.host.client.admit(p.resting) {
		s.idleUntil = time.Now().Add(idleTimeout)
		p.resting++
	}
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
	p.host.mu.Lock()
	waits := w.place != nil
	if waits {
		p.waiting.Remove(w.place)
	}
	p.host.mu.Unlock()
	if waits {
		return
	}
	if d := <-w.ready; d.err == nil {
		p.giveBack(d.connection)
	}
}

// giveBack takes back a connection that was not used.
func (p *pool) giveBack(c sender) {
	switch c := c.(type) {
	case *conn:
		p.put(c)
	case *shared:
		c.release()
	}
}

// put takes back a connection that is in order.
func (p *pool) put(c *conn) {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	p.keep(c)
}

// keep gives a connection to the first request that waits, or keeps it for the next one.
// The caller holds the lock.
func (p *pool) keep(c *conn) {
	if p.deliver(delivery{connection: c}) {
		return
	}
	if p.host.closed || !p.host.client.admit(len(p.idle)) {
		_ = c.stream.Close()
		return
	}
	if c.idleUntil.IsZero() { // else it was idle, and was not used
		c.idleUntil = time.Now().Add(c.idle)
	}
	p.idle = append(p.idle, c)
}

// admit counts one more idle connection in a pool that has n. It reports whether there is
// room for it.
func (c *client) admit(n int) bool {
	if n >= c.maxIdlePerHost {
		return false
	}
	if c.idle.Add(1) > int64(c.maxIdle) && c.maxIdle > 0 {
		c.idle.Add(-1)
		return false
	}
	return true
}

// watch keeps the reaper running. The caller holds the lock.
func (h *host) watch() {
	if h.reaping {
		return
	}
	h.reaping = true
	if h.reaper == nil {
		h.reaper = time.AfterFunc(reapInterval, h.reap)
	} else {
		h.reaper.Reset(reapInterval)
	}
}

// purge closes the idle connections. What shares a connection notices its end.
func (p *pool) purge() {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	p.drop(func(*conn) bool { return true })
}

// drop closes idle connections. The caller holds the lock.
func (p *pool) drop(which func(*conn) bool) {
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if !which(c) {
			return false
		}
		_ = c.stream.Close()
		p.host.client.idle.Add(-1)
		return true
	})
}
