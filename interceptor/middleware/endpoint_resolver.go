package middleware

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
)

// coldStartHeader tells a client whether it met a sleeping target. The key is
// in net/http's canonical form, so that it can be set without a conversion.
const coldStartHeader = "X-Keda-Http-Cold-Start"

// retryAfter is what a client is told that found every place taken.
const retryAfter = 5 * time.Second

// EndpointResolver finds a ready endpoint for a request. While there is none,
// the target is woken and the client gets the best that its protocol allows: a
// stream of keepalives, a waiting page, a placeholder, or a silent wait.
type EndpointResolver struct {
	next    exchange.Handler
	budget  *coldstart.Budget
	maxBody int64
	header  bool
	metrics *metrics.Metrics
	now     func() time.Time
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
	return &EndpointResolver{next: next, budget: o.Budget, maxBody: o.MaxBody, header: o.Header, metrics: o.Metrics, now: o.Now}
}

// ServeExchange forwards to a ready endpoint, at once or when there is one.
func (s *EndpointResolver) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	target := x.Route.Target
	if slot, ok := target.Endpoints.Pick(); ok {
		if s.header {
			w.Header()[coldStartHeader] = []string{"false"}
		}
		return s.forward(w, r, x, slot)
	}
	x.Cold = true
	if s.header {
		w.Header()[coldStartHeader] = []string{"true"}
	}
	x.Route.InFlight.Cold(x.Route.Lease, target.Endpoints.Ready)
	return s.serveCold(w, r, x)
}

// serveCold picks the answer of a cold request, most specific first.
func (s *EndpointResolver) serveCold(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	if x.Route.Callback != nil {
		if dialect, ok := stream.Candidate(r); ok {
			return s.serveCandidate(w, r, x, dialect)
		}
	}
	if x.Route.Page != nil && page.IsNavigation(r) {
		return s.servePage(w, r, x)
	}
	if answersAtOnce(x.Route) {
		return x.Route.Placeholder.Serve(w, r)
	}
	leave, ok := x.Route.InFlight.Hold(x.Route.MaxPending)
	if !ok {
		return s.overflow(w, r, x)
	}
	defer leave()
	body, err := s.budget.ReadAhead(w, r, coldstart.ReadAheadLimit)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.hold(w, r, x)
}

// answersAtOnce says that a route holds nothing: its placeholder is given
// unless the route set a cap and wants the placeholder for the overflow only.
func answersAtOnce(route *exchange.Route) bool {
	return route.Placeholder != nil && !(route.CapOwn && route.OverflowPlaceholder)
}

// overflow answers a request that found every place taken.
func (s *EndpointResolver) overflow(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	s.metrics.Rejected(r.Context(), x.Route)
	if x.Route.Placeholder != nil && (x.Route.OverflowPlaceholder || answersAtOnce(x.Route)) {
		return x.Route.Placeholder.Serve(w, r)
	}
	return &exchange.Error{Status: http.StatusServiceUnavailable, Message: "too many requests are waiting for this service to start", RetryAfter: retryAfter}
}

// servePage gives a browser the page that turns into the application.
func (s *EndpointResolver) servePage(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	if page.IsLive(r) {
		// A browser over the cap gets the finite page, never an error.
		if leave, ok := x.Route.InFlight.Hold(x.Route.MaxPending); ok {
			defer leave()
			ready, stop := x.Route.Target.Endpoints.WhenReady()
			defer stop()
			return x.Route.Page.ServeLive(w, r, ready)
		}
	}
	return x.Route.Page.ServeFinite(w, r)
}

// serveCandidate reads the body of a request that may be a streaming one, which
// only the body can tell, and serves it as what it is.
func (s *EndpointResolver) serveCandidate(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, dialect *stream.Dialect) error {
	leave, ok := x.Route.InFlight.Hold(x.Route.MaxPending)
	if !ok {
		return s.overflow(w, r, x)
	}
	defer leave()
	limit := s.maxBody
	if !dialect.NeedsBody() {
		limit = coldstart.ReadAheadLimit
	}
	body, err := s.budget.ReadAhead(w, r, limit)
	if err != nil {
		return err
	}
	defer body.Close()
	if body.Complete || !dialect.NeedsBody() {
		if request, streaming := dialect.Parse(r, body.Bytes); streaming {
			return s.stream(w, r, x, request)
		}
	}
	if answersAtOnce(x.Route) {
		return x.Route.Placeholder.Serve(w, r)
	}
	return s.hold(w, r, x)
}

// wait is how a cold request waits for its turn.
type wait struct {
	waiter  *endpoints.Waiter
	expired <-chan time.Time
	timer   *time.Timer
}

