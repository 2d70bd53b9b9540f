//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario m: what only a real node does.

// An application of two containers, with an init container, whose image takes a while: the request
// waits for all of it.
func TestSeveralContainersAndSlowPull(t *testing.T) {
	s := together(t, "m-containers")
	const host = "m.example.com"
	workload := strings.Replace(webApp("app", 0), "      containers:\n", `      initContainers:
        - {name: first, image: webapp, imagePullPolicy: IfNotPresent, args: [-h]}
      containers:
        - name: beside
          image: modelsim
          imagePullPolicy: IfNotPresent
          env: [{name: PORT, value: "9000"}]
          args: [-load=2s]
          readinessProbe: {httpGet: {path: /healthz, port: 9000}, periodSeconds: 1, failureThreshold: 1}
`, 1)
	workload = strings.Replace(workload, "image: webapp\n          imagePullPolicy: IfNotPresent\n          args: [\"-start", "image: slow/webapp\n          imagePullPolicy: Always\n          args: [\"-start", 1)
	s.apply(workload, scaledObject("app"), interceptorRoute("app", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	s.awaitReplicas("app", 0)
	waiting := s.sendSoon(call{url: "http://" + host + "/"})
	var pods []corev1.Pod
	s.eventually("a pod", func() (bool, error) {
		var err error
		pods, err = s.Pods(s.ctx, s.Namespace, "app=app")
		return len(pods) == 1, err
	})
	got := <-waiting
	if got.err != nil || got.status != http.StatusOK || got.header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Fatalf("the answer: %+v", got)
	}
	if !strings.Contains(s.kubectl("get", "events", "--field-selector=involvedObject.name="+pods[0].Name), "slow/webapp") {
		t.Error("the slow image was not pulled")
	}
	s.Progress("two containers, an init container and a slow pull: answered after %s", got.took.Round(time.Millisecond))
	s.awaitReplicas("app", 0)
}

// The node is drained of a workload under load. Who asks while the next pod has no node waits, and
// nobody notices more than that.
func TestDrainLosesNothing(t *testing.T) {
	s := begin(t, "m-drain")
	const host = "drain.m.example.com"
	s.apply(model("llm", 0), patient(scaledObject("llm")), interceptorRoute("llm", host, "scalingMetric: {concurrency: {targetValue: 100}}"))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	gets := s.steady(3, 50*time.Millisecond, s.whichModel(host))
	posts := s.steady(2, 50*time.Millisecond, s.question(host))
	s.awaitAnswers(gets, "simulated", 20)
	pods, err := s.Pods(s.ctx, s.Namespace, "app=llm")
	s.must(err)
	node := pods[0].Spec.NodeName
	t.Cleanup(func() {
		if _, err := s.Kubectl(context.Background(), "", "uncordon", node); err != nil {
			t.Error(err)
		}
	})
	_, err = s.Kubectl(s.ctx, "", "drain", node, "--pod-selector=app=llm", "--timeout=60s")
	s.must(err)
	drained := time.Now()
	s.kubectl("wait", "--for=delete", "pod/"+pods[0].Name, "--timeout=60s")
	_, err = s.Kubectl(s.ctx, "", "uncordon", node)
	s.must(err)
	s.awaitAnswers(gets, "simulated", 20)
	s.awaitAnswers(posts, "answer", 5)
	s.Progress("drained node: %d requests and %d posts, none lost; answers again %s after the drain",
		gets.stop()["simulated"], posts.stop()["answer"], time.Since(drained).Round(time.Millisecond))
}

// Without direct routing, a request goes to the Service's address, and waits until kube-proxy knows
// the endpoint.
func TestRoutingByServiceAddress(t *testing.T) {
	s := begin(t, "m-service")
	const host = "service.m.example.com"
	s.setValues("--set=interceptor.directPodRouting=false")
	s.apply(model("llm", time.Second), scaledObject("llm"), interceptorRoute("llm", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	var took []time.Duration
	for range 5 {
		s.awaitReplicas("llm", 0)
		got := s.send(call{method: http.MethodPost, url: "http://" + host + "/v1/chat/completions", body: whole})
		if got.err != nil || got.status != http.StatusOK {
			t.Errorf("a cold request: %+v", got)
		}
		took = append(took, got.took)
		if got := s.send(call{url: "http://" + host + "/v1/models"}); got.err != nil || got.status != http.StatusOK {
			t.Errorf("a warm request: %+v", got)
		}
	}
	s.Progress("cold starts by the Service's address, of a model that loads for 1s: median %s", median(took).Round(time.Millisecond))
}

// The interceptors scale by the requests that they hold.
func TestInterceptorsScaleThemselves(t *testing.T) {
	s := begin(t, "m-fleet")
	const host = "fleet.m.example.com"
	s.setValues("--set=scaler.pendingRequestsInterceptor=10", "--set=interceptor.replicas.max=5")
	s.apply(webApp("app", 0), interceptorRoute("app", host, concurrencyTen)) // nobody scales it: all are held
	for _, interceptor := range s.interceptors() {
		s.awaitRouted(interceptor, "app")
	}
	clients := s.hold(nil, host, 45)
	replicas := func(want int32) {
		s.eventually(fmt.Sprintf("%d interceptors", want), func() (bool, error) {
			d, err := s.Deployment(s.ctx, cluster.Namespace, "keda-add-ons-http-interceptor")
			if err != nil {
				return false, err
			}
			return d.Status.AvailableReplicas == want, fmt.Errorf("%d are available", d.Status.AvailableReplicas)
		})
	}
	replicas(5)
	leave(clients.all)
	s.check(clients)
	replicas(3)
}

// What a scraper finds on the ports of the pods.
func TestMetricsOfPods(t *testing.T) {
	s := together(t, "m-metrics")
	const host = "metrics.m.example.com"
	s.apply(awake(model("llm", 0)), interceptorRoute("llm", host, concurrencyTen))
	s.kubectl("rollout", "status", "deployment/llm", "--timeout=60s")
	for _, interceptor := range s.interceptors() {
		s.awaitRouted(interceptor, "llm")
		s.eventually("an answer", func() (bool, error) {
			got := s.send(call{by: interceptor.HTTP, url: "http://" + host + "/v1/models"})
			return got.status == http.StatusOK, fmt.Errorf("%+v", got)
		})
	}
	for component, series := range map[string]string{
		"interceptor": `interceptor_request_count_total{`,
		"scaler":      "go_goroutines ",
	} {
		pods, err := s.Pods(s.ctx, cluster.Namespace, "app.kubernetes.io/component="+component)
		s.must(err)
		for _, pod := range pods {
			if !isReady(&pod) {
				continue
			}
			scraper := &http.Client{Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}}
			s.eventually(series+" of "+pod.Name, func() (bool, error) {
				got := s.send(call{by: scraper, url: "http://" + pod.Status.PodIP + ":2223/metrics"})
				return got.status == http.StatusOK && strings.Contains(got.body, "\n"+series), fmt.Errorf("%d %s %w", got.status, got.contentType(), got.err)
			})
		}
	}
}
