package conformance

import (
	"net/http"
	"testing"
)

// needing is a route "app" that needs "db", which needs "disk", and one that leads into a cycle.
const needing = service + `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  scalingMetric: {concurrency: {}}
  rules: [{hosts: [app.test]}]
  staticRoutes: [{rules: [{paths: [{value: /healthz}]}], response: {statusCode: 204}}]
  coldStart: {wakes: [db, missing]}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: db}
spec:
  target: {service: db, port: 80}
  scalingMetric: {concurrency: {}}
  coldStart: {wakes: [disk]}
---
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: disk}
spec:
  hosts: [disk.test]
  scaleTargetRef: {name: disk, service: disk, port: 80}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: loop}
spec:
  target: {service: loop, port: 80}
  scalingMetric: {concurrency: {}}
  rules: [{hosts: [loop.test]}]
  timeouts: {readiness: 10ms}
  coldStart: {wakes: [db, loop], activationLease: 1h}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: disk}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: loop}
spec: {ports: [{name: http, port: 80}]}
`

// A cold request wakes what its target needs, and what that needs. Each stops asking when its own
// target is ready.
func TestARequestWakesWhatItsTargetNeeds(t *testing.T) {
	w := newWorld(t, needing)
	leased := func(name string) bool { return w.counts()["default/"+name].Cold }
	w.do(w.request(http.MethodGet, "app.test", "/healthz", "")).expect(t, "a static route", http.StatusNoContent, "")
	for _, name := range []string{"app", "db", "disk"} {
		if leased(name) {
			t.Errorf("a static route wakes %s", name)
		}
	}
	held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	for name, want := range map[string]bool{"app": true, "db": true, "disk": true, "loop": false} {
		if leased(name) != want {
			t.Errorf("%s is asked for: %v, want %v", name, !want, want)
		}
	}
	w.ready("db", "127.0.0.1:1")
	for name, want := range map[string]bool{"app": true, "db": false, "disk": true} {
		if leased(name) != want {
			t.Errorf("db is ready: %s is asked for: %v, want %v", name, !want, want)
		}
	}
	w.ready("app", w.backend(say("app")))
	(<-held).expect(t, "the request", http.StatusOK, "app")
	if !leased("disk") {
		t.Error("what was woken along still is asked for")
	}
}

// A route that leads into a cycle wakes itself alone.
func TestARouteThatNeedsItselfWakesNoOther(t *testing.T) {
	w := newWorld(t, needing)
	w.do(w.request(http.MethodGet, "loop.test", "/", "")).expect(t, "the request", http.StatusGatewayTimeout, "")
	for name, want := range map[string]bool{"loop": true, "db": false, "disk": false} {
		if got := w.counts()["default/"+name].Cold; got != want {
			t.Errorf("%s is asked for: %v, want %v", name, got, want)
		}
	}
	for _, problem := range []string{"it leads into a cycle: loop wakes loop", `this namespace has no route \"missing\"`} {
		if len(w.log.with("route only partly applied", problem)) != 1 {
			t.Errorf("the log does not say once: %s", problem)
		}
	}
}
