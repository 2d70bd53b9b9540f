//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// Scenario j: models that load for longer than clients and KEDA have patience: more
// than the client's timeout, the cooldown and KEDA's polls together.

const (
	longLoad = 10 * time.Second
	leaves   = 3 * time.Second
)

// The client leaves, and the model is loaded all the same.
func TestLeaseOutlivesTheClient(t *testing.T) {
	s := together(t, "j-leaves")
	s.apply(model("llm", longLoad), scaledObject("llm"), interceptorRoute("llm", "leaves.j.example.com", concurrencyTen))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	awaitLoaded := s.watchLoad("llm")
	ctx, cancel := context.WithTimeout(s.ctx, leaves)
	defer cancel()
	got := s.send(call{method: http.MethodPost, url: "http://leaves.j.example.com/v1/chat/completions", body: whole, ctx: ctx})
	if !errors.Is(got.err, context.DeadlineExceeded) {
		t.Fatalf("the client did not leave: %+v", got)
	}
	awaitLoaded()
	s.awaitReplicas("llm", 0)
}

// Three interceptors with a lease each ask for one replica, not for one each.
func TestLeasesAskForOneReplica(t *testing.T) {
	s := together(t, "j-leases")
	const host = "leases.j.example.com"
	s.apply(model("llm", longLoad), scaledObject("llm"), interceptorRoute("llm", host, "scalingMetric: {concurrency: {targetValue: 1}}",
		"coldStart: {placeholder: {response: {statusCode: 202}}}"))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	interceptors := s.interceptors()
	if len(interceptors) < 3 {
		t.Fatalf("there are %d interceptors", len(interceptors))
	}
	for _, i := range interceptors {
		s.awaitRouted(i, "llm")
	}
	awaitLoaded := s.watchLoad("llm")
	for _, i := range interceptors {
		if got := s.send(call{url: "http://" + host + "/", by: i.HTTP}); got.err != nil || got.status != http.StatusAccepted {
			t.Errorf("the placeholder: %+v", got)
		}
	}
	for _, i := range interceptors {
		if got := s.demand(i, "llm"); !got.Leased || !got.Cold {
			t.Errorf("an interceptor without a lease: %+v", got)
		}
	}
	awaitLoaded()
	s.eventually("the leases to end", func() (bool, error) {
		for _, i := range interceptors {
			if got := s.demand(i, "llm"); got.Concurrency != 0 || got.Cold {
				return false, fmt.Errorf("%+v", got)
			}
		}
		return true, nil
	})
	s.awaitAtMost("llm", 0)
}

// A single request, of which no rate is left after a second, keeps the model loading.
func TestHeldRequestKeepsRateOnlyRouteActive(t *testing.T) {
	s := together(t, "j-rate")
	const host = "rate.j.example.com"
	s.apply(model("llm", longLoad), scaledObject("llm"), interceptorRoute("llm", host,
		"scalingMetric: {requestRate: {targetValue: 10, window: 1s, granularity: 100ms}}", "coldStart: {activationLease: 1s}"))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	awaitLoaded := s.watchLoad("llm")
	held := s.sendSoon(call{method: http.MethodPost, url: "http://" + host + "/v1/chat/completions", body: whole})
	awaitLoaded()
	if got := <-held; got.err != nil || got.status != http.StatusOK || got.took < longLoad {
		t.Errorf("the answer: %+v", got)
	}
	s.awaitReplicas("llm", 0)
}
