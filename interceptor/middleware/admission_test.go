package middleware

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
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
		if _, err := send(exchange.Exchange{Route: routes["slow"], Cold: true}); err != nil {
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
