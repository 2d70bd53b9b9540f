package middleware

import (
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// StaticRoutes answers the requests that a route wants answered without its
// target: they are never counted and wake nothing.
type StaticRoutes struct {
	next    exchange.Handler
	forward exchange.Handler
}

// NewStaticRoutes returns the step before next. Requests of a static route that
// answers only while the target is unavailable go straight to forward while it
// is not.
func NewStaticRoutes(next, forward exchange.Handler) *StaticRoutes {
	return &StaticRoutes{next: next, forward: forward}
}

// ServeExchange answers by the first static route that matches, if any.
func (s *StaticRoutes) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	if len(x.Route.Static) > 0 {
		if static := match(x.Route.Static, r); static != nil {
			return s.answer(w, r, x, static)
		}
	}
	return s.next.ServeExchange(w, r, x)
}

func match(routes []exchange.StaticRoute, r *http.Request) *exchange.StaticRoute {
	for i := range routes {
		if routes[i].Rules.Match(r.Host, r.URL.Path, r.Header) {
			return &routes[i]
		}
	}
	return nil
}

// answer gives the response of a static route, or the target's.
func (s *StaticRoutes) answer(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, static *exchange.StaticRoute) error {
	if !static.Always {
		if slot, ok := x.Route.Target.Endpoints.Pick(); ok {
			x.Upstream = exchange.Upstream{Target: x.Route.Target, Slot: slot}
			return s.forward.ServeExchange(w, r, x)
		}
	}
	return static.Response.Serve(w, r)
}
