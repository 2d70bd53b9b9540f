//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario g: a rolling restart of the interceptors under load, with the chart's own delays. No
// request fails, no stream is cut, and every waiting client is answered.

func TestRollingRestartLosesNothing(t *testing.T) {
	s := begin(t, "g-restart")
	s.apply(model("warm", 0), scaledObject("warm"), chatRoute("warm", "warm.g.example.com"),
		model("cold", 8*time.Second), scaledObject("cold"), chatRoute("cold", "cold.g.example.com"))
	s.awaitReady("InterceptorRoute/warm", "ScaledObject/warm", "InterceptorRoute/cold", "ScaledObject/cold")
	short := s.steady(3, 50*time.Millisecond, s.whichModel("warm.g.example.com"))
	posts := s.steady(3, 50*time.Millisecond, s.question("warm.g.example.com"))
	s.awaitAwake("warm.g.example.com")

	// The answer repeats the question, five words a second: 20 seconds.
	long := strings.TrimSpace(strings.Repeat("word ", 80))
	var streams []<-chan chat
	stream := func() { streams = append(streams, s.opened(s.HTTP, "warm.g.example.com", "sim-slow", long)) }
	const before = 6
	for range before {
		stream()
	}
	old := s.interceptors()
	if len(old) < 2 {
		t.Fatalf("%d interceptors, want two at least", len(old))
	}
	var waiting []<-chan chat
	for _, interceptor := range old {
		waiting = append(waiting, s.opened(interceptor.HTTP, "cold.g.example.com", "simulated", "Are you there?"))
	}
	restarted := time.Now()
	_, err := s.Kubectl(t.Context(), "", "rollout", "restart", "--namespace="+cluster.Namespace, "deployment/keda-add-ons-http-interceptor")
	s.must(err)
	rolled := make(chan error, 1)
	go func() {
		_, err := s.Kubectl(t.Context(), "", "rollout", "status", "--namespace="+cluster.Namespace, "deployment/keda-add-ons-http-interceptor", "--timeout=2m")
		rolled <- err
	}()
	for pause := time.NewTicker(time.Second); ; {
		select {
		case err = <-rolled:
		case <-pause.C:
			stream()
			continue
		}
		pause.Stop()
		break
	}
	s.must(err)
	replaced := time.Now()

	outlived := 0
	for i, stream := range streams {
		answer := <-stream
		if answer.err != nil || !answer.done || !strings.Contains(answer.text(), long) {
			t.Errorf("long stream %d: %+v", i, answer)
		}
		if i < before && answer.last.After(replaced) {
			outlived++
		}
	}
	if outlived == 0 {
		t.Errorf("no stream was longer than the restart of %s: nothing is proven", replaced.Sub(restarted))
	}
	for _, answer := range waiting {
		s.checkCold(<-answer)
	}
	s.eventually("the old interceptors to be gone", func() (bool, error) {
		var pods corev1.PodList
		if err := s.Client.List(s.ctx, &pods, client.InNamespace(cluster.Namespace)); err != nil {
			return false, err
		}
		for _, pod := range pods.Items {
			if slices.ContainsFunc(old, func(o interceptor) bool { return o.pod == pod.Name }) {
				return false, fmt.Errorf("%s is there", pod.Name)
			}
		}
		return true, nil
	})
	s.Progress("rolling restart of %d interceptors in %s: %d requests, %d posts, %d long streams, %d of which outlived it, %d cold ones",
		len(old), replaced.Sub(restarted).Round(time.Second), short.stop()["simulated"], posts.stop()["answer"], len(streams), outlived, len(waiting))
	s.must(s.AwaitInstalled(context.WithoutCancel(t.Context())))
}

// chatRoute is an InterceptorRoute with the streaming callback that checkCold expects.
func chatRoute(name, host string) string {
	return interceptorRoute(name, host,
		`scalingMetric: {concurrency: {targetValue: 100}}`,
		`coldStart: {streamingCallback: {message: "Loading the model.", interval: 300ms}}`)
}
