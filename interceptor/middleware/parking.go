package middleware

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// parking is where requests wait for what the interceptor is about to learn from the
// cluster, seconds at most. Those that wait for their target are in package coldstart.
type parking struct{ budget *body.Budget }

// park waits until changed is closed, and reports whether that happened in time. It fails if
// there is no room for one more waiting request, or the client has left.
func (p parking) park(r *http.Request, x *exchange.Exchange, within time.Duration, changed <-chan struct{}) (bool, error) {
	ctx := r.Context()
	cost := body.Held + x.Head + x.Body.Window()
	if !p.budget.Reserve(cost) {
		return false, &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "too many requests are waiting", RetryAfter: time.Second}
	}
	defer p.budget.Release(cost)
	x.Waited = true
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, fmt.Errorf("waiting for news of the cluster: %w", context.Cause(ctx))
	case <-timer.C:
		return false, nil
	case <-changed:
	}
	if err := httpserver.Departure(ctx); err != nil {
		return false, fmt.Errorf("waiting for news of the cluster: %w", err)
	}
	return true, nil
}
