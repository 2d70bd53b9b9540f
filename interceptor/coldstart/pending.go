package coldstart

import (
	"context"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// responder decides what a client gets while its request is pending, and how the request ends for
// it. The goroutine that serves the request calls it.
type responder interface {
	// start is called when the wait begins, and tick when the time that either of them
	// returned is over, or p.notify is closed. A time of 0 leaves the next tick as it
	// is; answered and woken end the wait, and so does an error. After replaced, p.responder is
	// another one, which is started.
	start(p *pending) (next time.Duration, err error)
	tick(p *pending) (next time.Duration, err error)
	// ready ends the request at p.x.Upstream.
	ready(p *pending) error
	// failed ends the request with a failure.
	failed(p *pending, failure *clienterror.Error) error
	// overflow answers a request that found every place taken.
	overflow(p *pending) error
}

const (
	// answered, in place of the time of the next tick, means that the client has its
	// answer.
	answered time.Duration = -1
	// woken is answered for a client that got its answer because the target is ready.
	woken time.Duration = -2
	// replaced means that p.responder is another one now.
	replaced time.Duration = -3
)

// failureAgain is when a client should try again whose target cannot wake: the operator looks
// as often.
const failureAgain = 30 * time.Second

// pending is a request that waits for an endpoint. It has a place in the queue of its target's
// port, and one among the held requests of its route. The goroutine that serves the request owns
// it.
type pending struct {
	*ColdStart
	w http.ResponseWriter
	r *http.Request
	x *exchange.Exchange

	responder responder
	// due fires when the responder's tick is due, notify is closed when it is due
	// early; nil means never.
	due    *time.Timer
	notify <-chan struct{}

	port         *endpoints.Port
	waiter       *endpoints.Waiter
	place        *inflight.Route // whose held requests it is among; nil if it is not
	charged      int             // bytes of the budget
	older, newer *pending        // of waiting

	// reports is closed with the next report of the wake; nil if neither the responder shows it nor
	// the route fails early.
	reports <-chan struct{}
	// deadline fires when the readiness or the request timeout is over, whichever comes first;
	// nil means no limit. last reports that it is the request timeout, which leaves no time for a
	// fallback.
	deadline *time.Timer
	last     bool
	// shows means that the responder shows reports, and is ticked for each.
	shows bool
}

// wait is THE wait of a cold request. It ends with an endpoint or an answer of the responder.
// It also ends with a timeout, the failure of the wake or the body, or the client's departure.
func (p *pending) wait(as responder) error {
	route := p.x.Route.InFlight
	if !route.Hold(p.x.Route.MaxPending) {
		return as.overflow(p)
	}
	if !p.charge() {
		route.Unhold()
		return as.overflow(p)
	}
	p.responder, p.place = as, route
	p.enqueue()
	p.waiting.add(p)
	defer p.leave() // a responder may panic
	over, err := p.respondBy(responder.start)
	for !over {
		switch what, slot := p.await(); what {
		case released:
			return p.ready(slot)
		case evicted:
			return p.shed()
		case expired:
			return p.end(metrics.OutcomeTimeout)
		case hopeless:
			return p.end(metrics.OutcomeFailed)
		case left:
			return p.cancel(context.Cause(p.r.Context()))
		case broken:
			return p.cancel(p.x.Body.Err())
		case rerouted:
			p.follow()
			p.reports = nil
		case due:
			over, err = p.respondBy(responder.tick)
		}
	}
	return err
}

// happening is what a pending request waits for.
type happening uint8

const (
	released happening = iota // an endpoint
	evicted                   // its place is gone
	expired                   // a timeout
	hopeless                  // the failure of the wake
	left                      // the departure of the client

	broken   // the failure of its body
	rerouted // the replacement of its route
	due      // the next tick of the responder
)

// await waits until something happens. The frame of its select is gone when a responder
// writes the head of a response, which is where the stack is deepest.
func (p *pending) await() (happening, endpoints.Slot) {
	for !p.failed() {
		select {
		case slot, ok := <-p.waiter.C:
			return place(slot, ok)
		case <-fires(p.deadline):
			return p.atLast(expired)
		case <-p.reports:
			if p.reports = nil; p.shows {
				if p.failed() {
					return p.atLast(hopeless)
				}
				return due, endpoints.Slot{}
			}
		case <-p.r.Context().Done():
			return left, endpoints.Slot{}
		case <-p.x.Body.Failed():
			return broken, endpoints.Slot{}
		case <-p.x.Route.Replaced():
			return rerouted, endpoints.Slot{}
		case <-p.notify:
			p.notify = nil
			return due, endpoints.Slot{}
		case <-fires(p.due):
			return due, endpoints.Slot{}
		}
	}
	return p.atLast(hopeless)
}

// atLast returns the endpoint that comes with the end of the wait, or else the end.
func (p *pending) atLast(end happening) (happening, endpoints.Slot) {
	select {
	case slot, ok := <-p.waiter.C:
		return place(slot, ok)
	default:
		return end, endpoints.Slot{}
	}
}

// place returns what the end of the place in the queue means.
func place(slot endpoints.Slot, ok bool) (happening, endpoints.Slot) {
	if !ok {
		return evicted, endpoints.Slot{}
	}
	return released, slot
}

// charge charges the budget with what the request takes while it waits. It reports
// whether there is room. A large head is charged to the budget in place of the heads in
// service.
func (p *pending) charge() bool {
	cost := body.Held + p.x.Head + p.x.Body.Window()
	if !p.budget.Reserve(cost) {
		return false
	}
	p.charged, p.x.Waited = cost, true
	if p.x.Heads != nil {
		p.x.Heads.Release(p.x.Head)
	}
	return true
}

// refund gives bytes of the budget back.
func (p *pending) refund(bytes int) {
	p.charged -= bytes
	p.budget.Release(bytes)
}

// fires returns the channel of a timer, nil for none.
func fires(t *time.Timer) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C
}

