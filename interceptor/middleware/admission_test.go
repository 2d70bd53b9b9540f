package middleware

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
)

// A route alone gets two thirds of the memory, another one is served beside it, and a request that has waited always is.
func TestAdmission(t *testing.T) {
	const places = 160
	budget := body.NewBudget(places * body.Served)
	tracker := inflight.NewTracker(time.Now)
	routes := map[string]*exchange.Route{}
	for _, name := range []string{"slow", "other", "third"} {
		routes[name] = &exchange.Route{Namespace: "apps", Name: name, InFlight: tracker.Route("apps/" + name)}
	}
	serving, end := make(chan struct{}), make(chan struct{})
	var ended []chan error
	admission := NewAdmission(exchange.HandlerFunc(func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
		serving <- struct{}{}
		<-end
		return nil
	}), budget)
	send := func(x exchange.Exchange) (*httptest.ResponseRecorder, error) {
		w, done := httptest.NewRecorder(), make(chan error, 1)
		go func() { done <- admission.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), &x) }()
		select {
		case <-serving:
			ended = append(ended, done)
			return w, nil
		case err := <-done:
			return w, err
		}
	}
	fill := func(name string) (n int) {
		for {
			w, err := send(exchange.Exchange{Route: routes[name]})
			if err == nil {
				n++
				continue
			}
			var failure *clienterror.Error
			if !errors.As(err, &failure) || failure.Status != http.StatusServiceUnavailable || w.Header().Get("Connection") != "close" {
				t.Fatalf("refused with %v and %v", err, w.Header())
			}
			return n
		}
	}
	if n := fill("slow"); n < places*2/3-1 || n > places*2/3+1 {
		t.Errorf("a route alone gets %d of %d places", n, places)
	}
	if n := fill("other"); n < places/6 {
		t.Errorf("another route gets %d places beside it", n)
	}
	for range places {
		if _, err := send(exchange.Exchange{Route: routes["slow"], Waited: true}); err != nil {
			t.Fatalf("a request that has waited is refused: %v", err)
		}
	}
	if n := fill("third"); n < places/16-1 {
		t.Errorf("a route gets %d places when all are taken", n)
	}
	close(end)
	for _, done := range ended {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if !budget.Reserve(places * body.Served) {
		t.Error("memory is lost")
	}
	if n := routes["slow"].InFlight.Serve(); n != 1 {
		t.Errorf("%d requests are still counted", n-1)
	}
}

// A refused request gives back the place at the endpoint that was picked for it.
func TestARefusedRequestReleasesItsEndpoint(t *testing.T) {
	store := endpoints.NewStore()
	port := store.Port(endpoints.Key{Namespace: "apps", Service: "web", Port: "http"})
	store.Update("apps", "web", map[string][]string{"http": {"10.0.0.1:80"}})
	route := &exchange.Route{Target: &exchange.Target{Endpoints: port}, InFlight: inflight.NewTracker(time.Now).Route("apps/web")}
	budget := body.NewBudget(body.Served)
	budget.Take(10 * body.Served)
	admission := NewAdmission(exchange.HandlerFunc(func(http.ResponseWriter, *http.Request, *exchange.Exchange) error {
		t.Error("it is forwarded")
		return nil
	}), budget)
	for range 5 {
		slot, ok := port.Pick()
		if !ok {
			t.Fatal("no endpoint is ready")
		}
		x := &exchange.Exchange{Route: route, Upstream: exchange.Upstream{Target: route.Target, Slot: slot}}
		if err := admission.ServeExchange(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x); err == nil {
			t.Fatal("it is not refused")
		}
	}
	store.Update("apps", "web", map[string][]string{"http": {"10.0.0.1:80", "10.0.0.2:80"}})
	picked := map[string]int{}
	for range 4 {
		slot, _ := port.Pick()
		picked[slot.Addr()]++
	}
	if picked["10.0.0.1:80"] != 2 || picked["10.0.0.2:80"] != 2 {
		t.Errorf("the endpoints get %v", picked)
	}
}
