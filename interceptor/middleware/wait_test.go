package middleware

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// waiting is a request that waits for a target of its own.
func waiting(route *exchange.Route) (*exchange.Exchange, *wait, func(addresses ...string)) {
	store := endpoints.NewStore()
	route.Target = &exchange.Target{Endpoints: store.Port(endpoints.Key{Namespace: "default", Service: "app", Port: "http"})}
	x := &exchange.Exchange{Route: route, Start: time.Now()}
	return x, enqueue(x, time.Now(), func() {}), func(addresses ...string) {
		store.Update("default", "app", map[string][]string{"http": addresses})
	}
}

// TestSlotThatComesWithTheEndOfTheTimeIsTaken: otherwise a request is failed that
// could be served.
func TestSlotThatComesWithTheEndOfTheTimeIsTaken(t *testing.T) {
	for range 50 {
		x, w, ready := waiting(&exchange.Route{})
		over := make(chan time.Time, 1)
		over <- time.Time{}
		w.expired = over
		ready("192.0.2.1:80")
		slot, ending := w.await(context.Background(), x, nil)
		if ending != served || slot.Addr() != "192.0.2.1:80" {
			t.Fatalf("got %v", ending)
		}
		slot.Release()
		w.leave()
	}
}

func TestWaitEndsWithTheFirstTimeout(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		reason                   string
		readiness, request, took time.Duration
		final                    bool
	}{
		{"readiness alone", second, 0, second, false},
		{"the request's alone", 0, second, second, true},
		{"readiness first", second, 2 * second, second, false},
		{"the request's first", 2 * second, second, second, true},
		{"both at a time", second, second, second, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, w, _ := waiting(&exchange.Route{Readiness: c.readiness, Request: c.request})
				defer w.leave()
				_, ending := w.await(context.Background(), x, nil)
				if took := time.Since(x.Start); ending != expired || took != c.took || w.final != c.final {
					t.Errorf("ending %v after %v, final %v", ending, took, w.final)
				}
			})
		})
	}
}
