package inflight

import (
	"sync"
	"sync/atomic"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// urgencies is how many there are.
const urgencies = queue.AtOnce + 1

// changes are the routes that changed and that no feed has received yet, each of
// them once. Requests add routes, without a lock or an allocation; the first feed
// that takes them passes them to all feeds.
type changes struct {
	head atomic.Pointer[Route] // a stack, linked by Route.next

	mu    sync.Mutex // feeds only
	taken *Route     // off the stack, not passed on yet
}

// change lists the route as changed. Callers change the counters first, and
// readers of the counters unlist the route first: a route that is listed already
// is going to be read.
//
// For a busy route this is one load.
func (r *Route) change(u queue.Urgency) {
	if !r.listed[u].Load() {
		r.list(u)
	}
}

// list puts the route on the stack, unless it just was.
func (r *Route) list(u queue.Urgency) {
	if r.listed[u].Swap(true) {
		return
	}
	head := &r.tracker.changes[u].head
	for {
		next := head.Load()
		r.next[u] = next
		if head.CompareAndSwap(next, r) {
			return
		}
	}
}

// collect passes changed routes to all feeds, at most so many, and reports whether
// it left any that had changed before the call.
func (t *Tracker) collect(u queue.Urgency, most int) (more bool) {
	c := &t.changes[u]
	c.mu.Lock()
	defer c.mu.Unlock()
	looked := false // once: requests may change routes as fast as this loop runs
	for range most {
		if c.taken == nil {
			if looked {
				return false
			}
			c.taken, looked = c.head.Swap(nil), true
		}
		r := c.taken
		if r == nil {
			return false
		}
		c.taken, r.next[u] = r.next[u], nil
		r.listed[u].Store(false)
		// Only now: a feed that is newer than this list has read the counters before
		// the route was unlisted, and must read them again.
		for _, s := range t.listeners() {
			if s.feed != nil {
				s.feed.add(u, r)
			}
		}
	}
	return c.taken != nil || !looked
}

// feed is a queue.Feed. Its sets hold a route at most once each and no forgotten
// one, however slow the reader is.
type feed struct {
	tracker *Tracker
	signals [urgencies]chan struct{}
	cancel  func()

	mu      sync.Mutex
	pending [urgencies]routeSet
	again   routeSet // leased when last sent: leases and holds end by themselves
	removed bool
	leased  []*Route // of All, to be used again
}

// Feed implements queue.Source.
func (t *Tracker) Feed() queue.Feed {
	f := &feed{tracker: t}
	f.signals[queue.Soon] = make(chan struct{}, 1)
	f.signals[queue.AtOnce] = make(chan struct{}, 1)
	f.cancel = t.subscribe(&subscriber{soon: f.signals[queue.Soon], atOnce: f.signals[queue.AtOnce], feed: f})
	return f
}

func (f *feed) Changed(u queue.Urgency) <-chan struct{} { return f.signals[u] }

func (f *feed) Close() { f.cancel() }

func (f *feed) Take(u queue.Urgency, most int, visit func(string, queue.Count)) bool {
	more := f.tracker.collect(u, most)
	if f.take(u, most, visit) || more {
		notify(f.signals[u])
		return true
	}
	return false
}

// take takes from what this feed has received.
func (f *feed) take(u queue.Urgency, most int, visit func(string, queue.Count)) (more bool) {
	now := f.tracker.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range f.pending[u].routes {
		if most == 0 {
			return true
		}
		most--
		f.pending[u].remove(r)
		count := r.count(now)
		if count.Cold || count.Leased {
			f.again.add(r)
		}
		visit(r.key, count)
	}
	return false
}

func (f *feed) Round() (removed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := &f.pending[queue.Gathered]
	if len(due.routes) < len(f.again.routes) {
		*due, f.again = f.again, *due
	}
	for r := range f.again.routes {
		f.again.remove(r)
		due.add(r)
	}
	removed, f.removed = f.removed, false
	return removed
}

func (f *feed) All(visit func(string, queue.Count)) {
	now := f.tracker.now()
	f.leased = f.leased[:0]
	f.tracker.Each(func(key string, r *Route) {
		count := r.count(now)
		if count.Cold || count.Leased {
			f.leased = append(f.leased, r)
		}
		visit(key, count)
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.leased {
		if !r.forgotten.Load() {
			f.again.add(r)
		}
	}
	clear(f.leased)
}

// add is called with a route that changed.
func (f *feed) add(u queue.Urgency, r *Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.forgotten.Load() { // else forget has been or will be here
		f.pending[u].add(r)
	}
}

// forget is called after a route was forgotten.
func (f *feed) forget(r *Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for u := range f.pending {
		f.pending[u].remove(r)
	}
	f.again.remove(r)
	f.removed = true
}

// routeSet is a set of routes that is filled and emptied over and over. Its zero
// value is empty.
type routeSet struct {
	routes map[*Route]struct{}
	size   int // most routes ever: what walking the map costs
	peak   int // most routes since it was empty
}

// smallSet is a size whose walk costs next to nothing.
const smallSet = 1024

func (s *routeSet) add(r *Route) {
	if s.routes == nil {
		s.routes = make(map[*Route]struct{})
	}
	s.routes[r] = struct{}{}
	s.peak = max(s.peak, len(s.routes))
	s.size = max(s.size, s.peak)
}

// remove may be called while the set is walked. A map never shrinks, so after a
// burst it is thrown away: one route must not cost a walk over the space of
// 100,000.
func (s *routeSet) remove(r *Route) {
	delete(s.routes, r)
	if len(s.routes) > 0 {
		return
	}
	if s.size > smallSet && s.peak < s.size/8 {
		s.routes, s.size = nil, 0
	}
	s.peak = 0
}
