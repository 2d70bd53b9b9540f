package middleware

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/interceptor/coldstart/wake"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// coldStartHeader tells a client whether it met a sleeping target. The key is
// in net/http's canonical form, so that it can be set without a conversion.
const coldStartHeader = "X-Keda-Http-Cold-Start"

// retryAfter is what a client is told that found every place taken, unless it is
// known how long the wake will take.
const retryAfter = 5 * time.Second

// EndpointResolver finds a ready endpoint for a request. While there is none,
// the target is woken and the client gets the best that its protocol allows: a
// stream of keepalives, a waiting page, a placeholder, or a silent wait.
type EndpointResolver struct {
	next    exchange.Handler
	budget  *coldstart.Budget
	maxBody int64
	metrics *metrics.Metrics
	now     func() time.Time
	// warm and cold are the values of the cold-start header, nil if it is switched
	// off. All responses share them: they are full, so that whoever adds a value
	// gets a copy.
	warm, cold []string
}

// EndpointResolverOptions configures an EndpointResolver.
type EndpointResolverOptions struct {
	// Budget bounds all request bodies that are buffered at a time.
	Budget *coldstart.Budget
	// MaxBody bounds the body that is read to find out whether a request is
	// streaming, in bytes.
	MaxBody int64
	// Header sets X-KEDA-HTTP-Cold-Start on responses.
	Header bool
	// Metrics of cold starts.
	Metrics *metrics.Metrics
	// Now is the clock.
	Now func() time.Time
}

// NewEndpointResolver returns the step before next, which forwards.
func NewEndpointResolver(next exchange.Handler, o EndpointResolverOptions) *EndpointResolver {
	s := &EndpointResolver{next: next, budget: o.Budget, maxBody: o.MaxBody, metrics: o.Metrics, now: o.Now}
	if o.Header {
		s.warm, s.cold = []string{"false"}, []string{"true"}
	}
	return s
}

// ServeExchange forwards to a ready endpoint, at once or when there is one.
func (s *EndpointResolver) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	target := x.Route.Target
	if slot, ok := target.Endpoints.PickWithin(x.Route.ReleaseConcurrency); ok {
		if s.warm != nil {
			w.Header()[coldStartHeader] = s.warm
		}
		return s.forward(w, r, x, slot)
	}
	demand(x)
	header := s.warm
	if x.Cold {
		header = s.cold
	}
	if header != nil {
		w.Header()[coldStartHeader] = header
	}
	return s.serveWaiting(w, r, x)
}

// demand shows the demand of a request that waits, unless its target is awake: then
// it waits for its turn.
func demand(x *exchange.Exchange) {
	if x.Awake = x.Route.Target.Endpoints.Ready(); !x.Awake {
		x.Cold = true
		x.Route.InFlight.Cold(x.Route.Lease, x.Route.TargetReady)
	}
}

// serveWaiting picks the answer of a request that no endpoint takes yet, most
// specific first.
func (s *EndpointResolver) serveWaiting(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	if x.Route.Callback != nil {
		if dialect, ok := stream.Candidate(r); ok {
			return s.hold(w, r, x, dialect)
		}
	}
	// A target that is awake and takes no more for now is worth a wait in its line:
	// a page would reload itself at once.
	if !x.Awake {
		if x.Route.Page != nil && page.IsNavigation(r) {
			return s.servePage(w, r, x)
		}
		if answersAtOnce(x.Route) {
			x.Trace.Event(tracing.Placeholder)
			return x.Route.Placeholder.Serve(w, r)
		}
	}
	return s.hold(w, r, x, nil)
}

// answersAtOnce says that a route holds nothing: its placeholder is given
// unless the route set a cap and wants the placeholder for the overflow only.
func answersAtOnce(route *exchange.Route) bool {
	return route.Placeholder != nil && (!route.CapOwn || !route.OverflowPlaceholder)
}

// overflow answers a request that found every place taken.
func (s *EndpointResolver) overflow(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	s.metrics.Rejected(r.Context(), x.Route)
	x.Trace.Event(tracing.Rejected)
	if x.Route.Placeholder != nil && (x.Route.OverflowPlaceholder || answersAtOnce(x.Route)) {
		x.Trace.Event(tracing.Placeholder)
		return x.Route.Placeholder.Serve(w, r)
	}
	return &exchange.Error{Status: http.StatusServiceUnavailable, Message: "too many requests are waiting for this service to start", RetryAfter: s.progress(x).RetryAfter(retryAfter)}
}