// enqueue takes a place in the queue and starts the clock.
func (p *pending) enqueue() {
	route := p.x.Route
	p.port = route.Target.Endpoints
	p.waiter = p.port.Enqueue(route.ReleaseConcurrency)
	left := route.Readiness
	if route.Request > 0 {
		if request := route.Request - p.now().Sub(p.x.Start); left == 0 || request <= left {
			left, p.last = max(request, 1), true
		}
	}
	p.expireAfter(left, left > 0)
}

// expireAfter sets the end of the wait in place of the one before; not bounded is never.
func (p *pending) expireAfter(left time.Duration, bounded bool) {
	if p.deadline != nil {
		p.deadline.Stop()
		p.deadline = nil
	}
	if bounded {
		p.deadline = time.NewTimer(left)
	}
}

// respondBy lets the responder send something and sets the time of its next tick. It
// reports whether the wait is over.
func (p *pending) respondBy(step func(responder, *pending) (time.Duration, error)) (over bool, err error) {
	next, err := step(p.responder, p)
	if next == replaced {
		next, err = p.responder.start(p)
	}
	switch {
	case next == answered:
		p.finish("")
		return true, err
	case next == woken:
		p.finish(metrics.OutcomeReady)
		return true, err
	case err != nil:
		return true, p.cancel(err)
	case p.due == nil && next > 0:
		p.due = time.NewTimer(next)
	case next > 0:
		p.due.Reset(next)
	}
	return false, nil
}

// follow continues the wait under the route that replaced the request's. Correcting the name of a
// target thus frees the requests that wait for it. The demand moves along.
func (p *pending) follow() {
	p.x.Route = p.x.Route.Successor()
	if port := p.x.Route.Target.Endpoints; port != p.port {
		p.waiting.move(p, port)
	} else {
		p.waiter.Limit(p.x.Route.ReleaseConcurrency)
	}
	// A route that was deleted in between has forgotten its lease.
	p.demand(p.x)
}

// ready ends the wait with an endpoint. One that arrives for a client that has left goes
// to the next request.
func (p *pending) ready(slot endpoints.Slot) error {
	if err := httpserver.Departure(p.r.Context()); err != nil {
		slot.Release()
		return p.cancel(err)
	}
	p.finish(metrics.OutcomeReady)
	if pod, ok := p.x.Session.Pod(); ok {
		slot = slot.Prefer(pod)
	}
	p.x.Upstream = exchange.Upstream{Target: p.x.Route.Target, Slot: slot}
	return p.responder.ready(p)
}

