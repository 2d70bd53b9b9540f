//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// Scenario d: under a steady load a route is changed, moved from v1alpha1 to v1beta1 by
// docs/migrate.md, sent to another target, and deleted. No request is lost.

// oldRoute is an HTTPScaledObject for a model, with further fields of its specification.
func oldRoute(name, host string, fields ...string) string {
	return fmt.Sprintf(`
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: %[1]s}
spec:
  hosts: [%[2]s]
  scaleTargetRef: {name: %[1]s, kind: Deployment, apiVersion: apps/v1, service: %[1]s, port: 80}
  replicas: {min: 0, max: 3}
  %[3]s
`, name, host, strings.Join(fields, "\n  "))
}

func TestRouteMovesUnderLoad(t *testing.T) {
	s := together(t, "d-move")
	const host = "d.example.com"
	const concurrency = `scalingMetric: {concurrency: {targetValue: 100}}`
	s.apply(model("blue", 2*time.Second, "-model=blue"), model("green", 2*time.Second, "-model=green"), oldRoute("blue", host, concurrency))
	s.awaitReady("HTTPScaledObject/blue", "ScaledObject/blue")
	s.awaitReplicas("blue", 0)

	// All of these are held at first. The route changes while they are.
	gets := s.steady(4, 20*time.Millisecond, s.whichModel(host))
	posts := s.steady(2, 20*time.Millisecond, s.question(host))
	s.awaitReplicas("blue", 1)
	s.apply(oldRoute("blue", host, concurrency, `pathPrefixes: [/v1]`, `timeouts: {responseHeader: 50s}`))
	s.awaitAnswers(gets, "blue", 20)
	if got := s.send(call{url: "http://" + host + "/metrics"}); got.status != http.StatusNotFound {
		t.Errorf("a path that the changed route does not have: %d %s", got.status, got.body)
	}

	// The steps of docs/migrate.md.
	route := func(target string) string {
		return strings.Replace(interceptorRoute("blue", host, concurrency), "service: blue", "service: "+target, 1)
	}
	s.apply(route("blue"))
	s.awaitAnswers(gets, "blue", 20)
	s.eventually("the event", func() (bool, error) {
		return strings.Contains(s.kubectl("get", "events", "--field-selector=reason=Superseded", "--output=name"), "event/"), nil
	})
	s.kubectl("annotate", "httpso", "blue", api.AnnotationOrphanScaledObject+"=true")
	s.eventually("the ScaledObject to be let go of", func() (bool, error) {
		return s.kubectl("get", "scaledobject", "blue", "--output=jsonpath={.metadata.ownerReferences}") == "", nil
	})
	// The concurrency of quick requests is 0 at times, and KEDA may look just then.
	s.apply(patient(scaledObject("blue")))
	s.awaitReady("InterceptorRoute/blue")
	s.kubectl("delete", "httpso", "blue", "--timeout=60s")
	s.awaitAnswers(gets, "blue", 20)
	s.kubectl("get", "scaledobject", "blue") // is still there

	// To a target that sleeps, and is woken by the same route. Who is being answered
	// by the old one is answered to the end.
	stream := s.opened(s.HTTP, host, "sim-slow", "Who are you?")
	s.apply(patient(strings.ReplaceAll(scaledObject("green"), "interceptorRoute: green", "interceptorRoute: blue")),
		route("green"))
	s.awaitAnswers(gets, "green", 20)
	if got := <-stream; got.err != nil || !got.done || !strings.Contains(got.text(), "Who are you?") {
		t.Errorf("the stream that the old target had begun: %+v", got)
	}
	answers := gets.stop()
	posted := posts.stop()["answer"]
	if gets.last != "green" || len(answers) != 2 {
		t.Errorf("answers of %v, the last one of %q", answers, gets.last)
	}
	s.Progress("a route changed, moved and sent elsewhere during %d requests and %d posts: %v", answers["blue"]+answers["green"], posted, answers)

	// The end: what was begun goes on, new requests find nothing.
	stream = s.opened(s.HTTP, host, "sim-slow", "Who are you?")
	s.kubectl("delete", "interceptorroute", "blue")
	s.awaitStatus(host, http.StatusNotFound)
	if got := <-stream; got.err != nil || !got.done || !strings.Contains(got.text(), "Who are you?") {
		t.Errorf("the stream that had begun before the route was deleted: %+v", got)
	}
	s.apply(route("green"))
	s.awaitStatus(host, http.StatusOK)
}

// A request that is held when its route is deleted is answered, if its target wakes.
func TestHeldRequestOutlivesItsRoute(t *testing.T) {
	s := together(t, "d-deleted")
	const host = "deleted.d.example.com"
	s.apply(model("llm", 3*time.Second), scaledObject("llm"), chatRoute("llm", host))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	held := s.sendSoon(call{url: "http://" + host + "/v1/models"})
	stream := s.opened(s.HTTP, host, "simulated", "Are you there?")
	s.awaitReplicas("llm", 1)
	s.kubectl("delete", "interceptorroute", "llm")
	s.awaitStatus(host, http.StatusNotFound)
	if got := <-held; got.err != nil || got.status != http.StatusOK {
		t.Errorf("the request that was held: %+v", got)
	}
	s.checkCold(<-stream)
}

// The annotation that keeps the operator from making a ScaledObject.
func TestScaledObjectIsSkipped(t *testing.T) {
	s := together(t, "d-skipped")
	s.apply(model("llm", 0), oldRoute("llm", "skipped.d.example.com"))
	s.awaitReady("HTTPScaledObject/llm", "ScaledObject/llm")
	s.kubectl("annotate", "httpso", "llm", api.AnnotationSkipScaledObjectCreation+"=true")
	s.kubectl("wait", "--for=delete", "scaledobject/llm", "--timeout=60s")
	s.kubectl("annotate", "httpso", "llm", api.AnnotationSkipScaledObjectCreation+"-")
	s.awaitReady("ScaledObject/llm")
}

// patient is a ScaledObject that does not put its target to sleep during a test.
func patient(scaledObject string) string {
	return strings.Replace(scaledObject, "cooldownPeriod: 1", "cooldownPeriod: 60", 1)
}

// kubectl runs kubectl in the scenario's namespace.
func (s *scenario) kubectl(args ...string) string {
	s.Helper()
	out, err := s.Kubectl(s.ctx, "", append(args, "--namespace="+s.Namespace)...)
	s.must(err)
	return strings.TrimSpace(out)
}

// awaitAnswers waits for so many more answers with a text.
func (s *scenario) awaitAnswers(l *traffic, text string, n int) {
	s.Helper()
	before := l.count(text)
	s.eventually(fmt.Sprintf("%d answers of %s", n, text), func() (bool, error) { return l.count(text) >= before+n, nil })
}

// awaitStatus waits until every interceptor answers requests for the host so.
func (s *scenario) awaitStatus(host string, status int) {
	s.Helper()
	for _, interceptor := range s.interceptors() {
		s.eventually(fmt.Sprintf("%d for %s", status, host), func() (bool, error) {
			got := s.send(call{by: interceptor.HTTP, url: "http://" + host + "/v1/models"})
			return got.status == status, fmt.Errorf("%+v", got)
		})
	}
}
