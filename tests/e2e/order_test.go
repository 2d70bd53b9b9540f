//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario s: a route that comes before its target, after it, or that two installs see.

// Those who wait for the route first, as health checks of GitOps tools do, need not wait for the rest.
func TestRouteComesFirst(t *testing.T) {
	s := together(t, "s-first")
	const host = "first.s.example.com"
	s.apply(interceptorRoute("app", host, concurrencyTen))
	s.kubectl("wait", "--for=condition=Ready", "interceptorroute/app", "--timeout=10s")
	for _, want := range []string{"Ready True Reconciled", "Routed False ServiceNotFound", "Wakes False NoScaledObject"} {
		if got := s.verdict("interceptorroute/app", want[:strings.IndexByte(want, ' ')]); got != want {
			t.Errorf("a route without anything else: %s, want %s", got, want)
		}
	}
	s.apply(webApp("app", 0), scaledObject("app"))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	if got := s.send(call{url: "http://" + host + "/"}); got.err != nil || got.status != http.StatusOK || got.header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Errorf("a request to a target that came later: %+v", got)
	}
}

// verdict is a condition of an object: its type, status and reason.
func (s *scenario) verdict(object, kind string) string {
	s.Helper()
	return s.kubectl("get", object, fmt.Sprintf(`--output=jsonpath={range .status.conditions[?(@.type=="%s")]}{.type} {.status} {.reason}{end}`, kind))
}

// KEDA stops an application that runs when its HTTPScaledObject is made, except with an
// initialCooldownPeriod, as docs/install.md says.
func TestRunningApplicationGetsHTTPScaledObject(t *testing.T) {
	s := together(t, "s-running")
	host := func(name string) string { return name + ".running.s.example.com" }
	names := []string{"kept", "stopped"}
	for _, name := range names {
		s.apply(strings.Replace(webApp(name, 0), "replicas: 0", "replicas: 2", 1))
	}
	for _, name := range names {
		s.kubectl("rollout", "status", "deployment/"+name, "--timeout=60s")
	}
	s.apply(oldRoute("kept", host("kept"), "scaledownPeriod: 300", "initialCooldownPeriod: 300"),
		oldRoute("stopped", host("stopped"), "scaledownPeriod: 300"))
	for _, name := range names {
		s.awaitReady("HTTPScaledObject/"+name, "ScaledObject/"+name)
		s.eventually("KEDA to find that nobody asks for "+name, func() (bool, error) {
			got := s.verdict("scaledobject/"+name, "Active")
			return strings.HasPrefix(got, "Active False"), errors.New(got)
		})
	}
	s.awaitReplicas("stopped", 0)
	s.steadily("kept runs", 2*time.Second, func() bool { return s.replicas("kept") > 0 })
	for name, cold := range map[string]string{"kept": "false", "stopped": "true"} {
		if got := s.send(call{url: "http://" + host(name) + "/"}); got.err != nil || got.status != http.StatusOK || got.header.Get("X-KEDA-HTTP-Cold-Start") != cold {
			t.Errorf("a request to %s: %+v", name, got)
		}
	}
}

// Two installs see one namespace, against the advice of docs/operations.md. The first one keeps the
// ScaledObject, and the other one says so.
func TestTwoInstallsSeeOneNamespace(t *testing.T) {
	s := together(t, "s-tenant")
	const host = "tenant.s.example.com"
	s.apply(webApp("app", 0), oldRoute("app", host, "scaledownPeriod: 1"))
	s.awaitReady("HTTPScaledObject/app", "ScaledObject/app")
	s.awaitReplicas("app", 0)
	// Not their versions: KEDA and the first install may report something else in their status.
	objects := func() string {
		return s.kubectl("get", "httpso/app", "scaledobject/app",
			`--output=jsonpath={range .items[*]}{.kind} {.metadata.generation} {.spec.triggers[*].metadata.scalerAddress} {.status.conditions[?(@.type=="Contested")].lastTransitionTime} {end}`)
	}
	ask := func(when string) {
		t.Helper()
		if got := s.send(call{url: "http://" + host + "/"}); got.err != nil || got.status != http.StatusOK {
			t.Errorf("a request %s: %+v", when, got)
		}
	}

	s.must(s.shell(s.ctx, fmt.Sprintf("helm install tenant %s --namespace=%[2]s --set=crds.install=false,operator.watchNamespace=%[2]s,interceptor.replicas.min=1",
		s.Chart(), s.Namespace)))
	uninstall := func(ctx context.Context) error {
		return s.shell(ctx, "helm uninstall tenant --ignore-not-found --wait --namespace="+s.Namespace)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.try(uninstall(ctx))
	})
	s.kubectl("wait", "--for=condition=Contested", "httpso/app", "--timeout=60s")
	if got := s.verdict("httpso/app", "Contested"); got != "Contested True OtherInstall" {
		t.Errorf("what the other install says: %s", got)
	}
	s.eventually("the event", func() (bool, error) {
		return s.kubectl("get", "events", "--field-selector=reason=OtherInstall", "--output=name") != "", nil
	})
	before := objects()
	if want := "keda-add-ons-http-external-scaler." + cluster.Namespace + ":"; !strings.Contains(before, want) {
		t.Errorf("the objects are %s, without %s", before, want)
	}
	s.steadily("both installs leave "+before, 3*time.Second, func() bool { return objects() == before })
	s.awaitReady("HTTPScaledObject/app", "ScaledObject/app")
	ask("while two installs see its route")

	s.must(uninstall(s.ctx))
	s.kubectl("patch", "httpso", "app", "--type=merge", `--patch={"spec": {"replicas": {"max": 7}}}`)
	s.eventually("the first install to go on", func() (bool, error) {
		return s.kubectl("get", "scaledobject", "app", "--output=jsonpath={.spec.maxReplicaCount}") == "7", nil
	})
	// It stands for a minute at least.
	s.must(s.Eventually(s.ctx, "the condition to end", 3*patience, func(context.Context) (bool, error) {
		got := s.verdict("httpso/app", "Contested")
		return got == "", errors.New(got)
	}))
	ask("after the other install has ended")
}
