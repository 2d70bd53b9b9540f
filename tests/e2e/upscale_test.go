//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Scenario c: from 1 to N under load and back to 0.

// upToFive is scaledObject with room above the demand.
func upToFive(name string) string {
	return strings.Replace(scaledObject(name), "maxReplicaCount: 3", "maxReplicaCount: 5", 1)
}

func TestConcurrencyScales(t *testing.T) {
	s := together(t, "c-concurrency")
	const host = "concurrency.c.example.com"
	s.apply(webApp("app", time.Second), upToFive("app"), interceptorRoute("app", host, "scalingMetric: {concurrency: {targetValue: 2}}"))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	s.awaitReplicas("app", 0)
	six := s.hold(nil, host, 6)
	s.awaitAtMost("app", 3)
	s.steadily("3 replicas for 6 requests, 2 each", 2*time.Second, func() bool { return s.replicas("app") == 3 })
	for range six.all {
		s.awaitAnswer(six)
	}

	// A new target reaches the HPA although no one touches the ScaledObject.
	s.changeTarget("app", 6)
	s.eventually("the HPA's target to be 6", func() (bool, error) {
		got := s.targets("app")
		return got == "http_app_concurrency=6", fmt.Errorf("it is %s", got)
	})
	s.awaitAtMost("app", 1)
	s.changeTarget("app", 2)
	s.awaitAtMost("app", 3)
	leave(six.all[2:])
	s.awaitAtMost("app", 1)
	leave(six.all)
	s.check(six)
	s.awaitReplicas("app", 0)
}

func TestRateScales(t *testing.T) {
	s := together(t, "c-rate")
	const host = "rate.c.example.com"
	s.apply(webApp("app", time.Second), upToFive("app"),
		interceptorRoute("app", host, "scalingMetric: {requestRate: {targetValue: 8, window: 4s, granularity: 100ms}}"))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	s.awaitReplicas("app", 0)
	visitors := s.visit(host, 22)
	s.awaitAtMost("app", 3)
	s.steadily("3 replicas for 22 requests a second, 8 each", 2*time.Second, func() bool { return s.replicas("app") == 3 })
	visitors.change(4)
	s.awaitAtMost("app", 1)
	s.leaveAll(visitors)
	s.awaitReplicas("app", 0)
}

// The old kind tells its rate in whole numbers.
func TestHTTPScaledObjectScales(t *testing.T) {
	s := together(t, "c-old")
	const host = "old.c.example.com"
	s.apply(webApp("app", time.Second), `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: app}
spec:
  hosts: [`+host+`]
  scaleTargetRef: {name: app, kind: Deployment, apiVersion: apps/v1, service: app, portName: http}
  replicas: {min: 0, max: 5}
  scaledownPeriod: 1
  scalingMetric: {requestRate: {targetValue: 8, window: 4s, granularity: 100ms}}
`)
	s.awaitReady("HTTPScaledObject/app", "ScaledObject/app")
	s.awaitReplicas("app", 0)
	visitors := s.visit(host, 22)
	s.awaitAtMost("app", 3)
	visitors.change(4)
	s.awaitAtMost("app", 1)
	s.leaveAll(visitors)
	s.awaitReplicas("app", 0) // it is polled each 15 seconds
}

// With both metrics the one that asks for more wins.
func TestBothMetricsScale(t *testing.T) {
	s := together(t, "c-both")
	const host = "both.c.example.com"
	s.apply(webApp("app", time.Second), upToFive("app"),
		interceptorRoute("app", host, "scalingMetric: {concurrency: {targetValue: 10}, requestRate: {targetValue: 8, window: 4s, granularity: 100ms}}"))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	if got := s.targets("app"); got != "http_app_concurrency=10 http_app_rate=8" {
		t.Errorf("the HPA's targets: %s", got)
	}
	s.awaitReplicas("app", 0)
	clients := s.hold(nil, host, 13)
	s.awaitAtMost("app", 2)
	for range clients.all {
		s.awaitAnswer(clients)
	}
	visitors := s.visit(host, 22)
	s.awaitAtMost("app", 3)
	if sent := visitors.answered(); sent < 40 {
		t.Errorf("%d requests did not give a rate for 3 replicas", sent)
	}
	s.leaveAll(visitors)
	s.awaitAtMost("app", 2)
	leave(clients.all)
	s.check(clients)
	s.awaitReplicas("app", 0)
}

// awaitAtMost waits until a Deployment should have so many replicas, and comes from
// below or above without missing it.
func (s *scenario) awaitAtMost(deployment string, want int32) {
	s.Helper()
	first := s.replicas(deployment)
	s.eventually(fmt.Sprintf("%s at %d replicas", deployment, want), func() (bool, error) {
		now := s.replicas(deployment)
		if first <= want && now > want || first >= want && now < want {
			s.Fatalf("%d replicas on the way from %d to %d", now, first, want)
		}
		return now == want, fmt.Errorf("it should have %d", now)
	})
}

// changeTarget is what a user does who edits an InterceptorRoute.
func (s *scenario) changeTarget(name string, concurrency int32) {
	s.Helper()
	route := &v1beta1.InterceptorRoute{}
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, route))
	before := route.DeepCopy()
	route.Spec.ScalingMetric.Concurrency.TargetValue = concurrency
	s.must(s.Client.Patch(s.ctx, route, client.MergeFrom(before)))
}

// targets are those of KEDA's HPA of a ScaledObject, as name=target.
func (s *scenario) targets(name string) string {
	s.Helper()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: "keda-hpa-" + name}, hpa))
	var all []string
	for _, metric := range hpa.Spec.Metrics {
		all = append(all, strings.TrimPrefix(metric.External.Metric.Name, "s0-")+"="+metric.External.Target.AverageValue.String())
	}
	return strings.Join(all, " ")
}

// visitors are requests that come at a steady rate.
type visitors struct {
	rates  chan float64
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	sent   int
	failed []answer
}

// visit sends so many requests a second; late ones are made up for.
func (s *scenario) visit(host string, perSecond float64) *visitors {
	ctx, cancel := context.WithCancel(s.ctx)
	v := &visitors{rates: make(chan float64), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		var requests sync.WaitGroup
		defer requests.Wait()
		next := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case perSecond = <-v.rates:
			case <-time.After(time.Until(next)):
				next = next.Add(time.Duration(float64(time.Second) / perSecond))
				requests.Go(func() { v.add(s.send(call{url: "http://" + host + "/"})) })
			}
		}
	}()
	return v
}

func (v *visitors) add(a answer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent++
	if a.err != nil || a.status != http.StatusOK {
		v.failed = append(v.failed, a)
	}
}

// answered is how many requests are over.
func (v *visitors) answered() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sent
}

// change changes the rate.
func (v *visitors) change(perSecond float64) { v.rates <- perSecond }

// leaveAll ends the visits, of which none may have failed.
func (s *scenario) leaveAll(v *visitors) {
	s.Helper()
	v.cancel()
	<-v.done
	if len(v.failed) > 0 {
		s.Errorf("%d of %d requests failed, the first: %+v", len(v.failed), v.sent, v.failed[0])
	}
	s.Progress("%s: %d requests, %d failed", s.Namespace, v.sent, len(v.failed))
}
