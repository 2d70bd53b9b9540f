package middleware

import (
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// Admission bounds the memory of the requests that are forwarded. While memory is short, a route gets twice what is left
// to the others. So the slow requests of one tenant keep out no other's.
type Admission struct {
	forward exchange.Handler
	budget  *body.Budget
}

// NewAdmission returns the step around forward. budget is charged with the requests.
func NewAdmission(forward exchange.Handler, budget *body.Budget) *Admission {
	return &Admission{forward: forward, budget: budget}
}

// ServeExchange forwards the request, or refuses it. One that has waited for its target is not refused: the budget of
// waiting requests has bounded it.
func (a *Admission) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	cost := body.Served + x.Head
	a.budget.Take(cost)
	defer a.budget.Release(cost)
	n := x.Route.InFlight.Serve()
	defer x.Route.InFlight.Unserve()
	if waited := x.Waited && x.Upstream.Target == x.Route.Target; !waited && !a.budget.Share(n*body.Served) {
		x.Upstream.Slot.Release()
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // it would take memory, too
		}
		return &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "too many requests are being served"}
	}
	return a.forward.ServeExchange(w, r, x)
}