// enqueue gives the request its place in the queue for an endpoint, until the
// readiness or the request timeout, whichever is first.
func (s *EndpointResolver) enqueue(x *exchange.Exchange) wait {
	w := wait{waiter: x.Route.Target.Endpoints.Enqueue()}
	now := s.now()
	left := x.Route.Readiness
	if x.Route.Request > 0 {
		if request := x.Route.Request - now.Sub(x.Start); left == 0 || request < left {
			left = max(request, 1)
		}
	}
	if left > 0 {
		w.timer = time.NewTimer(left)
		w.expired = w.timer.C
	}
	return w
}

// leave gives the place up. It may be called more than once.
func (w wait) leave() {
	w.waiter.Leave()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// hold waits silently for an endpoint, in order of arrival, and forwards.
func (s *EndpointResolver) hold(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	wait := s.enqueue(x)
	defer wait.leave()
	select {
	case slot := <-wait.waiter.C:
		return s.ready(w, r, x, slot)
	case <-wait.expired:
		return s.expire(w, r, x, wait)
	case <-r.Context().Done():
		return s.left(r, x)
	}
}

// ready forwards a request whose turn has come before anything was committed.
func (s *EndpointResolver) ready(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, slot endpoints.Slot) error {
	s.observe(r, x, metrics.OutcomeReady)
	return s.forward(w, r, x, slot)
}

// left ends a request whose client did not wait.
func (s *EndpointResolver) left(r *http.Request, x *exchange.Exchange) error {
	s.observe(r, x, metrics.OutcomeCancelled)
	return context.Cause(r.Context())
}

// expire ends a wait that took too long before anything was committed.
func (s *EndpointResolver) expire(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, wait wait) error {
	s.observe(r, x, metrics.OutcomeTimeout)
	// The place in the queue is free before the fallback is asked.
	wait.leave()
	if x.Route.Fallback != nil {
		x.Upstream = fallback(x.Route)
		return s.next.ServeExchange(w, r, x)
	}
	return waitExpired(x.Route)
}

// stream commits the response, keeps the client on the line until an endpoint
// is ready, and splices the real answer into the same response.
func (s *EndpointResolver) stream(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, request stream.Request) error {
	wait := s.enqueue(x)
	defer wait.leave()

	// A wake or a failure that is quick enough keeps its real status.
	if delay := x.Route.Callback.InitialDelay(); delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case slot := <-wait.waiter.C:
			return s.ready(w, r, x, slot)
		case <-wait.expired:
			return s.expire(w, r, x, wait)
		case <-r.Context().Done():
			return s.left(r, x)
		case <-timer.C:
		}
	} else {
		select {
		case slot := <-wait.waiter.C:
			return s.ready(w, r, x, slot)
		default:
		}
	}

	opened, err := x.Route.Callback.Open(w, request)
	if err != nil {
		return err
	}
	slot, err := opened.Wait(r.Context(), wait.waiter.C, wait.expired)
	switch {
	case err == nil:
		s.observe(r, x, metrics.OutcomeReady)
		x.Upstream = exchange.Upstream{Target: x.Route.Target, Slot: slot}
	case !errors.Is(err, stream.ErrExpired):
		s.observe(r, x, metrics.OutcomeCancelled)
		return err
	default:
		s.observe(r, x, metrics.OutcomeTimeout)
		wait.leave()
		if x.Route.Fallback == nil {
			failure := waitExpired(x.Route)
			x.Status = failure.Status
			return opened.Fail(failure.Status, failure.Message)
		}
		x.Upstream = fallback(x.Route)
	}
	return s.splice(opened, r, x)
}

// splice forwards with the committed stream as the response.
func (s *EndpointResolver) splice(opened *stream.Stream, r *http.Request, x *exchange.Exchange) error {
	x.Identity = true
	splicer := opened.Splice(r)
	err := splicer.Close(s.next.ServeExchange(splicer, r, x))
	x.Status = splicer.Status()
	return err
}

// forward sends the request to the target.
func (s *EndpointResolver) forward(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, slot endpoints.Slot) error {
	x.Upstream = exchange.Upstream{Target: x.Route.Target, Slot: slot}
	return s.next.ServeExchange(w, r, x)
}

// observe records how the wait of a cold request ended.
func (s *EndpointResolver) observe(r *http.Request, x *exchange.Exchange, outcome metrics.Outcome) {
	s.metrics.ColdStart(r.Context(), x.Route, outcome, s.now().Sub(x.Start))
}

// fallback is the upstream of a request whose target did not wake in time: a
// ready endpoint if one is known, else the Service by its name.
func fallback(route *exchange.Route) exchange.Upstream {
	slot, _ := route.Fallback.Endpoints.Pick()
	return exchange.Upstream{Target: route.Fallback, Slot: slot}
}

// waitExpired is the failure of a request that has waited long enough. A target
// that cannot exist is not a slow one.
func waitExpired(route *exchange.Route) *exchange.Error {
	if route.Target.Problem != "" {
		return &exchange.Error{Status: http.StatusServiceUnavailable, Message: "the service behind this route is not available", RetryAfter: retryAfter}
	}
	return &exchange.Error{Status: http.StatusGatewayTimeout, Message: "the service did not become ready in time"}
}