// servePage gives a browser the page that turns into the application.
func (s *EndpointResolver) servePage(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	x.Trace.Event(tracing.Page)
	if page.IsLive(r) {
		// A browser over the cap gets the finite page, never an error.
		if release, ok := x.Route.InFlight.Hold(x.Route.MaxPending); ok {
			defer release()
			ready, stop := x.Route.Target.Endpoints.WhenReady()
			defer stop()
			err := x.Route.Page.ServeLive(w, r, s.progress(x), ready)
			select {
			case <-ready:
				s.observe(r, x, metrics.OutcomeReady)
			default: // it comes back
			}
			return err
		}
	}
	return x.Route.Page.ServeFinite(w, r, s.progress(x))
}

// hold waits for an endpoint, in order of arrival, and forwards. With a dialect
// the request may be a streaming one, which only its whole body can tell: it is
// served as what it turns out to be.
func (s *EndpointResolver) hold(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, dialect *stream.Dialect) error {
	release, ok := x.Route.InFlight.Hold(x.Route.MaxPending)
	if !ok {
		return s.overflow(w, r, x)
	}
	x.Trace.Event(tracing.Held)
	wait := enqueue(x, s.now(), release)
	defer wait.leave()
	limit, object := int64(coldstart.ReadAheadLimit), false
	if dialect != nil {
		limit, object = s.maxBody, dialect.Object()
	}
	// The clocks of the wait run while the body is read.
	upload, r := s.budget.Receive(w, r, limit, object)
	defer upload.Close()
	wait.upload = upload
	if dialect != nil {
		return s.holdCandidate(w, r, x, dialect, wait)
	}
	slot, ending := wait.await(r.Context(), x, nil)
	return s.uncommitted(w, r, x, wait, slot, ending)
}

// holdCandidate is hold for a request that may be a streaming one. As long as
// that is not known it is held like any other: its body may never end, or only
// after an answer.
func (s *EndpointResolver) holdCandidate(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, dialect *stream.Dialect, wait *wait) error {
	callback := x.Route.Callback // the route may be replaced by one that has none
	if wait.upload != nil {
		if slot, ending := wait.await(r.Context(), x, wait.upload.Settled()); ending != elapsed {
			return s.uncommitted(w, r, x, wait, slot, ending)
		}
	}
	if body, whole := wait.upload.Whole(); whole {
		if request, streaming := dialect.Parse(r, body); streaming {
			return s.stream(w, r, x, callback, request, wait)
		}
	}
	if answersAtOnce(x.Route) && !x.Route.Target.Endpoints.Ready() {
		wait.leave()
		_ = wait.upload.Close() // never fails
		x.Trace.Event(tracing.Placeholder)
		return x.Route.Placeholder.Serve(w, r)
	}
	slot, ending := wait.await(r.Context(), x, nil)
	return s.uncommitted(w, r, x, wait, slot, ending)
}

// uncommitted goes on after a wait in which nothing was sent to the client.
func (s *EndpointResolver) uncommitted(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, wait *wait, slot endpoints.Slot, ending ending) error {
	wait.leave()
	switch ending {
	case served:
		s.observe(r, x, metrics.OutcomeReady)
		return s.forward(w, r, x, slot)
	case left:
		s.observe(r, x, metrics.OutcomeCancelled)
		return context.Canceled
	case failed:
		s.observe(r, x, metrics.OutcomeCancelled)
		return wait.upload.Err()
	}
	s.observe(r, x, metrics.OutcomeTimeout)
	if x.Route.Fallback != nil && !wait.final {
		x.Upstream = fallback(x.Route)
		return s.next.ServeExchange(w, r, x)
	}
	return s.waitExpired(x)
}

