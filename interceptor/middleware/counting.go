package middleware

import (
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// Counting counts a request as in flight for as long as it is served.
type Counting struct{ next exchange.Handler }

// NewCounting returns the step around next.
func NewCounting(next exchange.Handler) *Counting { return &Counting{next: next} }

// ServeExchange counts and goes on.
func (s *Counting) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	release := x.Route.InFlight.Acquire()
	defer release()
	return s.next.ServeExchange(w, r, x)
}
