package middleware

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// An interceptor that was restarted in place gets requests before it has routes.
func TestRequestsWaitWhileRoutesLoad(t *testing.T) {
	for _, test := range []struct {
		reason string
		loads  time.Duration // until there is a table; 0 is never
		leaves time.Duration // until the client leaves; 0 is never
		room   int64
		want   int           // status, 0 for a client that left
		after  time.Duration // when
	}{
		{reason: "routes come", room: body.Held, loads: 9 * time.Second, want: http.StatusOK, after: 9 * time.Second},
		{reason: "they take too long", room: body.Held, loads: 11 * time.Second, want: http.StatusServiceUnavailable, after: 10 * time.Second},
		{reason: "the client leaves", room: body.Held, leaves: time.Second, after: time.Second},
		{reason: "there is no room to wait", loads: time.Second, room: body.Held - 1, want: http.StatusServiceUnavailable},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var table atomic.Pointer[routing.Table[*exchange.Route]]
				loaded, budget := make(chan struct{}), body.NewBudget(test.room)
				served := exchange.HandlerFunc(func(http.ResponseWriter, *http.Request, *exchange.Exchange) error { return nil })
				step := NewRouting(served, table.Load, loaded, budget, nil, nil)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if test.leaves > 0 {
					time.AfterFunc(test.leaves, leave)
				}
				if test.loads > 0 {
					time.AfterFunc(test.loads, func() {
						table.Store(routing.Compile([]routing.Route[*exchange.Route]{{Rules: []routing.Rule{{}}}}))
						close(loaded)
					})
				}
				start := time.Now()
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://app.test/", http.NoBody)
				err := step.ServeExchange(httptest.NewRecorder(), r, &exchange.Exchange{})
				status := http.StatusOK
				if failed := new(clienterror.Error); errors.As(err, &failed) {
					status = failed.Status
					if failed.RetryAfter <= 0 {
						t.Error("it is not said when to come again")
					}
				} else if errors.Is(err, context.Canceled) {
					status = 0
				} else if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); status != test.want || took != test.after {
					t.Errorf("status %d after %v, want %d after %v", status, took, test.want, test.after)
				}
				if !budget.Reserve(int(test.room)) {
					t.Error("the room is not given back")
				}
				time.Sleep(time.Minute) // a table that comes late
			})
		})
	}
}
