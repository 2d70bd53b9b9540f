package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
)

// TestColdStartHeaderIsSharedSafely: it costs a warm request nothing, and whoever
// adds a value on one response does not change another.
func TestColdStartHeaderIsSharedSafely(t *testing.T) {
	store := endpoints.NewStore()
	port := store.Port(endpoints.Key{Namespace: "default", Service: "app", Port: "http"})
	store.Update("default", "app", map[string][]string{"http": {"192.0.2.1:80"}})
	next := exchange.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, x *exchange.Exchange) error {
		w.Header().Add(coldstart.Header, "more")
		x.Upstream.Slot.Release()
		return nil
	})
	s := NewEndpointResolver(next, nil, true)
	for range 2 {
		w := httptest.NewRecorder()
		x := &exchange.Exchange{Route: &exchange.Route{
			Target: &exchange.Target{Endpoints: port}, InFlight: inflight.NewTracker(nil).Route("default/app"),
		}}
		if err := s.ServeExchange(w, httptest.NewRequest("GET", "/", nil), x); err != nil {
			t.Fatal(err)
		}
		if got := w.Header()[coldstart.Header]; len(got) != 2 || got[0] != "false" || got[1] != "more" {
			t.Errorf("got %q", got)
		}
	}
	if len(s.warm) != 1 || cap(s.warm) != 1 || s.warm[0] != "false" {
		t.Errorf("the shared value is %q", s.warm)
	}
}
