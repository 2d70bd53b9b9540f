package coldstart

import (
	"context"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// demand shows the demand of a request to the scaler, unless its target is awake: then
// the request waits for its turn. What the target needs is woken along.
func (c *ColdStart) demand(x *exchange.Exchange) {
	if x.Awake = x.Route.Target.Endpoints.Ready(); x.Awake {
		return
	}
	x.Cold = true
	ask(x.Route)
	for _, key := range x.Route.Needs {
		if needed, ok := c.route(key); ok && !needed.Target.Endpoints.Ready() {
			ask(needed)
		}
	}
}

// ask takes or renews the activation lease of a route.
func ask(route *exchange.Route) { route.InFlight.Cold(route.Lease, route.TargetReady) }

// A warm-up is a hold that is renewed each minute, because schedules begin with a minute. It is
// short: a warm-up that is taken out of its route ends within this time.
const warmUpHold = 90 * time.Second

// KeepWarm keeps targets awake while it is time for one of their warm-ups, until ctx ends. The
// routes are those of warm, which has changed when changed receives.
func (c *ColdStart) KeepWarm(ctx context.Context, warm func() []*exchange.Route, changed <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
		now := c.now()
		for _, route := range warm() {
			c.keepWarm(route, now)
		}
		timer.Reset(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
	}
}

// keepWarm renews the hold of a route, and those of the routes that it needs.
func (c *ColdStart) keepWarm(route *exchange.Route, now time.Time) {
	var end time.Time
	for _, warmUp := range route.WarmUps {
		if until := warmUp.End(now); until.After(end) {
			end = until
		}
	}
	if end.IsZero() {
		return
	}
	if soon := now.Add(warmUpHold); end.After(soon) {
		end = soon
	}
	route.InFlight.KeepUntil(end)
	for _, key := range route.Needs {
		if needed, ok := c.route(key); ok {
			needed.InFlight.KeepUntil(end)
		}
	}
}
