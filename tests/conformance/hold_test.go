package conformance

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const plainRoute = service + `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [app.test]}]
  scalingMetric: {concurrency: {targetValue: 1}}
`

// route is plainRoute with more of a spec.
func route(spec string) string {
	return plainRoute + "  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func (a answer) expect(t *testing.T, reason string, status int, body string) {
	t.Helper()
	if a.err != nil || a.status != status || !strings.Contains(a.body, body) {
		t.Errorf("%s: got %d %q (%v), want %d with %q", reason, a.status, a.body, a.err, status, body)
	}
}

func (a answer) expectHeader(t *testing.T, name, value string) {
	t.Helper()
	if got := a.header.Get(name); got != value {
		t.Errorf("header %s: got %q, want %q", name, got, value)
	}
}

func TestWarmRequestIsForwarded(t *testing.T) {
	w := newWorld(t, plainRoute)
	w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Host, r.URL, r.Header.Get("X-Forwarded-For"))
	}))
	got := w.do(w.request(http.MethodGet, "app.test", "/a/b?c=d;e", ""))
	got.expect(t, "a warm request reaches the backend as it came", http.StatusOK, "app.test /a/b?c=d;e 127.0.0.1")
	got.expectHeader(t, "X-KEDA-HTTP-Cold-Start", "false")
}

func TestNoRoute(t *testing.T) {
	w := newWorld(t, plainRoute)
	w.do(w.request(http.MethodGet, "other.test", "/", "")).expect(t, "an unknown host", http.StatusNotFound, "")
	for _, path := range []string{"/livez", "/readyz"} {
		if a := w.do(mustRequest(t, w.admin+path)); a.status != http.StatusOK {
			t.Errorf("admin %s: got %d", path, a.status)
		}
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestColdRequestIsHeldAndReleased(t *testing.T) {
	w := newWorld(t, plainRoute)
	const body = "the whole body"
	pending := w.later(w.request(http.MethodPost, "app.test", "/", body, "Accept", "*/*"))
	w.held("default/app", 1)
	if c := w.counts()["default/app"]; c.Concurrency != 1 || !c.Cold {
		t.Errorf("a held request shows as demand: got %+v", c)
	}
	w.ready("app", w.backend(echo))
	got := <-pending
	got.expect(t, "the held request is answered by the application", http.StatusOK, body)
	got.expectHeader(t, "X-KEDA-HTTP-Cold-Start", "true")
	// The answer reaches the client a moment before the request is over.
	w.eventually("a served request leaves no demand", func() bool {
		c := w.counts()["default/app"]
		return c.Concurrency == 0 && !c.Cold && c.RequestCount == 1
	})
}

func TestColdStartHeaderCanBeSwitchedOff(t *testing.T) {
	w := newWorld(t, plainRoute, "KEDA_HTTP_ENABLE_COLD_START_HEADER", "false")
	w.ready("app", w.backend(say("ok")))
	w.do(w.request(http.MethodGet, "app.test", "/", "")).expectHeader(t, "X-KEDA-HTTP-Cold-Start", "")
}

func TestHeldRequestTimesOut(t *testing.T) {
	for _, c := range []struct {
		reason, objects string
		status          int
	}{
		{"the readiness timeout is a 504", route("timeouts: {readiness: 50ms}"), http.StatusGatewayTimeout},
		{"the request timeout is a 504", route("timeouts: {request: 50ms}"), http.StatusGatewayTimeout},
		{"a Service that does not exist is a 503 after the wait", strings.ReplaceAll(route("timeouts: {readiness: 50ms}"), "service: app", "service: missing"), http.StatusServiceUnavailable},
		{"a port that does not exist is a 503 after the wait", strings.ReplaceAll(route("timeouts: {readiness: 50ms}"), "port: 80}\n  rules", "portName: nope}\n  rules"), http.StatusServiceUnavailable},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, c.objects)
			w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, c.reason, c.status, "")
			if n := w.tracker.Route("default/app").Held(); n != 0 {
				t.Errorf("%d places are still taken", n)
			}
		})
	}
}

func TestFallbackAnswersAfterTheTimeout(t *testing.T) {
	w := newWorld(t, `
apiVersion: v1
kind: Service
metadata: {name: spare}
spec: {ports: [{name: http, port: 81}]}
---`+route(`
timeouts: {readiness: 20ms}
coldStart: {activationLease: 1h, fallback: {service: {name: spare, port: 81}}}`))
	w.ready("spare", w.backend(say("spare")))
	got := w.do(w.request(http.MethodGet, "app.test", "/", ""))
	got.expect(t, "the fallback answers", http.StatusOK, "spare")
	if c := w.counts()["default/app"]; !c.Cold || c.Concurrency != 1 {
		t.Errorf("the target still is asked for: got %+v", c)
	}
}

