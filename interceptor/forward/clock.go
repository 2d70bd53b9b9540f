package forward

import (
	"errors"
	"sync"
	"time"
)

// errTimeout is the cause of a context that the clock has cancelled.
var errTimeout = errors.New("a timeout of the route is over")

// clock measures the two timeouts of a route with one timer. The zero clock
// measures nothing.
//
// The header timeout runs while it is the backend's turn: not while we wait for
// the client to send more of its body, and from the start each time that it did.
// So it cuts neither a long upload nor a call in which client and server talk in
// turns, and still ends one in which the backend takes nothing.
type clock struct {
	mu       sync.Mutex
	expire   func() // called once, with the lock held
	timer    *time.Timer
	fires    time.Time     // when the timer does; zero if it does not run
	header   time.Duration // 0: none, or answered
	turn     time.Time     // since when it is the backend's turn; zero: it is not
	deadline time.Time     // of the request; zero: none, or the body has begun
	over     bool
}

// start begins to measure: header from now on, request from when it began. 0 is
// no bound. It calls expire once a timeout is over, with the lock held.
func (c *clock) start(expire func(), header, request time.Duration, began time.Time) {
	if header <= 0 && request <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire = expire
	now := time.Now()
	c.header, c.turn = header, now
	if request > 0 {
		if began.IsZero() {
			began = now
		}
		c.deadline = began.Add(request)
	}
	c.wind(now)
}

// Pause notes that we wait for the client.
func (c *clock) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn = time.Time{}
}

// Resume notes that it is the backend's turn.
func (c *clock) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header > 0 {
		c.turn = time.Now()
		c.wind(c.turn)
	}
}

// answered ends the header timeout.
func (c *clock) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = 0
	if c.deadline.IsZero() && c.timer != nil {
		c.timer.Stop()
	}
}

// stop ends all measuring: the body has begun, or the call is over.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header, c.deadline = 0, time.Time{}
	if c.timer != nil {
		c.timer.Stop()
	}
}

// expired reports whether a timeout is over.
func (c *clock) expired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// next returns what comes first; zero if nothing does. The caller holds the lock.
func (c *clock) next() time.Time {
	next := c.deadline
	if c.header > 0 && !c.turn.IsZero() {
		if t := c.turn.Add(c.header); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next
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
	c.expire()
}
