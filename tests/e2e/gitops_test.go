//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario o: tools that apply manifests again and again, while KEDA scales.

// Neither of two ways to apply changes anything, and both leave the count of replicas to KEDA.
func TestApplyAgainWhileScaling(t *testing.T) {
	s := together(t, "o-apply")
	const host = "apply.o.example.com"
	manifests := strings.Join([]string{
		strings.Replace(webApp("app", 0), "  replicas: 0\n", "", 1),
		strings.Replace(scaledObject("app"), "maxReplicaCount: 3", "maxReplicaCount: 6", 1),
		interceptorRoute("app", host, "scalingMetric: {concurrency: {targetValue: 2}}"),
		strings.Replace(oldRoute("old", "old."+host), "name: old}", `name: old, labels: {app.kubernetes.io/instance: demo}, annotations: {argocd.argoproj.io/tracking-id: "demo:http.keda.sh/HTTPScaledObject:o-apply/old"}}`, 1),
		model("old", 0),
	}, "\n---\n")
	// The second one takes over the fields of the first, so the order counts.
	ways := [][]string{
		{"--filename=-"},
		{"--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--filename=-"},
	}
	kubectl := func(command string, way []string) (string, error) {
		return s.Kubectl(s.ctx, manifests, append([]string{command, "--namespace=" + s.Namespace}, way...)...)
	}
	for _, way := range ways {
		_, err := kubectl("apply", way)
		s.must(err)
	}
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app", "HTTPScaledObject/old", "ScaledObject/old")

	// Argo CD prunes an object with its annotation. It keeps one that has its label and an owner.
	marks := s.kubectl("get", "scaledobject", "old", "--output=jsonpath={.metadata.annotations} {.metadata.ownerReferences[0].kind}")
	if strings.Contains(marks, "argocd") || !strings.HasSuffix(marks, "HTTPScaledObject") {
		t.Errorf("the ScaledObject of a tracked HTTPScaledObject: %s", marks)
	}

	generations := func() string {
		return s.kubectl("get", "interceptorroute/app", "scaledobject/app", "httpscaledobject/old", "scaledobject/old",
			"--output=jsonpath={range .items[*]}{.kind} {.metadata.generation} {end}")
	}
	before, written := s.managers("app"), generations()
	clients, more := s.hold(nil, host, 6), (*holder)(nil)
	most, rounds := int32(0), 0
	for _, want := range []int32{3, 6} {
		if want == 6 {
			more = s.hold(nil, host, 6)
		}
		// Each round is a sync of both tools. The count stays for three rounds.
		stayed := 0
		s.must(s.Eventually(s.ctx, fmt.Sprintf("%d replicas", want), 5*patience, func(context.Context) (bool, error) {
			for _, way := range ways {
				// diff reads an object before it asks what applying would do. KEDA may scale in between.
				s.eventually("no difference", func() (bool, error) {
					difference, err := kubectl("diff", way)
					return err == nil, fmt.Errorf("%w\n%s", err, difference)
				})
				_, err := kubectl("apply", way)
				s.must(err)
			}
			rounds++
			now := s.replicas("app")
			if now < most {
				t.Fatalf("%d replicas after a sync, before it %d", now, most)
			}
			most = max(most, now)
			if now == want {
				stayed++
			}
			return stayed == 3, fmt.Errorf("%d replicas", now)
		}))
	}
	if after := s.managers("app"); after != before {
		t.Errorf("who manages the fields: %s, before %s", after, before)
	}
	if now := generations(); now != written {
		t.Errorf("specifications were written: %s, before %s", now, written)
	}
	s.Progress("%d rounds of kubectl diff and apply, client-side and server-side, while KEDA scaled to 6: no difference", rounds)
	for _, h := range []*holder{clients, more} {
		leave(h.all)
		s.check(h)
	}
}

// managers are those of the fields of a route's objects.
func (s *scenario) managers(name string) string {
	s.Helper()
	return s.managersOf(s.Namespace, "interceptorroute/"+name, "scaledobject/"+name, "httpscaledobject/old", "scaledobject/old")
}

// managersOf are those of the fields of objects, except of their status and scale.
func (s *scenario) managersOf(namespace string, objects ...string) string {
	s.Helper()
	var all []string
	for _, object := range objects {
		entries, err := s.Kubectl(s.ctx, "", "get", object, "--namespace="+namespace, "--show-managed-fields",
			`--output=jsonpath={range .metadata.managedFields[*]}{.manager}/{.operation}/{.subresource} {end}`)
		s.must(err)
		for _, entry := range strings.Fields(entries) {
			if strings.HasSuffix(entry, "/") {
				all = append(all, object+" "+entry)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// helm upgrade every ten seconds, with the same values, while KEDA scales the interceptors. Their
// count never falls, and nothing else writes what Helm does.
func TestHelmUpgradeWhileScaling(t *testing.T) {
	s := begin(t, "o-helm")
	const host = "helm.o.example.com"
	values := []string{"--set=interceptor.replicas.max=6", "--set=scaler.pendingRequestsInterceptor=10"}
	s.setValues(values...)
	s.apply(webApp("app", 0), interceptorRoute("app", host, concurrencyTen)) // nobody scales it: all are held
	for _, interceptor := range s.interceptors() {
		s.awaitRouted(interceptor, "app")
	}
	count := func() int32 {
		d, err := s.Deployment(s.ctx, cluster.Namespace, "keda-add-ons-http-interceptor")
		s.must(err)
		return *d.Spec.Replicas
	}
	managers := func() string {
		return s.managersOf(cluster.Namespace, "deployment/keda-add-ons-http-interceptor", "deployment/keda-add-ons-http-external-scaler",
			"deployment/keda-add-ons-http-controller-manager", "scaledobject/keda-add-ons-http-interceptor")
	}
	before, managed := count(), managers()
	clients := s.hold(nil, host, 60)
	most, upgrades, stayed := before, 0, 0
	next := time.NewTicker(10 * time.Second)
	defer next.Stop()
	s.must(s.Eventually(s.ctx, "6 interceptors", 3*patience, func(ctx context.Context) (bool, error) {
		select {
		case <-next.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		s.upgrade(values...)
		upgrades++
		now := count()
		if now < most {
			t.Fatalf("%d interceptors after an upgrade, before it %d", now, most)
		}
		most = max(most, now)
		if most == 6 {
			stayed++
		}
		return stayed == 3, fmt.Errorf("%d interceptors", now)
	}))
	s.Progress("%d times helm upgrade while KEDA scaled the interceptors from %d to %d", upgrades, before, most)
	if now := managers(); now != managed {
		t.Errorf("who manages the fields: %s, before %s", now, managed)
	}
	leave(clients.all)
	s.check(clients)
}
