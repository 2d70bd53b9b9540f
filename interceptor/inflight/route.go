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
	forgotten atomic.Bool            // written under tracker.mu
	listed    [urgencies]atomic.Bool // in tracker.changes
	next      [urgencies]*Route      // there; written by who set listed, then by who took the list

	requests atomic.Uint64 // total<<inFlightBits | in flight: one atomic counts both
	held     atomic.Int64
	served   atomic.Int64
	lease    atomic.Pointer[lease]
	holds    holds
	wakes    wakes
}

// Four million requests in flight need more memory than there is, and a total of
// 42 bits lasts 14 years at 10,000 requests a second.
const (
	inFlightBits = 22
	inFlightMask = 1<<inFlightBits - 1
	oneRequest   = 1<<inFlightBits | 1
)

// lease is a demand that outlives the requests that made it.
type lease struct {
	until time.Time
	ready func() bool // nil: only the time ends it
}

// Acquire counts a request, now and in total, until release is called. release
// is idempotent and may be called from any goroutine.
//
// Acquire is small enough to be inlined: while release stays in the caller's
// function (defer release()) counting allocates nothing.
func (r *Route) Acquire() (release func()) {
	r.begin()
	var released atomic.Bool
	return func() { r.end(&released) }
}

// begin counts a request.
func (r *Route) begin() {
	first := r.requests.Add(oneRequest)&inFlightMask == 1
	r.change(queue.Gathered)
	if first {
		r.change(queue.Soon)
		r.tracker.signal(queue.Soon)
	}
}

// end takes a request off those in flight, once.
func (r *Route) end(released *atomic.Bool) {
	if released.Swap(true) {
		return
	}
	last := r.requests.Add(^uint64(0))&inFlightMask == 0
	r.change(queue.Gathered)
	if !last {
		return
	}
	if r.forgotten.Load() {
		r.tracker.drop(r)
	}
	r.change(queue.Soon)
	r.tracker.signal(queue.Soon)
}

// Hold takes a place among the held requests and open streams of the route, which the caller
// gives back with Unhold. It returns false if all places are taken; 0 means no limit.
func (r *Route) Hold(most int) bool {
	for {
		n := r.held.Load()
		if most > 0 && n >= int64(most) {
			return false
		}
		if r.held.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Serve counts a request that is forwarded, also one that shows no demand, and returns how many there are. The caller
// takes it back with Unserve.
func (r *Route) Serve() int64 { return r.served.Add(1) }

// Unserve takes a request back that Serve counted.
func (r *Route) Unserve() { r.served.Add(-1) }

// Unhold gives a place back that Hold took.
func (r *Route) Unhold() { r.held.Add(-1) }

// Cold records a request that met no ready endpoint. It takes or renews the route's activation
// lease. From now on the route shows demand, even if the request is answered at once or its
// client leaves. The lease ends for good once ready returns true, or after the given time. ready
// must be cheap and may be nil.
func (r *Route) Cold(length time.Duration, ready func() bool) {
	now := r.tracker.now()
	// A held request keeps a wake going that its lease was too short for.
	r.wakes.begin(now, r.leased(now) || r.held.Load() > 0)
	r.lease.Store(&lease{until: now.Add(length), ready: ready})
	r.change(queue.Gathered)
	r.change(queue.AtOnce)
	r.tracker.signal(queue.AtOnce)
}

// InFlight is the number of requests in flight, without leases.
func (r *Route) InFlight() int64 { return int64(r.requests.Load() & inFlightMask) }

// Held is the number of requests and streams that hold a place.
func (r *Route) Held() int64 { return r.held.Load() }

// Leased reports whether an activation lease is live.
func (r *Route) Leased() bool { return r.leased(r.tracker.now()) }

// leased reports whether the lease is live. If not, it ends the lease for good: only new requests
// wake a target that was ready and sleeps again.
func (r *Route) leased(now time.Time) bool {
	for {
		l := r.lease.Load()
		if l == nil {
			return false
		}
		inTime, ready := now.Before(l.until), l.ready != nil && l.ready()
		if inTime && !ready {
			return true
		}
		if r.lease.CompareAndSwap(l, nil) {
			if inTime { // else the moment when it became ready is unknown
				r.wakes.end(now)
			}
			return false
		}
		// Renewed in between: look again.
	}
}

// count is what /queue reports about the route.
func (r *Route) count(now time.Time) queue.Count {
	requests := r.requests.Load()
	c := queue.Count{
		Concurrency:  int64(requests & inFlightMask),
		RequestCount: int64(requests >> inFlightBits),
		Cold:         r.leased(now),
	}
	if c.Concurrency == 0 && (c.Cold || r.kept(now)) {
		c.Concurrency, c.Leased = 1, true
	}
	return c
}
