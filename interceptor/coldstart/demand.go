package coldstart

import (
	"context"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// demand shows the demand of a request to the scaler, unless its target is awake: then
// the request waits for its turn. What the target needs is kept awake until the target is ready.
func (c *ColdStart) demand(x *exchange.Exchange) {
	route := x.Route
	if x.Awake = route.Target.Endpoints.Ready(); x.Awake {
		return
	}
	x.Cold = true
	route.InFlight.Cold(route.Lease, route.TargetReady)
	for _, key := range route.Needs {
		if needed, ok := c.route(key); ok {
			needed.InFlight.KeepFor(route.Name, route.Lease, route.TargetReady)
		}
	}
}

// A warm-up is a hold that is renewed each minute, because schedules begin with a minute. It is
// short: a warm-up that is taken out of its route ends within this time.
const warmUpHold = 90 * time.Second

// warmUps are the routes that have warm-ups.
type warmUps map[routing.Key]*warmUpState

// warmUpState is what is known of the warm-ups of a route.
type warmUpState struct {
	route  *exchange.Route
	looked bool // at this compiled route
	live   bool
}

// KeepWarm keeps targets awake during the warm-ups of their routes, until ctx ends. routes
// returns the routes that have warm-ups; changed signals that it returns others.
func (c *ColdStart) KeepWarm(ctx context.Context, routes func() []*exchange.Route, changed <-chan struct{}) {
	known := warmUps{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		minute := false
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
			minute = true
			now := c.now()
			timer.Reset(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		}
		known.set(routes())
		for key, state := range known {
			if ctx.Err() != nil {
				return
			}
			if minute || !state.looked {
				c.keepWarm(key, state)
			}
		}
	}
}

// set replaces the routes. Those that have not changed stay as they are.
func (w warmUps) set(routes []*exchange.Route) {
	there := make(map[routing.Key]bool, len(routes))
	for _, route := range routes {
		key := routing.Key{Namespace: route.Namespace, Name: route.Name}
		there[key] = true
		if w[key] == nil {
			w[key] = &warmUpState{}
		}
		if w[key].route != route {
			w[key].route, w[key].looked = route, false
		}
	}
	for key := range w {
		if !there[key] {
			delete(w, key)
		}
	}
}

// keepWarm renews the hold of a route during a warm-up, and those of the routes that it needs.
func (c *ColdStart) keepWarm(key routing.Key, state *warmUpState) {
	route, now := state.route, c.now()
	var end time.Time
	for _, warmUp := range route.WarmUps {
		if until := warmUp.End(now); until.After(end) {
			end = until
		}
	}
	state.looked = true
	if live := !end.IsZero(); live != state.live {
		state.live = live
		c.log.Info("warm-up", "route", key.String(), "live", live)
	}
	if !state.live {
		return
	}
	left := min(end.Sub(now), warmUpHold)
	route.InFlight.Keep(left)
	for _, key := range route.Needs {
		if needed, ok := c.route(key); ok {
			needed.InFlight.Keep(left)
		}
	}
}
