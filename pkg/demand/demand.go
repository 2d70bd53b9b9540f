// Package demand adds up what interceptors report: for every route its concurrency, its requests
// per second, and the moments of its first requests. It must not know how the reports arrive, nor
// who reads the sums.
package demand

import (
	"sync"
	"time"
)

// Fleet is the key of all routes together.
const Fleet = ""

// Aggregate is the demand of all routes over all interceptors. It is safe for
// concurrent use.
type Aggregate struct {
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
	inFlight  int64 // requests in flight, without leases
	leased    int   // interceptors that have a lease or a hold and no request in flight
	cold      int   // interceptors with a live activation lease
	reporters int
	requested bool // an interceptor has reported requests

	window   *Window   // nil: the rate is not measured
	measured time.Time // when measuring began
	since    time.Time // the window holds all requests since then; zero: all requests ever
}

func (r *route) active() bool { return r.inFlight > 0 || r.leased > 0 }

// Hit reports that a request for a route came, and how urgent that is.
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
	// Leased reports whether an interceptor has an activation lease or a hold, and no
	// request in flight. However many interceptors do, they ask for one replica.
	Leased bool
	// Cold reports whether a request came and no endpoint was ready since.
	Cold bool
	// Rate is requests per second, 0 if it is not measured.
	Rate float64
}

// Concurrency is the value of the concurrency metric.
func (s State) Concurrency() int64 {
	if s.Leased {
		return max(s.InFlight, 1)
	}
	return s.InFlight
}

// Active reports whether the route's target should be awake.
func (s State) Active() bool { return s.InFlight > 0 || s.Leased || s.Rate > 0 }

// New returns an Aggregate without routes.
func New() *Aggregate {
	return &Aggregate{
		signal: make(chan struct{}, 1),
		routes: make(map[string]*route),
		hits:   make(map[string]Hit),
	}
}

// Begin is called once every route that existed at the start is measured, and before the first
// report. What those routes got before is unknown. Begin therefore averages their rates over the
// time since now, as long as that is shorter than their window. Otherwise a scaler that has just
// restarted would report a tenth of the load. The requests of routes that come later are all
// known.
func (a *Aggregate) Begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, r := range a.routes {
		r.since = now
	}
}

// Measure begins to measure the rate of a route, or changes its window. Requests
// from before the measuring, or that the window has dropped, are unknown as well.
func (a *Aggregate) Measure(key string, length, granularity time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	r := a.route(key)
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
func (a *Aggregate) Forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.routes[key]; r != nil {
		r.window = nil
		a.sweep(r)
	}
}

// State returns the demand of a route, or of the Fleet. An unknown route has the
// zero State.
func (a *Aggregate) State(key string) State {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.fleet
	if key != Fleet {
		if r = a.routes[key]; r == nil {
			return State{}
		}
	}
	return State{InFlight: r.inFlight, Leased: r.leased > 0, Cold: r.cold > 0, Rate: r.rate(time.Now())}
}

// minObserved is the shortest time that a rate is averaged over.
const minObserved = time.Second

func (r *route) rate(now time.Time) float64 {
	if r.window == nil {
		return 0
	}
	observed := min(r.window.Length(), max(now.Sub(r.since), minObserved))
	return r.window.Count(now) / observed.Seconds()
}

// Changed signals that Hits has something to return. It has one reader.
func (a *Aggregate) Changed() <-chan struct{} { return a.signal }

// Hits returns the most urgent hit of each route since the last call.
func (a *Aggregate) Hits() map[string]Hit {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.hits) == 0 {
		return nil
	}
	hits := a.hits
	a.hits = make(map[string]Hit)
	return hits
}

// hit records the most urgent hit of a route, and signals it.
func (a *Aggregate) hit(key string, h Hit) {
	a.hits[key] = max(a.hits[key], h)
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// route returns the route of a key, creating it if it does not exist.
func (a *Aggregate) route(key string) *route {
	r := a.routes[key]
	if r == nil {
		r = &route{key: key}
		a.routes[key] = r
	}
	return r
}

// sweep deletes a route that no interceptor reports and that is not measured.
func (a *Aggregate) sweep(r *route) {
	if r.reporters == 0 && r.window == nil {
		delete(a.routes, r.key)
		delete(a.hits, r.key)
	}
}
