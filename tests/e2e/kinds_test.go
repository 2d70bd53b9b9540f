//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Scenario r: other kinds of workloads and clients.

// A StatefulSet wakes and sleeps by both kinds of routes.
func TestStatefulSet(t *testing.T) {
	s := together(t, "r-statefulset")
	stateful := func(name string) string {
		return strings.Replace(model(name, time.Second), "kind: Deployment\nmetadata: {name: "+name+"}\nspec:\n", "kind: StatefulSet\nmetadata: {name: "+name+"}\nspec:\n  serviceName: "+name+"\n", 1)
	}
	s.apply(
		stateful("new"), strings.Replace(scaledObject("new"), "scaleTargetRef: {name: new}", "scaleTargetRef: {name: new, kind: StatefulSet}", 1),
		interceptorRoute("new", "new.r.example.com", concurrencyTen),
		stateful("old"), strings.Replace(oldRoute("old", "old.r.example.com", "scaledownPeriod: 1"), "kind: Deployment", "kind: StatefulSet", 1))
	s.awaitReady("InterceptorRoute/new", "ScaledObject/new", "HTTPScaledObject/old", "ScaledObject/old")
	for _, name := range []string{"new", "old"} {
		s.eventually(name+" asleep", func() (bool, error) {
			return s.kubectl("get", "pods", "--selector=app="+name, "--output=name") == "", nil
		})
		got := s.send(call{url: "http://" + name + ".r.example.com/v1/models"})
		if got.err != nil || got.status != http.StatusOK || got.header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
			t.Errorf("%s: %+v", name, got)
		}
		if pods := strings.TrimSpace(s.kubectl("get", "pods", "--selector=app="+name, "--output=name")); pods != "pod/"+name+"-0" {
			t.Errorf("%s: %s", name, pods)
		}
	}
	s.eventually("new asleep again", func() (bool, error) {
		return s.kubectl("get", "pods", "--selector=app=new", "--output=name") == "", nil
	})
}

// A gRPC client waits for a server that sleeps.
func TestGRPC(t *testing.T) {
	s := together(t, "r-grpc")
	const host = "grpc.r.example.com"
	server := strings.Replace(workload("greeter", "greeter", nil), "targetPort: http", "targetPort: http, appProtocol: kubernetes.io/h2c", 1)
	server = strings.Replace(server, "httpGet: {path: /healthz, port: http}", "grpc: {port: 8000}", 1)
	s.apply(server, patient(scaledObject("greeter")), interceptorRoute("greeter", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/greeter", "ScaledObject/greeter")
	s.eventually("greeter asleep", func() (bool, error) { return s.replicas("greeter") == 0, nil })
	for _, state := range []string{"cold", "warm"} {
		asked := time.Now()
		if err := s.callGRPC(host); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		s.Progress("gRPC %s: %s", state, time.Since(asked).Round(time.Millisecond))
	}
}
