// Package inflight counts the requests in flight of every route. It also keeps the demand that
// outlives requests. That is the activation leases of routes that were requested while their
// target slept, and the holds of those whose target must stay awake. /queue reports all of it.
// The package must not know what a request, an endpoint or a scaler is.
package inflight

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// Tracker holds the counters of all routes. It is safe for concurrent use. Requests use their
// *Route. They meet in the Tracker only when a change of a route is listed, which takes no lock.
// The change of a busy route is listed already.
type Tracker struct {
	now   func() time.Time
	epoch time.Time // what the ends of holds are relative to

	mu     sync.RWMutex
	routes map[string]*Route

	subscribing sync.Mutex
	subscribers atomic.Pointer[[]*subscriber] // copied on write

	changes [urgencies]changes
}

// subscriber receives signals of urgent changes.
type subscriber struct {
	soon, atOnce chan struct{} // buffered; may be the same
	feed         *feed         // may be nil
}

// NewTracker returns an empty Tracker. A nil now is time.Now.
func NewTracker(now func() time.Time) *Tracker {
	if now == nil {
		now = time.Now
	}
	return &Tracker{
		now:    now,
		epoch:  now(),
		routes: make(map[string]*Route),
	}
}

// Route returns the handle of a route, "namespace/name", creating it if it does
// not exist. It is the same one until the route is forgotten. A route that comes back while
// requests of its former self are in flight has the same handle and counters.
func (t *Tracker) Route(key string) *Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.routes[key]
	if r == nil {
		r = &Route{tracker: t, key: key}
		r.forgotten.Store(true)
		t.routes[key] = r
	}
	if r.forgotten.Swap(false) {
		r.change(queue.Gathered)
	}
	return r
}

// Forget drops a route that was deleted from the reports. Requests in flight may still be
// released.
func (t *Tracker) Forget(key string) {
	t.mu.Lock()
	r := t.routes[key]
	if r == nil || r.forgotten.Load() {
		t.mu.Unlock()
		return
	}
	r.forgotten.Store(true)
	r.lease.Store(nil)
	r.holds.clear()
	if r.InFlight() == 0 {
		delete(t.routes, key)
	}
	t.mu.Unlock()
	for _, s := range t.listeners() {
		if s.feed != nil {
			s.feed.forget(r)
		}
	}
	// Without feeds nothing else takes routes off these lists, which would keep all
	// forgotten ones alive.
	for u := range urgencies {
		t.collect(u, forgetCollects)
	}
	t.signal(queue.Soon)
}

// forgetCollects is how many changed routes are handed to the feeds with each
// route that is forgotten.
const forgetCollects = 16

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

// Subscribe returns a signal for changes that a scaler must receive at once. These are the first
// request of a route or the end of its last one, a cold hit, and a forgotten route. Signals that
// come while one is pending merge into it. The caller calls cancel, which is idempotent.
func (t *Tracker) Subscribe() (changed <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	return c, t.subscribe(&subscriber{soon: c, atOnce: c})
}

// subscribe adds a subscriber, and returns how to remove it.
func (t *Tracker) subscribe(s *subscriber) (cancel func()) {
	t.resubscribe(func(all []*subscriber) []*subscriber { return append(all, s) })
	return func() {
		t.resubscribe(func(all []*subscriber) []*subscriber {
			return slices.DeleteFunc(all, func(other *subscriber) bool { return other == s })
		})
	}
}

// resubscribe replaces the subscribers by a changed copy.
func (t *Tracker) resubscribe(change func([]*subscriber) []*subscriber) {
	t.subscribing.Lock()
	defer t.subscribing.Unlock()
	all := change(slices.Clone(t.listeners()))
	t.subscribers.Store(&all)
}

// listeners are the subscribers now.
func (t *Tracker) listeners() []*subscriber {
	if all := t.subscribers.Load(); all != nil {
		return *all
	}
	return nil
}

// signal signals a change, which is listed already, to all subscribers.
func (t *Tracker) signal(u queue.Urgency) {
	for _, s := range t.listeners() {
		if u == queue.AtOnce {
			notify(s.atOnce)
		} else {
			notify(s.soon)
		}
	}
}

// notify gives a signal, unless one is pending; a nil channel has none.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
