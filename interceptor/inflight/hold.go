package inflight

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// holds are the demand of a route that does not depend on whether its own target is ready.
type holds struct {
	end atomic.Int64 // of Keep, in nanoseconds since the tracker's epoch

	mu    sync.Mutex
	of    map[string]lease // of KeepFor
	count atomic.Int64     // of them
}

// Keep takes or extends the route's hold: for that time the route shows demand, whether its
// target is ready or not. A hold that lasts longer stays. Callers use it when they know that
// requests will come: a session that was just used, a warm-up.
func (r *Route) Keep(length time.Duration) {
	at := int64(r.tracker.now().Add(length).Sub(r.tracker.epoch))
	for {
		before := r.holds.end.Load()
		if at <= before {
			return
		}
		if r.holds.end.CompareAndSwap(before, at) {
			break
		}
	}
	r.holdBegun()
}

// renewal is how often a hold for another route is renewed at most.
const renewal = time.Second

// KeepFor takes or renews the hold that the route has for another one, whose target needs this
// one's. It ends after a time, or once over returns true, which must be cheap.
func (r *Route) KeepFor(other string, length time.Duration, over func() bool) {
	until := r.tracker.now().Add(length)
	r.holds.mu.Lock()
	before, live := r.holds.of[other]
	if live && until.Sub(before.until) < renewal {
		r.holds.mu.Unlock()
		return
	}
	if r.holds.of == nil {
		r.holds.of = map[string]lease{}
	}
	r.holds.of[other] = lease{until: until, ready: over}
	r.holds.count.Store(int64(len(r.holds.of)))
	r.holds.mu.Unlock()
	if !live {
		r.holdBegun()
	}
}

// holdBegun reports a hold that was taken.
func (r *Route) holdBegun() {
	r.change(queue.Gathered)
	if r.InFlight() == 0 {
		r.change(queue.Soon)
		r.tracker.signal(queue.Soon)
	}
}

// kept reports whether a hold is live.
func (r *Route) kept(now time.Time) bool {
	return int64(now.Sub(r.tracker.epoch)) < r.holds.end.Load() || r.holds.count.Load() > 0 && r.holds.live(now)
}

// live drops the holds for other routes that are over, and reports whether any is left.
func (h *holds) live(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for other, hold := range h.of {
		if !now.Before(hold.until) || hold.ready() {
			delete(h.of, other)
		}
	}
	h.count.Store(int64(len(h.of)))
	return len(h.of) > 0
}

// clear ends all holds.
func (h *holds) clear() {
	h.end.Store(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.of)
	h.count.Store(0)
}
