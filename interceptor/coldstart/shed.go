package coldstart

import (
	"net/http"
	"sync"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// waiting is the requests that wait, in order of arrival. It is safe for concurrent use.
type waiting struct {
	mu     sync.Mutex
	newest *pending
	n      int
}

// add adds a request.
func (l *waiting) add(p *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.older = l.newest
	if p.older != nil {
		p.older.newer = p
	}
	l.newest = p
	l.n++
}

// remove takes a request out. It may be called again.
func (l *waiting) remove(p *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unlink(p)
}

// has reports whether the request is there. The caller holds the lock.
func (l *waiting) has(p *pending) bool { return l.newest == p || p.newer != nil }

// move makes a request wait for another port, unless it was shed.
func (l *waiting) move(p *pending, port *endpoints.Port) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has(p) {
		p.waiter.Leave()
		p.port, p.waiter = port, port.Enqueue(p.x.Route.ReleaseConcurrency)
	}
}

// unlink is remove with the lock held.
func (l *waiting) unlink(p *pending) {
	if !l.has(p) {
		return
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		l.newest = p.older
	}
	if p.older != nil {
		p.older.newer = p.newer
	}
	p.older, p.newer = nil, nil
	l.n--
}

// Waiting returns how many requests wait.
func (c *ColdStart) Waiting() int {
	c.waiting.mu.Lock()
	defer c.waiting.mu.Unlock()
	return c.waiting.n
}

// Shed ends the wait of the n newest requests, each with a 503 in its own shape, and returns
// how many there were.
func (c *ColdStart) Shed(n int) (shed int) {
	c.waiting.mu.Lock()
	defer c.waiting.mu.Unlock()
	for ; shed < n && c.waiting.newest != nil; shed++ {
		p := c.waiting.newest
		c.waiting.unlink(p)
		p.waiter.Cancel()
	}
	return shed
}

// shed ends the wait for want of memory.
func (p *pending) shed() error {
	httpserver.ClientOf(p.r.Context()).Retire()
	p.finish(metrics.OutcomeShed)
	return p.responder.failed(p, &clienterror.Error{
		Status: http.StatusServiceUnavailable, Message: "too many requests are waiting",
		RetryAfter: p.progress().RetryAfter(0),
	})
}
