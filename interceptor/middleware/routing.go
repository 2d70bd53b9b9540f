package middleware

import (
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// loading is how long a request waits for the first table. An interceptor whose container
// was restarted keeps its address, so requests come before the pod is taken out of the
// Service.
const loading = 10 * time.Second

// Routing finds the route of a request.
type Routing struct {
	next    exchange.Handler
	table   func() *routing.Table[*exchange.Route]
	loaded  <-chan struct{}
	parking parking
	// unrouted answers requests without a route and reports whether it did; nil answers none.
	unrouted func(http.ResponseWriter, *http.Request) bool
	// proxies are trusted to name the clients of their requests.
	proxies routing.Proxies
}

// NewRouting returns the step before next. table returns the table in force; it may return nil
// until loaded is closed. Requests wait for that and are charged to budget. unrouted, which may
// be nil, answers requests without a route and reports whether it did.
func NewRouting(next exchange.Handler, table func() *routing.Table[*exchange.Route], loaded <-chan struct{}, budget *body.Budget,
	unrouted func(http.ResponseWriter, *http.Request) bool, proxies routing.Proxies,
) *Routing {
	return &Routing{next: next, table: table, loaded: loaded, parking: parking{budget}, unrouted: unrouted, proxies: proxies}
}

// ServeExchange sets the route of the exchange, or fails with 404.
func (s *Routing) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	route, ok, err := s.match(r, x)
	switch {
	case err != nil:
		return err
	case !ok && s.unrouted != nil && s.unrouted(w, r):
		return nil
	case !ok:
		return &clienterror.Error{Status: http.StatusNotFound, Message: "no route for this host and path"}
	}
	x.Route = route
	return s.next.ServeExchange(w, r, x)
}

// match returns the route of a request, and false if none matches. It waits for the first table.
func (s *Routing) match(r *http.Request, x *exchange.Exchange) (route *exchange.Route, ok bool, err error) {
	table := s.table()
	if table == nil {
		switch ok, err := s.parking.park(r, x, loading, s.loaded); {
		case err != nil:
			return nil, false, err
		case !ok: // not a 404: clients and caches take that for an answer
			return nil, false, &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "routes are still being loaded", RetryAfter: time.Second}
		}
		table = s.table()
	}
	of := ruled(r, s.proxies)
	route, ok = table.Match(&of)
	return route, ok, nil
}

// ruled returns what rules look at.
func ruled(r *http.Request, proxies routing.Proxies) routing.Request {
	return routing.Request{Host: r.Host, Path: r.URL.Path, Method: r.Method, Header: r.Header, Peer: r.RemoteAddr, Trusted: proxies}
}
