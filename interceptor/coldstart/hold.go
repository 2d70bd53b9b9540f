package coldstart

import (
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/tracing"
)

// hold keeps a request until an endpoint is ready, and sends nothing before.
type hold struct{}

// start reads the body ahead: net/http does not notice that an HTTP/1.1 client has left
// while its body is unread.
func (hold) start(p *pending) (time.Duration, error) {
	p.held(body.ReadAheadLimit, body.Repetition)
	return 0, nil
}

func (hold) tick(*pending) (time.Duration, error) { return 0, nil }

// ready forwards the request that was held.
func (hold) ready(p *pending) error { return p.next.ServeExchange(p.w, p.r, p.x) }

// failed leaves the answer to the edge.
func (hold) failed(_ *pending, failure *clienterror.Error) error { return failure }

// overflow answers with the placeholder if the route has one for the overflow, else
// rejects.
func (hold) overflow(p *pending) error {
	route := p.x.Route
	p.metrics.Rejected(p.r.Context(), route)
	p.x.Trace.Event(tracing.Rejected)
	if route.Placeholder != nil && (route.OverflowPlaceholder || answersAtOnce(route)) {
		return p.placeholder()
	}
	return &clienterror.Error{
		Status: http.StatusServiceUnavailable, Message: "too many requests are waiting for this service to start",
		RetryAfter: p.progress().RetryAfter(0),
	}
}

// held begins to hold the request. It reads up to limit bytes of its body ahead.
func (p *pending) held(limit int64, interest body.Interest) {
	p.x.Trace.Event(tracing.Held)
	if p.x.Body != nil {
		window := p.x.Body.Window()
		p.r = p.x.Body.ReadAhead(p.budget, limit, interest)
		p.refund(window) // it is the body's now
	}
}
