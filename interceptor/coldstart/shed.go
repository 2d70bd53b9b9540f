package coldstart

import (
	"net/http"
	"sync"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
)

// waiting is the requests that wait, in order of arrival. It is safe for concurrent use.
type waiting struct {
	mu     sync.Mutex
	newest *pending
	n      int
}

// add adds a request and gives it its channel.
func (l *waiting) add(p *pending) {
	p.shed = make(chan struct{})
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

// unlink is remove with the lock held.
func (l *waiting) unlink(p *pending) {
	if l.newest != p && p.newer == nil {
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
		close(p.shed)
	}
	return shed
}

// shortOfMemory is the failure of a request that was shed.
func (p *pending) shortOfMemory() *clienterror.Error {
	return &clienterror.Error{
		Status: http.StatusServiceUnavailable, Message: "too many requests are waiting",
		RetryAfter: p.progress().RetryAfter(retryAfter),
	}
}
