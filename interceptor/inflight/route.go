package inflight

import (
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// Route is the handle of one route's counters. It is safe for concurrent use.
type Route struct {
	tracker   *Tracker
	key       string
	forgotten atomic.Bool // written under tracker.mu

	inFlight atomic.Int64
	total    atomic.Int64
	held     atomic.Int64
	lease    atomic.Pointer[lease]
}

// lease is a demand that outlives the requests that made it.
type lease struct {
	until time.Time
	ready func() bool // nil: only the time ends it
}

// Acquire counts a request, now and in total, until release is called. release
// is idempotent and may be called from any goroutine.
func (r *Route) Acquire() (release func()) {
	r.total.Add(1)
	if r.inFlight.Add(1) == 1 {
		r.tracker.signal()
	}
	p, generation := r.tracker.permit()
	return func() {
		if r.tracker.end(p, generation) {
			r.done()
		}
	}
}

// done ends a request.
func (r *Route) done() {
	if r.inFlight.Add(-1) > 0 {
		return
	}
	if r.forgotten.Load() {
		r.tracker.drop(r)
	}
	r.tracker.signal()
}

// Hold takes a place among the held requests and open streams of the route, and
// says false if max, unless it is 0, are taken already. release is idempotent and
// may be called from any goroutine; it is never nil.
func (r *Route) Hold(max int) (release func(), ok bool) {
	for {
		n := r.held.Load()
		if max > 0 && n >= int64(max) {
			return func() {}, false
		}
		if r.held.CompareAndSwap(n, n+1) {
			break
		}
	}
	p, generation := r.tracker.permit()
	return func() {
		if r.tracker.end(p, generation) {
			r.held.Add(-1)
		}
	}, true
}

// Cold tells of a request that met no ready endpoint. It takes or renews the
// route's activation lease: from now on the route shows demand, even if the
// request is answered at once or its client leaves. The lease ends for good when
// ready, which must be cheap and may be nil, is seen true, or after the given
// time.
func (r *Route) Cold(length time.Duration, ready func() bool) {
	r.lease.Store(&lease{until: r.tracker.now().Add(length), ready: ready})
	r.tracker.signal()
}

// InFlight is the number of requests that are in flight; a lease is none.
func (r *Route) InFlight() int64 { return r.inFlight.Load() }

// Held is the number of requests and streams that hold a place.
func (r *Route) Held() int64 { return r.held.Load() }

// Leased says whether an activation lease is live.
func (r *Route) Leased() bool { return r.leased(r.tracker.now()) }

// leased looks whether the lease is live, and ends it for good if not: a target
// that was seen ready and sleeps again is woken by new requests only.
func (r *Route) leased(now time.Time) bool {
	for {
		l := r.lease.Load()
		switch {
		case l == nil:
			return false
		case now.Before(l.until) && (l.ready == nil || !l.ready()):
			return true
		case r.lease.CompareAndSwap(l, nil):
			return false
		}
		// Renewed in between: look again.
	}
}

// count is what /queue reports of the route.
func (r *Route) count(now time.Time) queue.Count {
	c := queue.Count{
		Concurrency:  r.inFlight.Load(),
		RequestCount: r.total.Load(),
		Cold:         r.leased(now),
	}
	if c.Cold && c.Concurrency == 0 {
		c.Concurrency, c.Leased = 1, true
	}
	return c
}

// permit is the state behind a release function. Permits are recycled, so that
// counting costs one small allocation; the generation tells a release from those
// that had its permit before.
type permit struct{ generation atomic.Uint64 }

// permit returns one that nobody uses.
func (t *Tracker) permit() (*permit, uint64) {
	p := t.permits.Get().(*permit)
	return p, p.generation.Load()
}

// end says true exactly once.
func (t *Tracker) end(p *permit, generation uint64) bool {
	if !p.generation.CompareAndSwap(generation, generation+1) {
		return false
	}
	t.permits.Put(p)
	return true
}