// failed reports whether the wake has failed, and the route does not wait for such a one. It
// looks once for each report.
func (p *pending) failed() bool {
	if p.reports != nil || !p.x.Route.FailEarly && !p.shows {
		return false
	}
	p.reports = p.x.Route.Reported.Changed() // before the look, so that none is missed
	return p.x.Route.FailEarly && p.now().Before(p.reported().FailedUntil) && !p.x.Route.Target.Endpoints.Ready()
}

// end ends the wait without an endpoint.
func (p *pending) end(outcome metrics.Outcome) error {
	if err := httpserver.Departure(p.r.Context()); err != nil {
		return p.cancel(err)
	}
	p.finish(outcome)
	return p.late(outcome)
}

// late answers a request whose target did not become ready, in time or at all. The answer is
// the fallback if the route has one, else a failure.
func (p *pending) late(outcome metrics.Outcome) error {
	if p.x.Route.Fallback != nil && !p.last {
		slot, _ := p.x.Route.Fallback.Endpoints.Pick() // else its Service is dialled by name
		p.x.Upstream = exchange.Upstream{Target: p.x.Route.Fallback, Slot: slot}
		return p.responder.ready(p)
	}
	if outcome == metrics.OutcomeFailed {
		return p.responder.failed(p, &clienterror.Error{
			Status: http.StatusServiceUnavailable, Message: "the service cannot be started", RetryAfter: failureAgain,
		})
	}
	return p.responder.failed(p, p.timedOut())
}

// cancel ends the wait for a request that no longer needs an answer.
func (p *pending) cancel(err error) error {
	p.finish(metrics.OutcomeCancelled)
	return err
}

// finish releases everything that waiting takes, and records the outcome. The first request that
// got an endpoint ends the wake. A wait for a turn is not a cold start, and has an outcome only
// if it was shed. A client that was answered comes back or does not want to wait, and has no
// outcome.
func (p *pending) finish(outcome metrics.Outcome) {
	p.leave()
	if outcome != "" && (p.x.Cold || outcome == metrics.OutcomeShed) {
		p.record(outcome)
	}
}

// record records the outcome.
func (p *pending) record(outcome metrics.Outcome) {
	if outcome == metrics.OutcomeReady {
		p.x.Route.InFlight.Woke()
	}
	now := p.now()
	p.metrics.ColdStart(p.r.Context(), p.x.Route, outcome, now.Sub(p.x.Start))
	if p.x.Cold {
		report := p.reported()
		p.x.Trace.ColdStart(string(outcome), report.Stage.Phase.String(), report.Reason, now)
	}
}

// leave gives up the place in the queue, the place among the held requests, and the
// timers. It may be called again.
func (p *pending) leave() {
	p.waiting.remove(p)
	p.waiter.Leave()
	if p.place != nil {
		p.place.Unhold()
		p.place = nil
	}
	if p.charged > 0 && p.x.Heads != nil {
		p.x.Heads.Take(p.x.Head)
	}
	p.refund(p.charged)
	for _, timer := range [...]*time.Timer{p.deadline, p.due} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// progress returns how far the wake is that the request waits for. The time until its turn cannot
// be estimated.
func (p *pending) progress() eta.Progress {
	if p.x.Awake {
		return eta.Progress{Elapsed: p.now().Sub(p.x.Start), Stage: eta.Stage{Phase: eta.Ready}}
	}
	elapsed, estimate := p.x.Route.InFlight.Wake()
	now := eta.Progress{Elapsed: elapsed, Estimate: estimate}
	report := p.reported()
	if now.Stage = report.Stage; !report.Expected.IsZero() {
		now.Left = max(report.Expected.Sub(p.now()), 0)
	}
	return now
}

// reported is what the cluster has last reported of the wake.
func (p *pending) reported() exchange.Report {
	return p.x.Route.Reported.Load(p.x.Route.Target.Endpoints.Lost())
}

// timedOut is the failure of a request that has waited long enough. A target that cannot
// exist is not a slow one. A slow one has a Retry-After only if its time is known.
func (p *pending) timedOut() *clienterror.Error {
	if p.x.Route.Target.Problem != "" {
		return &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "the service behind this route is not available"}
	}
	return &clienterror.Error{
		Status: http.StatusGatewayTimeout, Message: "the service did not become ready in time",
		RetryAfter: p.progress().RetryAfter(0),
	}
}
