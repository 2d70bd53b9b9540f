//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Scenario h: the first request after a long silence, without KEDA's polls.
func TestFirstRequestAfterLongIdle(t *testing.T) {
	s := together(t, "h-idle")
	const idle = 10 * time.Second // ten windows, and more than two bookmarks
	for _, test := range []struct{ name, metric string }{
		{"rate", "{requestRate: {targetValue: 10, window: 1s, granularity: 100ms}}"},
		{"concurrency", "{concurrency: {targetValue: 10}}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, host := s.part(t), test.name+".h.example.com"
			s.apply(webApp(test.name, time.Second), scaledObject(test.name), interceptorRoute(test.name, host, "scalingMetric: "+test.metric))
			s.awaitReady("InterceptorRoute/"+test.name, "ScaledObject/"+test.name)
			if got := s.send(call{url: "http://" + host + "/"}); got.err != nil || got.status != http.StatusOK {
				t.Fatalf("the first request ever: %+v", got)
			}
			s.awaitReplicas(test.name, 0)
			s.pollSeldom(test.name)
			s.steadily("nobody wants it", idle, func() bool { return s.replicas(test.name) == 0 })

			awaitLoaded := s.watchLoad(test.name)
			asked := time.Now()
			answer := s.sendSoon(call{url: "http://" + host + "/"})
			s.eventually("the Deployment at 1 replica", func() (bool, error) { return s.replicas(test.name) == 1, nil })
			s.Progress("%s, %s idle: first byte → Deployment at 1 replica: %s", test.name, idle, time.Since(asked).Round(time.Millisecond))
			awaitLoaded()
			if got := <-answer; got.err != nil || got.status != http.StatusOK {
				t.Errorf("the first request after a while: %+v", got)
			}
		})
	}
}

// pollSeldom makes KEDA poll a ScaledObject so seldom that it can learn of a request only from
// its stream. It waits until KEDA does so: its HPA has the other change by then. Soon afterwards
// KEDA reopens its stream and polls a last time.
func (s *scenario) pollSeldom(name string) {
	s.Helper()
	s.apply(strings.NewReplacer("pollingInterval: 1", "pollingInterval: 600", "maxReplicaCount: 3", "maxReplicaCount: 4").Replace(scaledObject(name)))
	s.eventually("KEDA to poll seldom", func() (bool, error) {
		hpa := &autoscalingv2.HorizontalPodAutoscaler{}
		err := s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: "keda-hpa-" + name}, hpa)
		return hpa.Spec.MaxReplicas == 4, err
	})
}
