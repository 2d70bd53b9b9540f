//go:build charts

package charts_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

// scaledObjects stands in for KEDA's definition. The chart only needs the kind to exist.
const scaledObjects = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: scaledobjects.keda.sh
spec:
  group: keda.sh
  scope: Namespaced
  names: {kind: ScaledObject, plural: scaledobjects, singular: scaledobject, listKind: ScaledObjectList}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

// monitors stand in for the definitions of the Prometheus operator.
const monitors = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: podmonitors.monitoring.coreos.com
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PodMonitor, plural: podmonitors, singular: podmonitor, listKind: PodMonitorList}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: prometheusrules.monitoring.coreos.com
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PrometheusRule, plural: prometheusrules, singular: prometheusrule, listKind: PrometheusRuleList}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

const route = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: kept, namespace: default}
spec:
  target: {service: app, port: 80}
  scalingMetric: {concurrency: {targetValue: 10}}
`

// startCluster starts an API server for a test, and returns it with its kubectl, which fails the
// test if it fails.
func startCluster(t *testing.T) (cluster *controlplane.ControlPlane, kubectl func(stdin string, args ...string) string) {
	t.Helper()
	cluster, err := controlplane.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster, func(stdin string, args ...string) string {
		t.Helper()
		out, err := cluster.Kubectl(t.Context(), stdin, args...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(out)
	}
}

// Takes the chart through its life on a real API server. There is an upgrade from 0.16, a dry
// run, an installation, an upgrade with every value set, and an end that leaves the routes alone.
func TestLifeOfARelease(t *testing.T) {
	cluster, kubectl := startCluster(t)
	binary := tool(t, "helm")
	helm := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), binary, append(args, "--namespace", "keda", "--kubeconfig", cluster.Kubeconfig)...)
		command.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir())
		out, err := output(command)
		if err != nil {
			t.Fatalf("helm %s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	// The chart brings the definitions itself.
	definitions := []string{"crd/interceptorroutes.http.keda.sh", "crd/httpscaledobjects.http.keda.sh"}
	kubectl("", append([]string{"delete", "--wait"}, definitions...)...)
	kubectl(scaledObjects, "create", "-f", "-")
	kubectl(monitors, "create", "-f", "-")
	kubectl("", "wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "crd/podmonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com")
	for _, namespace := range []string{"keda", "apps"} {
		kubectl("", "create", "namespace", namespace)
	}

	helm("install", "http-add-on", "testdata/release-0.16")
	uid := func() string {
		return kubectl("", "get", "--namespace=keda", "deployments", "--output=jsonpath={.items[*].metadata.uid}")
	}
	const interceptors = "deployment/keda-add-ons-http-interceptor"
	count := func() string {
		return kubectl("", "get", "--namespace=keda", interceptors, "--output=jsonpath={.spec.replicas}")
	}
	// scaled is what KEDA does.
	scaled := func(to string) { kubectl("", "scale", "--namespace=keda", "--replicas="+to, interceptors) }
	old := uid()
	scaled("6")
	helm("upgrade", "http-add-on", chart, "--values", "testdata/values/snake-case-tls.yaml")
	if uid() != old {
		t.Error("the upgrade of a 0.16 release made new Deployments")
	}
	if got := count(); got != "6" {
		t.Errorf("%s interceptors after the upgrade of a 0.16 release, want the 6 that KEDA had started", got)
	}
	helm("uninstall", "http-add-on")

	// Earlier versions of our chart set replicas, and Helm removes what it no longer finds in a
	// chart. The documented step makes it forget the field.
	earlier := withReplicas(t)
	helm("install", "http-add-on", earlier)
	scaled("6")
	documented(t, cluster.Kubeconfig, "# keep the count: Helm")
	helm("upgrade", "http-add-on", chart)
	if got := count(); got != "6" {
		t.Errorf("%s interceptors after the upgrade from an earlier chart, want the 6 that KEDA had started", got)
	}
	helm("uninstall", "http-add-on")

	helm("install", "http-add-on", chart, "--dry-run=server")
	if notes := helm("install", "http-add-on", chart); !strings.Contains(notes, "port 8080") {
		t.Errorf("the notes do not say where the traffic goes:\n%s", notes)
	}
	kubectl("", append([]string{"wait", "--for=condition=Established"}, definitions...)...)
	kubectl(route, "create", "-f", "-")
	for may, want := range map[string]string{
		"watch httpscaledobjects --as=system:serviceaccount:keda:keda-add-ons-http-interceptor":                                    "yes",
		"get secrets --as=system:serviceaccount:keda:keda-add-ons-http-interceptor":                                                "no",
		"patch interceptorroutes --subresource=status --as=system:serviceaccount:keda:keda-add-ons-http":                           "yes",
		"update interceptorroutes --as=system:serviceaccount:keda:keda-add-ons-http":                                               "no",
		"create tokenreviews.authentication.k8s.io --as=system:serviceaccount:keda:keda-add-ons-http":                              "yes",
		"create leases.coordination.k8s.io --namespace=keda --as=system:serviceaccount:keda:keda-add-ons-http":                     "yes",
		"create leases.coordination.k8s.io --as=system:serviceaccount:keda:keda-add-ons-http":                                      "no",
		"watch endpointslices.discovery.k8s.io --namespace=keda --as=system:serviceaccount:keda:keda-add-ons-http-external-scaler": "yes",
		"watch endpointslices.discovery.k8s.io --as=system:serviceaccount:keda:keda-add-ons-http-external-scaler":                  "no",
		"get services --as=system:serviceaccount:keda:keda-add-ons-http-external-scaler":                                           "no",
	} {
		// kubectl fails when the answer is no.
		if got, err := cluster.Kubectl(t.Context(), "", append([]string{"auth", "can-i"}, strings.Fields(may)...)...); strings.TrimSpace(got) != want {
			t.Errorf("%s: %q (%v), want %s", may, got, err, want)
		}
	}

	// KEDA has scaled the interceptors; an upgrade must not stop what it started.
	scaled("7")
	helm("upgrade", "http-add-on", chart, "--values", "testdata/values/full.yaml")
	if got := count(); got != "7" {
		t.Errorf("%s interceptors after the upgrade, want the 7 that KEDA had started", got)
	}
	// The full values do not install the definitions, and the release ends too.
	helm("uninstall", "http-add-on")
	kubectl("", "get", "interceptorroute/kept", "--namespace=default")

	// The definitions stay, and belong to the release: another one needs a flag to take them.
	again := exec.CommandContext(t.Context(), binary, "install", "other", chart, "--namespace", "keda", "--kubeconfig", cluster.Kubeconfig)
	if out, err := again.CombinedOutput(); err == nil || !strings.Contains(string(out), "invalid ownership metadata") {
		t.Errorf("another release name: %v\n%s", err, out)
	}
	helm("install", "other", chart, "--take-ownership")
	helm("uninstall", "other")
	kubectl("", "get", "interceptorroute/kept", "--namespace=default")

	built, err := output(exec.CommandContext(t.Context(), tool(t, "kustomize"), "build", root+"/config/default"))
	if err != nil {
		t.Fatal(err)
	}
	// Server-side apply leaves a count that KEDA has changed since; one that it has not, the
	// documented step hands over.
	apply := func(manifests string) {
		t.Helper()
		kubectl(manifests, "apply", "--server-side", "--force-conflicts", "--filename=-")
	}
	before := strings.Replace(string(built), "  name: keda-add-ons-http-interceptor\n  namespace: keda\nspec:\n  selector:",
		"  name: keda-add-ons-http-interceptor\n  namespace: keda\nspec:\n  replicas: 3\n  selector:", 1)
	if before == string(built) {
		t.Fatal("no Deployment to set replicas of")
	}
	for _, step := range []struct {
		count string
		step  func()
	}{
		{"6", func() { scaled("6") }},
		{"3", func() { documented(t, cluster.Kubeconfig, "# keep the count: server-side apply") }},
	} {
		apply(before)
		step.step()
		apply(string(built))
		if got := count(); got != step.count {
			t.Errorf("%s interceptors after server-side apply, want the %s that there were", got, step.count)
		}
	}
	kubectl("", "apply", "--kustomize", root+"/config/samples")
}

// withReplicas is a copy of the chart that sets the interceptors' count.
func withReplicas(t *testing.T) string {
	t.Helper()
	earlier := t.TempDir()
	if err := os.CopyFS(earlier, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	name := earlier + "/templates/interceptor/deployment.yaml"
	text := string(read(t, name))
	changed := strings.Replace(text, "\nspec:\n", "\nspec:\n  replicas: 3\n", 1)
	if changed == text {
		t.Fatal("no place for replicas")
	}
	if err := os.WriteFile(name, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return earlier
}

// documented runs the commands of docs/install.md that begin with a comment.
func documented(t *testing.T, kubeconfig, comment string) {
	t.Helper()
	_, commands, found := strings.Cut(string(read(t, root+"/docs/install.md")), comment+"\n")
	commands, _, ended := strings.Cut(commands, "```")
	if !found || !ended {
		t.Fatalf("docs/install.md has no commands %q", comment)
	}
	binary, err := output(exec.CommandContext(t.Context(), root+"/hack/tools/install.sh", "kubernetes", "kubectl"))
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-euc", commands)
	shell.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+strings.TrimSpace(string(binary))+":"+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", comment, err, out)
	}
}
