package forward_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
	"github.com/kedacore/http-add-on/interceptor/inflight"
)

// A route alone gets two thirds of the memory, another one is served beside it, and a request that has waited always is.
func TestAdmission(t *testing.T) {
	const places = 160
	serving, end := make(chan struct{}), make(chan struct{})
	backend := serve(t, false, func(http.ResponseWriter, *http.Request) {
		serving <- struct{}{}
		<-end
	})
	f := newFixture(backend.Listener.Addr().String())
	o := options()
	o.Serving = requestbody.NewBudget(places * requestbody.Served)
	forwarder := forward.New(o)
	defer forwarder.Close()
	tracker := inflight.NewTracker(time.Now)
	routes := map[string]*exchange.Route{}
	for _, name := range []string{"slow", "other", "third"} {
		routes[name] = &exchange.Route{Namespace: "apps", Name: name, Target: f.target, InFlight: tracker.Route("apps/" + name)}
	}
	var ended []chan error
	send := func(x exchange.Exchange) (*httptest.ResponseRecorder, error) {
		w, done := httptest.NewRecorder(), make(chan error, 1)
		x.Upstream.Target = f.target
		x.Upstream.Slot, _ = f.target.Endpoints.Pick()
		go func() { done <- forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), &x) }()
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
	if !o.Serving.Reserve(places * requestbody.Served) {
		t.Error("memory is lost")
	}
	if n := routes["slow"].InFlight.Serve(); n != 1 {
		t.Errorf("%d requests are still counted", n-1)
	}
}

// A refused request gives back the place at the endpoint that was picked for it.
func TestARefusedRequestReleasesItsEndpoint(t *testing.T) {
	f := newFixture("10.0.0.1:80") // to which nothing is sent
	f.route.InFlight = inflight.NewTracker(time.Now).Route("apps/web")
	o := options()
	o.Serving = requestbody.NewBudget(requestbody.Served)
	o.Serving.Take(10 * requestbody.Served)
	forwarder := forward.New(o)
	defer forwarder.Close()
	for range 5 {
		slot, ok := f.target.Endpoints.Pick()
		if !ok {
			t.Fatal("no endpoint is ready")
		}
		x := &exchange.Exchange{Route: f.route, Upstream: exchange.Upstream{Target: f.target, Slot: slot}}
		err := forwarder.ServeExchange(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x)
		if failure := new(clienterror.Error); !errors.As(err, &failure) || failure.Status != http.StatusServiceUnavailable {
			t.Fatalf("it is not refused: %v", err)
		}
	}
	f.store.Update("ns", "svc", map[string][]string{"": {"10.0.0.1:80", "10.0.0.2:80"}})
	picked := map[string]int{}
	for range 4 {
		slot, _ := f.target.Endpoints.Pick()
		picked[slot.Addr()]++
	}
	if picked["10.0.0.1:80"] != 2 || picked["10.0.0.2:80"] != 2 {
		t.Errorf("the endpoints get %v", picked)
	}
}
