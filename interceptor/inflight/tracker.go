// Package inflight counts what every route has in flight and remembers which
// routes somebody asked for while their target slept (the activation lease).
// It is what /queue reports. It must not know what a request, an endpoint or a
// scaler is.
package inflight

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// Tracker holds the counters of all routes. It is safe for concurrent use;
// nothing on the request path goes through it: requests have their *Route.
type Tracker struct {
	now func() time.Time

	mu     sync.RWMutex
	routes map[string]*Route

	subscribing sync.Mutex
	subscribers atomic.Pointer[[]chan struct{}] // copied on write
}

// NewTracker returns an empty Tracker. A nil now is time.Now.
func NewTracker(now func() time.Time) *Tracker {
	if now == nil {
		now = time.Now
	}
	return &Tracker{
		now:    now,
		routes: make(map[string]*Route),
	}
}

// Route returns the handle of a route, "namespace/name", making it if need be.
// It is the same one until the route is forgotten. A route that comes back while
// requests of its former self are in flight has the same handle and counters.
func (t *Tracker) Route(key string) *Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.routes[key]
	if r == nil {
		r = &Route{tracker: t, key: key}
		t.routes[key] = r
	}
	r.forgotten.Store(false)
	return r
}

// Forget drops a route that was deleted: it is not reported any more. Requests
// that are in flight may still be released.
func (t *Tracker) Forget(key string) {
	t.mu.Lock()
	r := t.routes[key]
	if r == nil || r.forgotten.Load() {
		t.mu.Unlock()
		return
	}
	r.forgotten.Store(true)
	r.lease.Store(nil)
	if r.InFlight() == 0 {
		delete(t.routes, key)
	}
	t.mu.Unlock()
	t.signal()
}

// drop removes a forgotten route whose last request has ended.
func (t *Tracker) drop(r *Route) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.routes[r.key] == r && r.forgotten.Load() && r.InFlight() == 0 {
		delete(t.routes, r.key)
	}
}

// Counts returns the demand of every route, those without any included. The map
// is the caller's.
func (t *Tracker) Counts() queue.Counts {
	t.mu.RLock()
	defer t.mu.RUnlock()
	now := t.now()
	counts := make(queue.Counts, len(t.routes))
	for key, r := range t.routes {
		if !r.forgotten.Load() {
			counts[key] = r.count(now)
		}
	}
	return counts
}

// Each calls f for every route, in no order. f must not call the Tracker.
func (t *Tracker) Each(f func(key string, r *Route)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for key, r := range t.routes {
		if !r.forgotten.Load() {
			f(key, r)
		}
	}
}

// Subscribe returns a signal for changes that a scaler must hear of at once: a
// route got its first request or lost its last one, a cold hit, a route that was
// forgotten. Signals that come while one is pending are one. The caller calls
// cancel, which is idempotent, when it listens no more.
func (t *Tracker) Subscribe() (changed <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	t.resubscribe(func(all []chan struct{}) []chan struct{} { return append(all, c) })
	return c, func() {
		t.resubscribe(func(all []chan struct{}) []chan struct{} {
			return slices.DeleteFunc(all, func(other chan struct{}) bool { return other == c })
		})
	}
}

// resubscribe replaces the subscribers by a changed copy.
func (t *Tracker) resubscribe(change func([]chan struct{}) []chan struct{}) {
	t.subscribing.Lock()
	defer t.subscribing.Unlock()
	var all []chan struct{}
	if old := t.subscribers.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = change(all)
	t.subscribers.Store(&all)
}

// signal tells all subscribers.
func (t *Tracker) signal() {
	all := t.subscribers.Load()
	if all == nil {
		return
	}
	for _, c := range *all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
