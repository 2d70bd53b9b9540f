// Package coldstart answers a request whose target has no endpoint for it yet. The request is
// pending: the one loop of pending.go waits for it. Its responder decides what the client gets at
// the start, at a tick, on failure and at the end. Each responder has a file: hold.go, page.go,
// placeholder.go and stream.go.
//
// The encoders below it (stream, page, eta) render bytes. They must not know endpoints, API
// types, or each other.
package coldstart

import (
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// lossLines is how many lost answers are logged a second.
const lossLines = 10

// Options configure a ColdStart.
type Options struct {
	// Budget bounds everything that is buffered at a time.
	Budget *body.Budget
	// MaxBody bounds the body that is read to find out whether a request is
	// streaming, in bytes.
	MaxBody int64
	// Metrics of cold starts.
	Metrics *metrics.Metrics
	// Now is the clock.
	Now func() time.Time
	// Log of answers that are lost.
	Log logr.Logger
	// Match finds the route of a request that goes to another host and path.
	Match func(r *http.Request, host, path string) (*exchange.Route, bool)
	// Route finds a route by its name.
	Route func(routing.Key) (*exchange.Route, bool)
}

// ColdStart is the step for requests that no endpoint takes yet. It shows their demand,
// and passes them on to next when an endpoint is ready.
type ColdStart struct {
	next    exchange.Handler
	budget  *body.Budget
	maxBody int64
	metrics *metrics.Metrics
	now     func() time.Time
	log     logr.Logger
	match   func(r *http.Request, host, path string) (*exchange.Route, bool)
	route   func(routing.Key) (*exchange.Route, bool)
	// losses bounds the log: a backend that fits no client fails with each request.
	losses  *rate.Limiter
	waiting waiting
}

// New returns the step before next, which forwards.
func New(next exchange.Handler, o Options) *ColdStart {
	return &ColdStart{
		next: next, budget: o.Budget, maxBody: o.MaxBody, metrics: o.Metrics, now: o.Now,
		log: o.Log, match: o.Match, route: o.Route, losses: rate.NewLimiter(lossLines, lossLines),
	}
}

// ServeExchange answers a request that no endpoint takes yet.
func (c *ColdStart) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	c.demand(x)
	p := &pending{ColdStart: c, w: w, r: r, x: x}
	defer x.Body.Close()
	return p.respond()
}

// respond picks what the client gets, most specific first. None of it helps while the wake
// has failed.
func (p *pending) respond() error {
	route := p.x.Route
	if p.failed() {
		p.responder = hold{}
		p.record(metrics.OutcomeFailed)
		return p.late(metrics.OutcomeFailed)
	}
	if route.Callback != nil {
		if found := stream.Detect(p.r); found != nil {
			return p.wait(&candidate{request: found, callback: route.Callback})
		}
	}
	// While the target is awake, a page would reload itself at once.
	if !p.x.Awake {
		switch answer := route.Page.For(p.r); answer {
		case page.AnswerFinite, page.AnswerLive:
			return p.page(answer)
		case page.AnswerHold:
			return p.wait(hold{})
		}
		if answersAtOnce(route) {
			return p.placeholder()
		}
	}
	return p.wait(hold{})
}