// stream commits the response, keeps the client on the line until an endpoint
// is ready, and splices the real answer into the same response.
func (s *EndpointResolver) stream(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, callback *stream.Callback, request stream.Request, wait *wait) error {
	if delay := callback.InitialDelay(); delay > 0 {
		// A wake or a failure that is quick enough keeps its real status.
		over := make(chan struct{})
		timer := time.AfterFunc(delay, func() { close(over) })
		defer timer.Stop()
		if slot, ending := wait.await(r.Context(), x, over); ending != elapsed {
			return s.uncommitted(w, r, x, wait, slot, ending)
		}
	}
	opened, err := callback.Of(func() wake.Progress { return s.progress(x) }).Open(w, request)
	if err != nil {
		return err
	}
	x.Trace.Event(tracing.Committed)
	slot, err := s.keepOnTheLine(r, x, wait, opened)
	wait.leave()
	switch {
	case err == nil:
		s.observe(r, x, metrics.OutcomeReady)
		x.Upstream = exchange.Upstream{Target: x.Route.Target, Slot: slot}
	case !errors.Is(err, stream.ErrExpired):
		s.observe(r, x, metrics.OutcomeCancelled)
		return err
	default:
		s.observe(r, x, metrics.OutcomeTimeout)
		if x.Route.Fallback == nil || wait.final {
			failure := s.waitExpired(x)
			x.Status = failure.Status
			return opened.Fail(failure.Status, failure.Message)
		}
		x.Upstream = fallback(x.Route)
	}
	return s.splice(opened, r, x)
}

// keepOnTheLine is await for a stream that is open.
func (s *EndpointResolver) keepOnTheLine(r *http.Request, x *exchange.Exchange, wait *wait, opened *stream.Stream) (endpoints.Slot, error) {
	for {
		slot, err := opened.Wait(r.Context(), wait.waiter.C, wait.expired, x.Route.Replaced())
		if !errors.Is(err, stream.ErrInterrupted) {
			return slot, err
		}
		wait.follow(x)
	}
}

// splice forwards with the committed stream as the response.
func (s *EndpointResolver) splice(opened *stream.Stream, r *http.Request, x *exchange.Exchange) error {
	x.Identity = true
	splicer := opened.Splice(r, s.budget)
	err := splicer.Close(s.next.ServeExchange(splicer, r, x))
	x.Status = splicer.Status()
	return err
}

// forward sends the request to the target.
func (s *EndpointResolver) forward(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, slot endpoints.Slot) error {
	x.Upstream = exchange.Upstream{Target: x.Route.Target, Slot: slot}
	return s.next.ServeExchange(w, r, x)
}

// observe records how the wait of a cold request ended. The first one that got
// an endpoint ends the wake. A wait for a turn is no cold start.
func (s *EndpointResolver) observe(r *http.Request, x *exchange.Exchange, outcome metrics.Outcome) {
	if !x.Cold {
		return
	}
	if outcome == metrics.OutcomeReady {
		x.Route.InFlight.Woke()
	}
	now := s.now()
	s.metrics.ColdStart(r.Context(), x.Route, outcome, now.Sub(x.Start))
	x.Trace.ColdStart(string(outcome), now)
}

// fallback is the upstream of a request whose target did not wake in time: a
// ready endpoint if one is known, else the Service by its name.
func fallback(route *exchange.Route) exchange.Upstream {
	slot, _ := route.Fallback.Endpoints.Pick()
	return exchange.Upstream{Target: route.Fallback, Slot: slot}
}

// progress is how far the wake is that the request waits for. There is none if it
// waits for its turn: nobody knows when that is.
func (s *EndpointResolver) progress(x *exchange.Exchange) wake.Progress {
	if x.Awake {
		return wake.Progress{Elapsed: s.now().Sub(x.Start)}
	}
	elapsed, estimate := x.Route.InFlight.Wake()
	return wake.Progress{Elapsed: elapsed, Estimate: estimate}
}

// waitExpired is the failure of a request that has waited long enough. A target
// that cannot exist is not a slow one. When a slow one will be ready is said only
// if it is known.
func (s *EndpointResolver) waitExpired(x *exchange.Exchange) *exchange.Error {
	if x.Route.Target.Problem != "" {
		return &exchange.Error{Status: http.StatusServiceUnavailable, Message: "the service behind this route is not available", RetryAfter: retryAfter}
	}
	return &exchange.Error{
		Status: http.StatusGatewayTimeout, Message: "the service did not become ready in time",
		RetryAfter: s.progress(x).RetryAfter(0),
	}
}
