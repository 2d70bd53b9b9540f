package inflight

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// remembered is the number of wakes of a route that the estimate uses. The median of five ignores
// two odd ones (a node that had to be created first, a blip of a warm target). After three wakes
// it follows an application that has changed.
const remembered = 5

// wakes are the wakes of a route. Each is the time from the first cold hit to the first moment
// with a ready endpoint. They are here because the lease begins and ends with a wake. Also, a
// Route outlives the compiled routes, which are replaced with each edit.
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

// Wake returns how long the current wake has taken, and the estimate: the median of the last
// wakes that this process has seen. An estimate of 0 means none. Wake is for requests that were
// recorded by Cold.
func (r *Route) Wake() (elapsed, estimate time.Duration) {
	if c := r.wakes.current.Load(); c != nil {
		elapsed = max(r.tracker.now().Sub(c.since), 0)
	}
	return elapsed, time.Duration(r.wakes.estimate.Load())
}
