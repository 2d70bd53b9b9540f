package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/pkg/queue"
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

// A cold request wakes what its target needs, and what that needs, until its own target is ready.
func TestARequestWakesWhatItsTargetNeeds(t *testing.T) {
	w := newWorld(t, needing)
	asked := func(reason string, want map[string]bool) {
		t.Helper()
		for name, want := range want {
			if got := w.counts()["default/"+name].Leased || w.counts()["default/"+name].Cold; got != want {
				t.Errorf("%s: %s is asked for: %v, want %v", reason, name, got, want)
			}
		}
	}
	w.do(w.request(http.MethodGet, "app.test", "/healthz", "")).expect(t, "a static route", http.StatusNoContent, "")
	asked("a static route", map[string]bool{"app": false, "db": false, "disk": false, "loop": false})
	held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	asked("a request", map[string]bool{"app": true, "db": true, "disk": true, "loop": false})
	w.ready("db", "127.0.0.1:1")
	asked("db is ready, and must stay so", map[string]bool{"app": true, "db": true, "disk": true})
	w.ready("app", w.backend(say("app")))
	(<-held).expect(t, "the request", http.StatusOK, "app")
	asked("the target is ready", map[string]bool{"app": false, "db": false, "disk": false})
}

// A warm-up asks without any request, for what its target needs too.
func TestAWarmUpNeedsNoRequest(t *testing.T) {
	w := newWorld(t, strings.Replace(needing, "wakes: [db, missing]", "wakes: [db], warmUp: [{cron: '* * * * *', for: 24h}]", 1))
	for _, name := range []string{"app", "db", "disk"} {
		w.eventually(name+" is asked for", func() bool {
			return w.counts()["default/"+name] == queue.Count{Concurrency: 1, Leased: true}
		})
	}
}

// A route that leads into a cycle wakes itself alone.
func TestARouteThatNeedsItselfWakesNoOther(t *testing.T) {
	w := newWorld(t, needing)
	w.do(w.request(http.MethodGet, "loop.test", "/", "")).expect(t, "the request", http.StatusGatewayTimeout, "")
	for name, want := range map[string]bool{"loop": true, "db": false, "disk": false} {
		if got := w.counts()["default/"+name].Leased; got != want {
			t.Errorf("%s is asked for: %v, want %v", name, got, want)
		}
	}
	for _, problem := range []string{"it leads into a cycle: loop wakes loop", `this namespace has no route \"missing\"`} {
		if len(w.log.with("route only partly applied", problem)) != 1 {
			t.Errorf("the log does not say once: %s", problem)
		}
	}
}