func TestCapAndOverflow(t *testing.T) {
	t.Run("over the cap is a 503 that says when to come back", func(t *testing.T) {
		w := newWorld(t, route("coldStart: {maxPendingRequests: 1}"))
		first := w.later(w.request(http.MethodGet, "app.test", "/", ""))
		w.held("default/app", 1)
		second := w.do(w.request(http.MethodGet, "app.test", "/", ""))
		second.expect(t, "the overflow", http.StatusServiceUnavailable, "")
		if second.header.Get("Retry-After") == "" {
			t.Error("a 503 says when to come back")
		}
		w.ready("app", w.backend(say("app")))
		(<-first).expect(t, "the held request", http.StatusOK, "app")
	})
	t.Run("the overflow gets the placeholder", func(t *testing.T) {
		w := newWorld(t, route("coldStart: {maxPendingRequests: 1, overflow: Placeholder, placeholder: {response: {statusCode: 202, body: soon}}}"))
		first := w.later(w.request(http.MethodGet, "app.test", "/", ""))
		w.held("default/app", 1)
		w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "the overflow", http.StatusAccepted, "soon")
		w.ready("app", w.backend(say("app")))
		(<-first).expect(t, "the held request", http.StatusOK, "app")
	})
	t.Run("a placeholder without a cap answers at once", func(t *testing.T) {
		w := newWorld(t, route("coldStart: {placeholder: {response: {body: soon, headers: {X-A: b}}}}"))
		got := w.do(w.request(http.MethodGet, "app.test", "/", ""))
		got.expect(t, "the placeholder", http.StatusServiceUnavailable, "soon")
		got.expectHeader(t, "X-A", "b")
		if c := w.counts()["default/app"]; !c.Cold || c.Concurrency != 1 {
			t.Errorf("an answered request still wakes: got %+v", c)
		}
	})
	t.Run("a request that is being answered takes no place", func(t *testing.T) {
		w := newWorld(t, route("coldStart: {maxPendingRequests: 1}"))
		answering, finish := make(chan struct{}), make(chan struct{})
		slow := w.backend(func(http.ResponseWriter, *http.Request) { close(answering); <-finish })
		first := w.later(w.request(http.MethodGet, "app.test", "/", ""))
		w.held("default/app", 1)
		w.ready("app", slow)
		<-answering
		w.ready("app")
		second := w.later(w.request(http.MethodGet, "app.test", "/", ""))
		w.held("default/app", 1)
		close(finish)
		(<-first).expect(t, "the first request", http.StatusOK, "")
		w.ready("app", w.backend(say("app")))
		(<-second).expect(t, "the second request", http.StatusOK, "app")
	})
	t.Run("the global cap holds too", func(t *testing.T) {
		w := newWorld(t, plainRoute, "KEDA_HTTP_COLD_START_MAX_PENDING_REQUESTS", "1")
		first := w.later(w.request(http.MethodGet, "app.test", "/", ""))
		w.held("default/app", 1)
		w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "the overflow", http.StatusServiceUnavailable, "")
		w.ready("app", w.backend(say("app")))
		(<-first).expect(t, "the held request", http.StatusOK, "app")
	})
}

// A request that ends within a millisecond still wakes its target, until the
// target is ready: then the lease is over for good.
func TestRequestClosedAfterOneMillisecondWakes(t *testing.T) {
	w := newWorld(t, plainRoute)
	r := w.request(http.MethodGet, "app.test", "/", "")
	ctx, cancel := context.WithCancel(r.Context())
	pending := w.later(r.WithContext(ctx))
	w.held("default/app", 1)
	cancel()
	if a := <-pending; a.err == nil {
		t.Fatalf("the client left, but was answered %d", a.status)
	}
	w.held("default/app", 0)
	w.eventually("nothing is in flight", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	if c := w.counts()["default/app"]; c.Concurrency != 1 || !c.Cold || !c.Leased {
		t.Errorf("demand outlives the client: got %+v", c)
	}
	w.ready("app", w.backend(say("app")))
	if c := w.counts()["default/app"]; c.Concurrency != 0 || c.Cold {
		t.Errorf("a ready target ends the lease: got %+v", c)
	}
	w.ready("app")
	if c := w.counts()["default/app"]; c.Concurrency != 0 {
		t.Errorf("a lease does not come back: got %+v", c)
	}
}

func TestActivationLeaseRunsOut(t *testing.T) {
	w := newWorld(t, route("timeouts: {readiness: 10ms}\ncoldStart: {activationLease: 1h}"))
	w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "the wait", http.StatusGatewayTimeout, "")
	w.eventually("nothing is in flight", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	w.pass(time.Hour - 1)
	if c := w.counts()["default/app"]; c.Concurrency != 1 {
		t.Errorf("the lease ended early: %+v", c)
	}
	w.pass(1)
	if c := w.counts()["default/app"]; c.Concurrency != 0 {
		t.Errorf("the lease goes on: %+v", c)
	}
}

func TestReadinessWakesNobodyElse(t *testing.T) {
	w := newWorld(t, plainRoute+`
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: other}
spec:
  target: {service: other, port: 80}
  rules: [{hosts: [other.test]}]
  scalingMetric: {concurrency: {targetValue: 1}}
`)
	mine := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	others := w.later(w.request(http.MethodGet, "other.test", "/", ""))
	w.held("default/app", 1)
	w.held("default/other", 1)
	backend := w.backend(say("ok"))
	w.ready("app", backend)
	(<-mine).expect(t, "the service that is ready", http.StatusOK, "ok")
	if n := w.tracker.Route("default/other").Held(); n != 1 {
		t.Errorf("the other request does not wait any more: held %d", n)
	}
	w.ready("other", backend)
	(<-others).expect(t, "the other service", http.StatusOK, "ok")
}
