package middleware

import (
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// Routing finds the route of a request.
type Routing struct {
	next  exchange.Handler
	table func() *routing.Table[*exchange.Route]
}

// NewRouting returns the step before next. table returns the table in force,
// nil while none has been published yet.
func NewRouting(next exchange.Handler, table func() *routing.Table[*exchange.Route]) *Routing {
	return &Routing{next: next, table: table}
}

// ServeExchange sets the route of the exchange, or fails with 404.
func (s *Routing) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	table := s.table()
	if table == nil {
		// Not a 404: clients and caches take that for an answer.
		return &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "routes are still being loaded", RetryAfter: time.Second}
	}
	route, ok := table.Match(r.Host, r.URL.Path, r.Header)
	if !ok {
		return &clienterror.Error{Status: http.StatusNotFound, Message: "no route for this host and path"}
	}
	x.Route = route
	return s.next.ServeExchange(w, r, x)
}
