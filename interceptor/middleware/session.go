package middleware

import (
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/session"
)

const (
	// A session is unsettled while it is younger than this. Another interceptor may have seen its
	// pod become ready a moment before this one, which waits for lag to see it too.
	unsettled = 10 * time.Second
	lag       = time.Second
	// recovery is how long a request waits whose pod is there, but not ready: by default a
	// kubelet probes each 10 s.
	recovery = 10 * time.Second
)

// serveSession serves a request of a route that keeps sessions.
func (s *EndpointResolver) serveSession(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	route := x.Route
	x.Session = route.Session.Begin(r)
	if over(x) {
		return session.Over() // not counted: each count wakes a target that sleeps
	}
	release := route.InFlight.Acquire()
	defer release()
	defer keepAwake(x)
	var slot endpoints.Slot
	pod, ok := x.Session.Pod()
	if ok {
		var err error
		if slot, ok, err = s.pod(r, x, pod); err != nil {
			return err
		}
	}
	switch {
	case ok:
	case x.Session.Pinned():
		return session.Over()
	default:
		if slot, ok = route.Target.Endpoints.PickWithin(route.ReleaseConcurrency); !ok {
			return s.cold.ServeExchange(w, r, x)
		}
	}
	x.Upstream = exchange.Upstream{Target: route.Target, Slot: slot}
	return s.forward.ServeExchange(w, r, x)
}

// over reports whether no pod can serve the request. It does not wait for news of the pod of a
// young session: its target was awake a moment ago.
func over(x *exchange.Exchange) bool {
	switch {
	case x.Session.Ended():
		return true
	case !x.Session.Pinned() || x.Session.Fresh(unsettled):
		return false
	}
	pod, _ := x.Session.Pod()
	return !x.Route.Target.Endpoints.Has(pod)
}

// keepAwake holds the target awake after a request of a session.
func keepAwake(x *exchange.Exchange) {
	if rule := x.Route.Session; rule != nil && rule.KeepAwake > 0 && x.Session.Kept() {
		x.Route.InFlight.Keep(rule.KeepAwake)
	}
}

// pod picks the endpoint of a session's pod. It waits for one that may be ready in a moment,
// if the client would lose its session without.
func (s *EndpointResolver) pod(r *http.Request, x *exchange.Exchange, id endpoints.ID) (endpoints.Slot, bool, error) {
	port := x.Route.Target.Endpoints
	if slot, ok := port.PickID(id); ok {
		return slot, true, nil
	}
	if !x.Session.Pinned() && !port.Ready() {
		return endpoints.Slot{}, false, nil // it waits with all others, and prefers its pod
	}
	now := x.Route.Session.Now
	for began := now(); ; {
		starting, changed := port.Await(id)
		if slot, ok := port.PickID(id); ok {
			return slot, true, nil
		}
		var left time.Duration
		switch {
		case starting && x.Session.Pinned():
			left = recovery
		case x.Session.Fresh(unsettled):
			left = lag
		}
		left -= now().Sub(began)
		if request := x.Route.Request; request > 0 && left > 0 {
			if left = min(left, request-now().Sub(x.Start)); left <= 0 {
				return endpoints.Slot{}, false, &clienterror.Error{Status: http.StatusGatewayTimeout, Message: "the service did not become ready in time"}
			}
		}
		if left <= 0 {
			return endpoints.Slot{}, false, nil
		}
		if _, err := s.parking.park(r, x, left, changed); err != nil {
			return endpoints.Slot{}, false, err
		}
	}
}
