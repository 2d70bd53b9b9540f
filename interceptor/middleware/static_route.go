package middleware

import (
	"context"
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// StaticRoutes answers the requests that a route wants answered without its
// target: they are never counted and wake nothing.
type StaticRoutes struct {
	next    exchange.Handler
	forward exchange.Handler
	proxies routing.Proxies
	ignored Ignored
}

// Ignored counts a request that found its target asleep and did not wake it, as the static
// route of the name answered it.
type Ignored func(ctx context.Context, route *exchange.Route, rule string)

// NewStaticRoutes returns the step before next. Some static routes answer only while the target
// is unavailable. While it is available, their requests go straight to forward. proxies are as of
// [NewRouting].
func NewStaticRoutes(next, forward exchange.Handler, proxies routing.Proxies, ignored Ignored) *StaticRoutes {
	return &StaticRoutes{next: next, forward: forward, proxies: proxies, ignored: ignored}
}

// ServeExchange answers by the first static route that matches, if any.
func (s *StaticRoutes) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	if len(x.Route.Static) > 0 {
		if static := s.match(x.Route.Static, r); static != nil {
			return s.answer(w, r, x, static)
		}
	}
	return s.next.ServeExchange(w, r, x)
}

func (s *StaticRoutes) match(routes []exchange.StaticRoute, r *http.Request) *exchange.StaticRoute {
	of := ruled(r, s.proxies)
	for i := range routes {
		if routes[i].Rules.Match(&of) {
			return &routes[i]
		}
	}
	return nil
}

// answer gives the response of a static route, or the target's.
func (s *StaticRoutes) answer(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, static *exchange.StaticRoute) error {
	target := x.Route.Target
	if !static.Always {
		if slot, ok := target.Endpoints.Pick(); ok {
			x.Upstream = exchange.Upstream{Target: target, Slot: slot}
			return s.forward.ServeExchange(w, r, x)
		}
	}
	if !target.Endpoints.Ready() {
		s.ignored(r.Context(), x.Route, static.Name)
	}
	return static.Response.Serve(w, r)
}
