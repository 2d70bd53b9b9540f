//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario q: the node itself fails.

// A killed kubelet stops no container, and the next wake waits for it at most.
func TestKilledKubelet(t *testing.T) {
	disposable(t)
	s := begin(t, "q-kubelet")
	const host = "kubelet.q.example.com"
	s.apply(model("llm", time.Second), scaledObject("llm"), interceptorRoute("llm", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	before := s.restarts()
	s.must(s.Kill(s.ctx, "kubelet"))
	killed := time.Now()
	s.awaitCold(host, 2*patience)
	s.Progress("killed kubelet: the next cold request was answered %s later", time.Since(killed).Round(time.Millisecond))
	if after := s.restarts(); after != before {
		t.Errorf("restarts of containers: %s, before %s", after, before)
	}
	s.must(s.AwaitInstalled(s.ctx))
}

// An interceptor that starts again while the API server is away holds what comes until it knows its
// routes, for ten seconds at most.
func TestInterceptorStartsWithoutTheAPIServer(t *testing.T) {
	disposable(t)
	s := begin(t, "q-restart")
	const host = "restart.q.example.com"
	s.apply(awake(webApp("app", 0)), interceptorRoute("app", host, concurrencyTen))
	s.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
	restarted := s.interceptors()[0]
	s.awaitRouted(restarted, "app")
	s.must(s.Signal(s.ctx, cluster.Namespace, restarted.pod, syscall.SIGKILL))
	s.must(s.Kill(s.ctx, "kube-apiserver"))
	var got answer
	s.eventually("an answer of the next process", func() (bool, error) {
		got = s.send(by(call{url: "http://" + host + "/", header: http.Header{"Accept": {"application/json"}}}, restarted))
		return got.err == nil, got.err
	})
	s.Progress("restarted without the API server: %d after %s", got.status, got.took.Round(time.Millisecond))
	late := got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") != "" && got.contentType() == "application/problem+json" && got.took > 9*time.Second
	if got.status != http.StatusOK && !late {
		t.Errorf("the first answer: %+v", got)
	}
	s.must(s.AwaitInstalled(s.ctx))
}

// disposable skips a test that ends programs of the node, if others may use that.
func disposable(t *testing.T) {
	t.Helper()
	if !world.Disposable() {
		t.Skip("only on the node of make e2e-up")
	}
}

// Everything on the node ends at once, and starts again by itself: the control plane, KEDA, the
// add-on. Routes work as before.
func TestPowerCut(t *testing.T) {
	disposable(t)
	s := begin(t, "q-power")
	const host = "power.q.example.com"
	s.apply(model("llm", time.Second), scaledObject("llm"), interceptorRoute("llm", host, concurrencyTen),
		awake(webApp("app", 0)), interceptorRoute("app", "app."+host, concurrencyTen))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
	s.awaitReplicas("llm", 0)
	before := s.restarts()
	s.must(s.CutPower(s.ctx))
	cut := time.Now()
	s.awaitCold(host, 5*patience)
	answered := time.Since(cut)
	s.must(s.AwaitInstalled(s.ctx))
	s.Progress("power cut: a cold request was answered after %s, everything was available after %s",
		answered.Round(time.Millisecond), time.Since(cut).Round(time.Millisecond))
	if after := s.restarts(); after == before {
		t.Errorf("no container was started again: %s", after)
	}
	s.eventually("the application that was awake", func() (bool, error) {
		got := s.send(call{url: "http://app." + host + "/"})
		return got.status == http.StatusOK && got.header.Get("X-KEDA-HTTP-Cold-Start") == "false", fmt.Errorf("%d %w", got.status, got.err)
	})
	s.must(s.Eventually(s.ctx, "sleep again", 3*patience, func(context.Context) (bool, error) { return s.replicas("llm") == 0, nil }))
}

// awaitCold asks a target that sleeps until it answers.
func (s *scenario) awaitCold(host string, bound time.Duration) {
	s.Helper()
	s.must(s.Eventually(s.ctx, "an answer", bound, func(context.Context) (bool, error) {
		got := s.send(call{url: "http://" + host + "/v1/models"})
		return got.err == nil && got.status == http.StatusOK, fmt.Errorf("%d %s %w", got.status, got.body, got.err)
	}))
}

// restarts are those of the containers of KEDA and the add-on.
func (s *scenario) restarts() string {
	s.Helper()
	pods, err := s.Pods(s.ctx, cluster.Namespace, "")
	s.must(err)
	var all []string
	for _, pod := range pods {
		for _, container := range pod.Status.ContainerStatuses {
			all = append(all, fmt.Sprintf("%s: %d", pod.Name, container.RestartCount))
		}
	}
	return strings.Join(all, ", ")
}
