//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Scenario a: from 0 to 1 and back, with the streaming callback and the waiting page of
// both kinds.

func TestHTTPScaledObjectWakesAndSleeps(t *testing.T) {
	s := begin(t, "a-scaledobject")
	s.apply(model("llm", time.Second), `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: llm}
spec:
  hosts: [old.example.com]
  scaleTargetRef: {name: llm, kind: Deployment, apiVersion: apps/v1, service: llm, port: 80}
  replicas: {min: 0, max: 3}
  scaledownPeriod: 1
  scalingMetric: {concurrency: {targetValue: 10}}
  coldStartMessage: "The old kind wakes up."
  coldStartStreamingCallback: {message: "Loading the model.", intervalSeconds: 1}
`)
	s.awaitReady("HTTPScaledObject/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	s.checkColdChat("old.example.com")
	if got := s.replicas("llm"); got != 1 {
		t.Errorf("%d replicas after the answer, want 1", got)
	}
	s.checkWarmChat("old.example.com")
	// The ScaledObject that the operator makes is polled each 15 seconds.
	s.awaitReplicas("llm", 0)
	s.checkPage("old.example.com", "The old kind wakes up.")
	s.awaitReplicas("llm", 1)
}

func TestInterceptorRouteWakesAndSleeps(t *testing.T) {
	s := begin(t, "a-route")
	s.apply(model("llm", time.Second), scaledObject("llm"), `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: llm}
spec:
  target: {service: llm, portName: http}
  rules: [{hosts: [new.example.com]}]
  scalingMetric: {concurrency: {targetValue: 10}}
  coldStart:
    streamingCallback: {message: "Loading the model.", interval: 300ms}
    waitingPage: {message: "The new kind wakes up."}
`)
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	const starts = 5
	var wakes []time.Duration
	for range starts {
		asked := time.Now()
		answer := s.askSoon("new.example.com", "Are you there?")
		s.eventually("the Deployment at 1 replica", func() (bool, error) { return s.replicas("llm") == 1, nil })
		wakes = append(wakes, time.Since(asked))
		s.checkCold(<-answer)
		s.awaitReplicas("llm", 0)
	}
	s.Progress("first byte → Deployment at 1 replica: median %s of %v", median(wakes).Round(time.Millisecond), wakes)
	if got := median(wakes); got > 20*time.Second { // the goal is 500 ms
		t.Errorf("from the first byte to 1 replica: median %s", got)
	}
	s.checkPage("new.example.com", "The new kind wakes up.")
	s.awaitReplicas("llm", 1)
	s.awaitAwake("new.example.com")
	s.checkWarmChat("new.example.com")
	s.awaitReplicas("llm", 0)
}

// A client that no callback is for waits, and gets the answer that it asked for.
func TestHeldRequestWakes(t *testing.T) {
	s := begin(t, "a-held")
	s.apply(webApp("app", time.Second), scaledObject("app"), `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [held.example.com]}]
  scalingMetric: {requestRate: {targetValue: 10, window: 2s}}
`)
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	s.awaitReplicas("app", 0)
	response, body := s.get("http://held.example.com/", nil)
	if response.StatusCode != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("the web application's page: %s\n%s", response.Status, body)
	}
	if got := response.Header.Get("X-KEDA-HTTP-Cold-Start"); got != "true" {
		t.Errorf("X-KEDA-HTTP-Cold-Start is %q", got)
	}
	s.awaitReplicas("app", 0)
}

// checkColdChat asks a target that sleeps.
func (s *scenario) checkColdChat(host string) {
	s.Helper()
	s.checkCold(s.ask(host, "Are you there?"))
}

// checkCold checks an answer that began before the model was loaded.
func (s *scenario) checkCold(answer chat) {
	s.Helper()
	if answer.err != nil || answer.status != http.StatusOK || !answer.done {
		s.Fatalf("the stream: %+v", answer)
	}
	if got := answer.header.Get("X-KEDA-HTTP-Cold-Start"); got != "true" {
		s.Errorf("X-KEDA-HTTP-Cold-Start is %q", got)
	}
	if got := answer.texts[0]; got != "Loading the model." {
		s.Errorf("the first event says %q", got)
	}
	message, rest, separated := strings.Cut(answer.text(), "\n\n---\n\n")
	if !separated || message != "Loading the model." || rest == "" {
		s.Errorf("message, separator, answer: %q", answer.text())
	}
	if got := answer.first.Sub(answer.asked); got > 20*time.Second { // the goal is 100 ms
		s.Errorf("the first event took %s", got)
	}
	if first, last := answer.ids[0], answer.ids[len(answer.ids)-1]; first != "" || last == "" {
		s.Errorf("the model's answer is spliced in: ids %q to %q", first, last)
	}
}

// checkWarmChat asks a target that is awake.
func (s *scenario) checkWarmChat(host string) {
	s.Helper()
	answer := s.ask(host, "Are you there?")
	if answer.err != nil || !answer.done || answer.header.Get("X-KEDA-HTTP-Cold-Start") != "false" || strings.Contains(answer.text(), "Loading") {
		s.Errorf("the stream of a target that is awake: %+v", answer)
	}
}

// checkPage looks at a target that sleeps with a browser.
func (s *scenario) checkPage(host, message string) {
	s.Helper()
	response, body := s.get("http://"+host+"/", browser())
	if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, message) {
		s.Errorf("the waiting page: %s\n%s", response.Status, body)
	}
}
