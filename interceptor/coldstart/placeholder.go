package coldstart

import (
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// answersAtOnce reports whether a route gives its placeholder to every cold request. It
// does unless it set a cap and wants the placeholder for the overflow only.
func answersAtOnce(route *exchange.Route) bool {
	return route.Placeholder != nil && (!route.CapOwn || !route.OverflowPlaceholder)
}

// placeholder answers with the route's placeholder.
func (p *pending) placeholder() error {
	p.x.Trace.Event(tracing.Placeholder)
	return p.x.Route.Placeholder.Serve(p.w, p.r)
}
