package demand

import (
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// Interceptor is what one interceptor reports.
type Interceptor struct {
	aggregate *Aggregate
	counts    map[*route]queue.Count // last known
	heard     time.Time              // last event; zero: none yet
}

// Interceptor adds an interceptor, which has reported nothing yet. The caller
// calls Close when it is gone.
func (a *Aggregate) Interceptor() *Interceptor {
	return &Interceptor{aggregate: a, counts: make(map[*route]queue.Count)}
}

// Apply adds the next report of the interceptor.
//
// RequestCount only grows. The requests of the first report came at unknown times and do not
// count. A count that has fallen means that the interceptor has restarted. What a later snapshot
// adds happened since the last event.
func (i *Interceptor) Apply(e queue.Event) {
	a := i.aggregate
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	first, since := i.heard.IsZero(), now
	if e.Type == queue.Snapshot {
		since = i.heard
		for r := range i.counts {
			if _, listed := e.Counts[r.key]; !listed {
				i.remove(r)
			}
		}
	}
	if e.Type == queue.Snapshot || e.Type == queue.Update {
		for key, count := range e.Counts {
			r := a.route(key)
			was, known := i.counts[r]
			if !known {
				r.reporters++
			}
			if was == count && known {
				continue
			}
			i.counts[r] = count
			r.requested = r.requested || count.RequestCount > 0
			requests := count.RequestCount - was.RequestCount
			switch {
			case first:
				requests = 0
			case requests < 0:
				requests = count.RequestCount
			}
			if r.window != nil {
				r.window.Add(since, now, requests)
			}
			a.change(r, was, count, requests)
		}
	}
	i.heard = now
}

// Close removes everything that the interceptor reported, except requests that
// rates have counted.
func (i *Interceptor) Close() {
	i.aggregate.mu.Lock()
	defer i.aggregate.mu.Unlock()
	for r := range i.counts {
		i.remove(r)
	}
}

func (i *Interceptor) remove(r *route) {
	i.aggregate.change(r, i.counts[r], queue.Count{}, 0)
	delete(i.counts, r)
	r.reporters--
	i.aggregate.sweep(r)
}

// change replaces what one interceptor reported of a route; requests is how many
// came since.
func (a *Aggregate) change(r *route, was, is queue.Count, requests int64) {
	wasActive, wasCold, fleetWasActive := r.active(), r.cold > 0, a.fleet.active()
	inFlight := requestsOf(is) - requestsOf(was)
	r.inFlight += inFlight
	a.fleet.inFlight += inFlight
	r.leased += one(is.Leased) - one(was.Leased)
	r.cold += one(is.Cold) - one(was.Cold)

	switch {
	case r.cold > 0 && !wasCold:
		a.hit(r.key, Cold)
	case is.Cold && requests > 0:
		a.hit(r.key, StillCold)
	case !wasActive && (r.active() || requests > 0):
		// A request may end before a report shows it in flight.
		a.hit(r.key, Warm)
	}
	if !fleetWasActive && a.fleet.active() {
		a.hit(Fleet, Warm)
	}
}

// requestsOf returns the number of requests in flight. A lease alone has the concurrency of one,
// but no request.
func requestsOf(c queue.Count) int64 {
	if c.Leased {
		return 0
	}
	return c.Concurrency
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
