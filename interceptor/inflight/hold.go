package inflight

import (
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// KeepUntil takes or extends the route's hold: until then the route shows demand, whether its
// target is ready or not. A hold that lasts longer stays. Callers use it when they know that
// requests will come: a session that was just used, a warm-up.
func (r *Route) KeepUntil(end time.Time) {
	at := int64(end.Sub(r.tracker.epoch))
	for {
		before := r.holdEnd.Load()
		if at <= before {
			return
		}
		if r.holdEnd.CompareAndSwap(before, at) {
			break
		}
	}
	r.change(queue.Gathered)
	if r.InFlight() == 0 {
		r.change(queue.Soon)
		r.tracker.signal(queue.Soon)
	}
}

// kept reports whether a hold is live.
func (r *Route) kept(now time.Time) bool {
	return int64(now.Sub(r.tracker.epoch)) < r.holdEnd.Load()
}
