package middleware

import (
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// EndpointResolver is the step that counts a request as in flight for as long as it is
// served, and decides: one whose target has a ready endpoint goes to forward, any other to
// the cold start.
type EndpointResolver struct {
	forward, cold exchange.Handler
	// warm is the value of the cold-start header, nil if it is switched off. All
	// responses share it: it is full, so that whoever adds a value gets a copy.
	warm []string
}

// NewEndpointResolver returns the step before forward and cold. header sets
// X-KEDA-HTTP-Cold-Start on responses.
func NewEndpointResolver(forward, cold exchange.Handler, header bool) *EndpointResolver {
	s := &EndpointResolver{forward: forward, cold: cold}
	if header {
		s.warm = []string{"false"}
	}
	return s
}

// ServeExchange forwards to a ready endpoint if there is one.
func (s *EndpointResolver) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	release := x.Route.InFlight.Acquire()
	defer release()
	target := x.Route.Target
	slot, ok := target.Endpoints.PickWithin(x.Route.ReleaseConcurrency)
	if !ok {
		return s.cold.ServeExchange(w, r, x)
	}
	if s.warm != nil {
		w.Header()[coldstart.Header] = s.warm
	}
	x.Upstream = exchange.Upstream{Target: target, Slot: slot}
	return s.forward.ServeExchange(w, r, x)
}
