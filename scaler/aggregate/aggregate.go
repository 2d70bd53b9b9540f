// Package aggregate adds up what the interceptors report: the concurrency of
// every route, its requests per second, and the moments at which somebody began
// to want it. It must not know how the reports arrive, nor who asks for the sums.
package aggregate

import (
	"sync"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// Fleet is the key of all routes together.
const Fleet = ""

// Demand is the demand of all routes over all interceptors. It is safe for
// concurrent use.
type Demand struct {
	signal chan struct{}

	mu     sync.Mutex
	routes map[string]*route
	fleet  route
	hits   map[string]Hit
}

// route is the demand of one route. A route exists while an interceptor reports
// it or its rate is measured.
type route struct {
	key       string
	inFlight  int64 // sum of what is really in flight
	leased    int   // interceptors whose lease is all there is
	cold      int   // interceptors with a live lease
	reporters int
	requested bool // an interceptor has told of requests

	window   *Window   // nil: the rate is not measured
	measured time.Time // when that began
	since    time.Time // the window holds all requests since; zero: that there ever were
}

func (r *route) active() bool { return r.inFlight > 0 || r.leased > 0 }

// Hit says that somebody asked for a route, and how urgent it is.
type Hit int

// The hits, by rising urgency.
const (
	// Warm is the first request after a silence, of a route that may be awake.
	Warm Hit = iota + 1
	// StillCold is a further request for a route that is waking already.
	StillCold
	// Cold is the first request that found no ready endpoint.
	Cold
)

// State is the demand of a route.
type State struct {
	// InFlight is the number of requests in flight on all interceptors.
	InFlight int64
	// Leased: an activation lease is all that an interceptor has. However many
	// there are, they ask for one replica.
	Leased bool
	// Cold: somebody asked, and no endpoint was ready since.
	Cold bool
	// Rate is requests per second, 0 if it is not measured.
	Rate float64
}

// Concurrency is what KEDA is told.
func (s State) Concurrency() int64 {
	if s.Leased {
		return max(s.InFlight, 1)
	}
	return s.InFlight
}

// Active says whether somebody wants the route.
func (s State) Active() bool { return s.InFlight > 0 || s.Leased || s.Rate > 0 }

// New returns a Demand without any.
func New() *Demand {
	return &Demand{
		signal: make(chan struct{}, 1),
		routes: make(map[string]*route),
		hits:   make(map[string]Hit),
	}
}

// Begin tells that every route which is there has been told of, and that from
// now on interceptors are heard. What those routes got before is unknown, so
// their rates are averaged over the time since now, as long as that is shorter
// than their window: a scaler that has just been restarted must not report a
// tenth of the load. Of routes that come later all is known.
func (d *Demand) Begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, r := range d.routes {
		r.since = now
	}
}

// Measure begins to measure the rate of a route, or changes how. What a route got
// that nobody measured, or that its window has dropped, is unknown as well.
func (d *Demand) Measure(key string, length, granularity time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	r := d.route(key)
	if r.window == nil {
		r.window, r.measured, r.since = NewWindow(length, granularity), now, time.Time{}
		if r.requested {
			r.since = now
		}
		return
	}
	if held := now.Add(-r.window.Length()); held.After(r.measured) && held.After(r.since) {
		r.since = held
	}
	r.window = r.window.Resized(length, granularity)
}

// Forget ends measuring the rate of a route.
func (d *Demand) Forget(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.routes[key]; r != nil {
		r.window = nil
		d.sweep(r)
	}
}

// State returns the demand of a route, or of the Fleet. A route that nobody has
// heard of has none.
func (d *Demand) State(key string) State {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &d.fleet
	if key != Fleet {
		if r = d.routes[key]; r == nil {
			return State{}
		}
	}
	return State{InFlight: r.inFlight, Leased: r.leased > 0, Cold: r.cold > 0, Rate: r.rate(time.Now())}
}

// minObserved is the shortest time that a rate is taken from.
const minObserved = time.Second

func (r *route) rate(now time.Time) float64 {
	if r.window == nil {
		return 0
	}
	observed := min(r.window.Length(), max(now.Sub(r.since), minObserved))
	return r.window.Count(now) / observed.Seconds()
}

// Changed signals that there are Hits to take; it has one reader.
func (d *Demand) Changed() <-chan struct{} { return d.signal }

// Hits returns the most urgent hit of each route since the last call.
func (d *Demand) Hits() map[string]Hit {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.hits) == 0 {
		return nil
	}
	hits := d.hits
	d.hits = make(map[string]Hit)
	return hits
}

// hit notes that somebody wants a route.
func (d *Demand) hit(key string, h Hit) {
	d.hits[key] = max(d.hits[key], h)
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// route returns the route of a key and makes it if need be.
func (d *Demand) route(key string) *route {
	r := d.routes[key]
	if r == nil {
		r = &route{key: key}
		d.routes[key] = r
	}
	return r
}

// sweep drops a route that is nobody's.
func (d *Demand) sweep(r *route) {
	if r.reporters == 0 && r.window == nil {
		delete(d.routes, r.key)
		delete(d.hits, r.key)
	}
}

// Interceptor is what one interceptor reports.
type Interceptor struct {
	demand *Demand
	counts map[*route]queue.Count // last known
	heard  time.Time              // last event; zero: none yet
}

// Interceptor adds an interceptor, which has reported nothing yet. The caller
// calls Close when it is gone.
func (d *Demand) Interceptor() *Interceptor {
	return &Interceptor{demand: d, counts: make(map[*route]queue.Count)}
}

// Apply takes what the interceptor reports, in order.
//
// RequestCount only grows; the requests of the first report were made at unknown
// times and do not count, and one that has fallen means that the interceptor was
// restarted. What a later snapshot adds happened since the last event.
func (i *Interceptor) Apply(e queue.Event) {
	d := i.demand
	d.mu.Lock()
	defer d.mu.Unlock()
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
			r := d.route(key)
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
			d.change(r, was, count, requests)
		}
	}
	i.heard = now
}

// Close forgets all that the interceptor reported.
func (i *Interceptor) Close() {
	i.demand.mu.Lock()
	defer i.demand.mu.Unlock()
	for r := range i.counts {
		i.remove(r)
	}
}

func (i *Interceptor) remove(r *route) {
	i.demand.change(r, i.counts[r], queue.Count{}, 0)
	delete(i.counts, r)
	r.reporters--
	i.demand.sweep(r)
}

// change replaces what one interceptor reported of a route, with the number of
// requests that came since.
func (d *Demand) change(r *route, was, is queue.Count, requests int64) {
	wasActive, wasCold, fleetWasActive := r.active(), r.cold > 0, d.fleet.active()
	inFlight := requestsOf(is) - requestsOf(was)
	r.inFlight += inFlight
	d.fleet.inFlight += inFlight
	r.leased += one(is.Leased) - one(was.Leased)
	r.cold += one(is.Cold) - one(was.Cold)

	switch {
	case r.cold > 0 && !wasCold:
		d.hit(r.key, Cold)
	case is.Cold && requests > 0:
		d.hit(r.key, StillCold)
	case !wasActive && (r.active() || requests > 0):
		// A request may be over before anybody sees it in flight.
		d.hit(r.key, Warm)
	}
	if !fleetWasActive && d.fleet.active() {
		d.hit(Fleet, Warm)
	}
}

// requestsOf is what is really in flight: a lease alone is reported as one.
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
