//go:build charts

package charts_test

import (
	"os"
	"os/exec"
	"testing"
)

// GitOps tools apply the same manifests again and again while KEDA scales the interceptors.
// They must find no drift, and leave KEDA's count alone. An HPA writes to the scale
// subresource, as kubectl scale does.
func TestGitOpsLoops(t *testing.T) {
	cluster, kubectl := startCluster(t)
	kubectl(scaledObjects, "create", "-f", "-")
	kubectl("", "wait", "--for=condition=Established", "crd/scaledobjects.keda.sh")
	kubectl("", "create", "namespace", "keda")
	built, err := output(exec.CommandContext(t.Context(), tool(t, "kustomize"), "build", root+"/config/default"))
	if err != nil {
		t.Fatal(err)
	}
	manifests := string(built)
	binary := tool(t, "helm")
	helm := func(args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), binary, append(args, "--namespace", "keda", "--kubeconfig", cluster.Kubeconfig)...)
		command.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir())
		if out, err := output(command); err != nil {
			t.Fatalf("helm %s: %v\n%s", args[0], err, out)
		}
	}
	const interceptors = "deployment/keda-add-ons-http-interceptor"
	state := func(path string) string {
		t.Helper()
		return kubectl("", "get", "--namespace=keda", interceptors, "--show-managed-fields", "--output=jsonpath="+path)
	}
	for _, loop := range []struct {
		name                  string
		install, sync, remove func()
	}{
		{
			"kubectl apply",
			func() { kubectl(manifests, "apply", "--filename=-") },
			func() {
				kubectl(manifests, "apply", "--filename=-")
				kubectl(manifests, "diff", "--filename=-") // fails if there is a difference
			},
			func() { kubectl(manifests, "delete", "--filename=-", "--wait") },
		},
		{
			"server-side apply",
			func() {
				kubectl(manifests, "apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--filename=-")
			},
			func() {
				before := state("{.metadata.managedFields}")
				kubectl(manifests, "apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--filename=-")
				if after := state("{.metadata.managedFields}"); after != before {
					t.Errorf("the owners of fields were\n%s\nand are\n%s", before, after)
				}
			},
			func() { kubectl(manifests, "delete", "--filename=-", "--wait") },
		},
		{
			"helm upgrade",
			func() { helm("install", "http-add-on", chart) },
			func() { helm("upgrade", "http-add-on", chart) },
			func() { helm("uninstall", "http-add-on") },
		},
	} {
		loop.install()
		for _, count := range []string{"3", "6"} {
			kubectl("", "scale", "--namespace=keda", "--replicas="+count, interceptors)
			loop.sync()
			if got := state("{.spec.replicas}"); got != count {
				t.Errorf("%s: %s interceptors, want the %s that KEDA had started", loop.name, got, count)
			}
			t.Logf("%s: no drift at %s", loop.name, count)
		}
		loop.remove()
	}
}
