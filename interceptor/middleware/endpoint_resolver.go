package middleware

import (
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
)

// EndpointResolver counts a request as in flight for as long as it is served, and decides about
// its next step. A request whose target has a ready endpoint goes to forward, any other to the
// cold start.
type EndpointResolver struct {
	forward, cold exchange.Handler
	parking       parking
}

// NewEndpointResolver returns the step before forward and cold. budget is charged with
// requests that wait for the pod of their session.
func NewEndpointResolver(forward, cold exchange.Handler, budget *body.Budget) *EndpointResolver {
	return &EndpointResolver{forward: forward, cold: cold, parking: parking{budget}}
}

// ServeExchange forwards to a ready endpoint if there is one.
func (s *EndpointResolver) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	if x.Route.Session != nil {
		return s.serveSession(w, r, x)
	}
	// The import of inflight gives the compiler the body of Acquire. Through exchange alone, it
	// allocates (Go 1.26).
	release := (*inflight.Route).Acquire(x.Route.InFlight)
	defer release()
	target := x.Route.Target
	slot, ok := target.Endpoints.PickWithin(x.Route.ReleaseConcurrency)
	if !ok {
		return s.cold.ServeExchange(w, r, x)
	}
	x.Upstream = exchange.Upstream{Target: target, Slot: slot}
	return s.forward.ServeExchange(w, r, x)
}
