package coldstart

import (
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/accept"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// answersAtOnce reports whether a route gives its placeholder to every cold request. It
// does unless it set a cap and wants the placeholder for the overflow only.
func answersAtOnce(route *exchange.Route) bool {
	return route.Placeholder != nil && (!route.CapOwn || !route.OverflowPlaceholder)
}

// placeholder answers with the route's placeholder. A client of gRPC or Connect reads no body
// but its own API's, so it gets UNAVAILABLE.
func (p *pending) placeholder() error {
	p.x.Trace.Event(tracing.Placeholder)
	if accept.GRPC(p.r.Header) || accept.Connect(p.r) {
		return &clienterror.Error{
			Status: http.StatusServiceUnavailable, Message: "the service is starting", RetryAfter: p.progress().RetryAfter(0),
		}
	}
	return p.x.Route.Placeholder.Serve(p.w, p.r)
}
