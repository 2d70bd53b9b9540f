package inflight

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// remembered is how many wakes of a route the estimate is made of. The median of
// five does not mind two that were odd (a node that had to be made first, a blip
// of a warm target), and follows an application that has changed after three.
const remembered = 5

// wakes are the wakes of a route: each is the time from the first cold hit to the
// first moment that a ready endpoint was seen. They are here because the lease
// begins and ends with a wake, and because a Route outlives the compiled routes,
// which are replaced with each edit.
type wakes struct {
	current  atomic.Pointer[wake] // the last one that began; nil: none ever
	estimate atomic.Int64         // nanoseconds; 0: unknown

	mu   sync.Mutex
	took []time.Duration // of the last ones that succeeded, the oldest first
}

// wake is one of them.
type wake struct {
	since time.Time
	over  atomic.Bool
}

// begin records a cold hit. It begins a wake unless the one before is under way
// and a lease or a held request still asks for it.
func (w *wakes) begin(now time.Time, asked bool) {
	if c := w.current.Load(); asked && c != nil && !c.over.Load() {
		return
	}
	w.current.Store(&wake{since: now})
}

// end records that the target is ready. Only the first call of a wake counts.
func (w *wakes) end(now time.Time) {
	c := w.current.Load()
	if c == nil || c.over.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.took) == remembered {
		w.took = slices.Delete(w.took, 0, 1)
	}
	w.took = append(w.took, max(now.Sub(c.since), 1))
	sorted := slices.Sorted(slices.Values(w.took))
	// With an even number of samples, use the upper median: overestimating is the
	// better error.
	w.estimate.Store(int64(sorted[len(sorted)/2]))
}

// Woke records that a request which met no ready endpoint has one now. Every such
// request calls it; the first call of a wake is its end.
func (r *Route) Woke() { r.wakes.end(r.tracker.now()) }

// Wake returns how long the wake that is under way has taken, and how long one
// usually takes: the median of the last ones that this process has seen. An
// estimate of 0 is none. It is for requests that were recorded by Cold.
func (r *Route) Wake() (elapsed, estimate time.Duration) {
	if c := r.wakes.current.Load(); c != nil {
		elapsed = max(r.tracker.now().Sub(c.since), 0)
	}
	return elapsed, time.Duration(r.wakes.estimate.Load())
}
