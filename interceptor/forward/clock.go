package forward

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
)

// errTimeout is why the clock has ended an attempt.
var errTimeout = errors.New("a timeout of the route is over")

// clock measures the two timeouts of a route, and that of uploads, with one timer. The timer runs
// once it can end something, because most requests are over before. The zero clock measures
// nothing.
//
// The request timeout runs from the arrival of the request to the last byte of its answer, and to
// the end of an upgraded connection.
//
// The header timeout runs while it is the backend's turn. It stops while we wait for the client
// to send more of its body, and for the end of a Retry-After. It restarts after each such wait.
// So it cuts neither a long upload nor a call in which client and server talk in turns. It still
// ends a call in which the backend takes nothing.
//
// The upload timeout runs while the backend has not answered and we wait for the client. It
// restarts each time that the client sends more.
type clock struct {
	mu        sync.Mutex
	body      *body.Body    // whose reads end with a timeout
	interrupt func()        // ends the current attempt; nil for none
	ended     chan struct{} // closed with a timeout; made for the first waiter
	timer     *time.Timer
	fires     time.Time     // when the timer does; zero if it does not run
	header    time.Duration // 0: none, or answered

	turn   time.Time     // since when it is the backend's turn; zero: it is not
	upload time.Duration // 0: none, or answered

	quiet    time.Time // since when the client is waited for; zero: it is not
	stalled  bool      // the upload timeout is what was over
	deadline time.Time // of the request; zero: none

	answer http.ResponseWriter // to the client, whose writes end with the request; may be nil
	over   bool
}

// start begins to measure: header from now on, request from when it began, upload with the first
// wait for the client. 0 means no bound. Reads of b end with a timeout.
func (c *clock) start(b *body.Body, header, request, upload time.Duration, began time.Time) {
	if header <= 0 && request <= 0 && upload <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.body, c.upload = b, upload
	now := time.Now()
	c.header, c.turn = header, now
	if request > 0 {
		if began.IsZero() {
			began = now
		}
		c.deadline = began.Add(request)
	}
}

// Pause notes that we wait for the client.
func (c *clock) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn = time.Time{}
	if c.upload > 0 {
		c.quiet = time.Now()
		c.wind(c.quiet)
	}
}

// Resume notes that it is the backend's turn.
func (c *clock) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = time.Time{}
	if c.header > 0 {
		c.turn = time.Now()
		c.wind(c.turn)
	}
}

// Rest notes that no one is waited for: the backend has asked for a pause.
func (c *clock) Rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn, c.quiet = time.Time{}, time.Time{}
}

// lasts reports whether the request timeout is not over before t.
func (c *clock) lasts(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline.IsZero() || !c.deadline.Before(t)
}

// answered ends the timeouts of header and upload.
func (c *clock) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header, c.upload = 0, 0
	if c.deadline.IsZero() && c.timer != nil {
		c.timer.Stop()
	}
}

// commit has the request timeout end writes of the answer, which can no longer become an
// error.
func (c *clock) commit(w http.ResponseWriter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = w
	if !c.deadline.IsZero() {
		c.wind(time.Now())
	}
}

// stop ends all measuring: the call is over.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header, c.upload, c.deadline = 0, 0, time.Time{}
	if c.timer != nil {
		c.timer.Stop()
	}
}

// expired reports whether a timeout is over, and whether it is the client's.
func (c *clock) expired() (over, stalled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over, c.stalled
}

// next returns what comes first; zero if nothing does. The caller holds the lock.
func (c *clock) next() time.Time {
	next := c.deadline
	if c.header > 0 && !c.turn.IsZero() {
		if t := c.turn.Add(c.header); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if t := c.stalls(); !t.IsZero() && (next.IsZero() || t.Before(next)) {
		next = t
	}
	return next
}

// stalls returns when the upload timeout is over; zero if it does not run. The caller holds
// the lock.
func (c *clock) stalls() time.Time {
	if c.upload <= 0 || c.quiet.IsZero() {
		return time.Time{}
	}
	return c.quiet.Add(c.upload)
}

// wind makes the timer fire in time. It may fire too early, and is then set
// again: so a pause costs nothing. The caller holds the lock.
func (c *clock) wind(now time.Time) {
	next := c.next()
	if next.IsZero() || (!c.fires.IsZero() && !next.Before(c.fires)) {
		return
	}
	c.fires = next
	if c.timer == nil {
		c.timer = time.AfterFunc(next.Sub(now), c.tick)
		return
	}
	c.timer.Reset(next.Sub(now))
}

// tick runs when the timer fires.
func (c *clock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.fires = time.Time{}
	if next := c.next(); next.IsZero() || now.Before(next) {
		c.wind(now)
		return
	}
	c.over = true
	if t := c.stalls(); !t.IsZero() && !now.Before(t) {
		c.stalled = true
	}
	if c.interrupt != nil {
		c.interrupt()
	}
	if c.ended != nil {
		close(c.ended)
	}
	c.body.Interrupt()
	if c.answer != nil {
		_ = http.NewResponseController(c.answer).SetWriteDeadline(past) // a recorder's writes do not wait
	}
}

// watch has interrupt called, once, when a timeout is over. It replaces the one before. It
// reports false if a timeout is over already.
func (c *clock) watch(interrupt func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt = interrupt
	if !c.next().IsZero() {
		c.wind(time.Now())
	}
	return !c.over
}

// within returns when the next timeout is over, or t if that is sooner.
func (c *clock) within(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next := c.next(); !next.IsZero() && next.Before(t) {
		return next
	}
	return t
}

// unwatch undoes watch. It reports false if a timeout is over: interrupt was called then.
func (c *clock) unwatch() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt = nil
	return !c.over
}

// done returns a channel that is closed when a timeout is over.
func (c *clock) done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = make(chan struct{})
		if c.over {
			close(c.ended)
		}
		c.wind(time.Now())
	}
	return c.ended
}
