package forward

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// reapInterval is how often idle connections are looked at, so that those which the backend
// has closed do not pile up.
const reapInterval = time.Second

// client sends requests to backends. Its connections to an endpoint belong to that, and go
// with it; those to any other address are kept while they are of use.
type client struct {
	connect                 dialFunc
	tls                     *tls.Config // template; nil is Go's default
	maxHead                 int64
	maxIdle, maxIdlePerHost int
	heads                   heads
	copies                  *body.Budget    // of large buffers that bodies are copied with
	netHTTP                 bool            // leave HTTP/1.1 to net/http too
	idle                    atomic.Int64    // idle connections in all pools
	ctx                     context.Context // of dials; ends with close
	cancel                  context.CancelFunc

	mu    sync.Mutex
	hosts map[*host]struct{} // all of them
	named map[name]*host     // those of no endpoint
}

// name tells hosts of no endpoint apart: one address may be behind several Services, whose
// certificates differ.
type name struct{ address, serverName string }

func newClient(o Options) *client {
	c := &client{
		connect: connect(o.DialContext, o.ConnectTimeout), tls: o.TLS, maxHead: o.MaxResponseHeaderBytes,
		copies: body.NewBudget(o.MaxCopyMemory), heads: heads{max: o.MaxHeadMemory, reading: make(map[*conn]struct{})},
		maxIdle: o.MaxIdleConns, maxIdlePerHost: o.MaxIdleConnsPerHost, netHTTP: o.NetHTTP,
		hosts: make(map[*host]struct{}), named: make(map[name]*host),
	}
	if c.maxIdlePerHost <= 0 {
		c.maxIdlePerHost = http.DefaultMaxIdleConnsPerHost
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// attach gives the endpoint of an upstream its host, and returns it.
func (c *client) attach(u *exchange.Upstream) io.Closer {
	return u.Slot.Attach(func() io.Closer {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.add(name{u.Slot.Addr(), u.Target.ServerName})
	})
}

// add makes a host. The caller holds the lock.
func (c *client) add(n name) *host {
	h := &host{client: c, name: n, closed: c.ctx.Err() != nil}
	for w := range h.pools {
		h.pools[w] = pool{host: h, way: way(w), multiplexed: !c.netHTTP && (way(w) == h2c || way(w) == secure)}
	}
	c.hosts[h] = struct{}{}
	return h
}

// forget drops a host that keeps no connections.
func (c *client) forget(h *host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.hosts, h)
	if c.named[h.name] == h {
		delete(c.named, h.name)
	}
}

func (c *client) close() {
	c.cancel()
	c.mu.Lock()
	hosts := maps.Clone(c.hosts)
	c.mu.Unlock()
	for h := range hosts {
		_ = h.Close()
	}
}

// host is the connections to one address: a pool for each way to speak to it. It is safe for
// concurrent use.
type host struct {
	client *client
	name
	named   bool         // without an endpoint; closes when unused
	charged int64        // for heads that are being read; guarded by heads
	open    atomic.Int64 // sockets, in use or not

	mu      sync.Mutex // guards what follows, and the pools
	pools   [ways]pool
	reaper  *time.Timer
	reaping bool // the timer runs: it does while there are connections
	closed  bool // nothing is kept
}

// reap closes idle connections that are too old, or closed by the backend. It runs once in
// an interval in which the host has connections.
func (h *host) reap() {
	h.retire()
	if !h.clean() {
		h.client.forget(h)
	}
}

// retire closes shared connections that are no longer useful.
func (h *host) retire() {
	h.mu.Lock()
	var all []*shared
	for i := range h.pools {
		all = append(all, h.pools[i].shared...)
	}
	h.mu.Unlock()
	for _, s := range all {
		s.retire()
	}
}

// clean closes idle connections and reports whether the host is still of use.
func (h *host) clean() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.reaping = false
	for i := range h.pools {
		p := &h.pools[i]
		p.drop(func(c *conn) bool { return !now.Before(c.idleUntil) || !c.silent() })
		h.reaping = h.reaping || p.dialing > 0
	}
	h.reaping = h.reaping || h.open.Load() > 0
	if h.reaping {
		h.reaper.Reset(reapInterval)
	} else if h.named {
		h.closed = true
	}
	return !h.closed
}

// Close closes the idle connections, and those in use as they become idle.
func (h *host) Close() error {
	h.mu.Lock()
	h.closed = true
	for i := range h.pools {
		h.pools[i].drop(func(*conn) bool { return true })
	}
	h.mu.Unlock()
	h.retire()
	h.client.forget(h)
	return nil
}
