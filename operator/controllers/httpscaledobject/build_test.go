package httpscaledobject

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

func complete(t *testing.T) *v1alpha1.HTTPScaledObject {
	t.Helper()
	raw, err := objects.CompleteHTTPScaledObject()
	if err != nil {
		t.Fatal(err)
	}
	object, err := route.DecodeHTTPScaledObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	object.Namespace, object.UID = "apps", "8f0f6a6e"
	object.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
	return object
}

// What we write is what KEDA does: a change of these files changes how existing
// workloads scale.
func TestScaledObjects(t *testing.T) {
	minimal := objects.HTTPScaledObject("apps", "shop", "shop.test")
	minimal.UID = "0d1c2b3a"
	tests := map[string]struct {
		object *v1alpha1.HTTPScaledObject
		orphan bool
	}{
		"minimal":  {object: minimal},
		"complete": {object: complete(t)},
		"orphan":   {object: minimal, orphan: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(build(test.object, "scaler.keda:9090", test.orphan))
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-golden +got:\n%s", diff)
			}
		})
	}
}

func TestBuildLeavesTheObjectAlone(t *testing.T) {
	object, before := complete(t), complete(t)
	build(object, "scaler.keda:9090", false)
	if diff := cmp.Diff(before, object); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// A copy of a tool's own metadata makes the ScaledObject look like an object of that tool. Argo
// CD and Flux prune it, Helm claims it.
func TestWhatToolsKeepIsNotCopied(t *testing.T) {
	object := objects.HTTPScaledObject("apps", "shop", "shop.test")
	object.Labels = map[string]string{
		"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm", "team": "a", "argocd.argoproj.io/secret-type": "x",
		"kustomize.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "flux", "fluxcd.io/x": "1",
	}
	object.Annotations = map[string]string{
		"argocd.argoproj.io/tracking-id": "x", "argocd.argoproj.io/sync-wave": "1", "kustomize.toolkit.fluxcd.io/checksum": "1",
		"helm.toolkit.fluxcd.io/driftDetection": "disabled", "meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "apps",
		"kubectl.kubernetes.io/last-applied-configuration": "{}", "kubectl.kubernetes.io/restartedAt": "now",
		"autoscaling.keda.sh/paused": "true", "argocd.argoproj.io": "no domain", "toolkit.fluxcd.io/x": "1",
	}
	labels := map[string]string{"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm", "team": "a", "fluxcd.io/x": "1"}
	annotations := map[string]string{"kubectl.kubernetes.io/restartedAt": "now", "autoscaling.keda.sh/paused": "true", "toolkit.fluxcd.io/x": "1"}
	for _, orphan := range []bool{false, true} {
		if orphan {
			delete(labels, "app.kubernetes.io/instance")
		}
		got := build(object, "scaler.keda:9090", orphan).Metadata
		if diff := cmp.Diff(labels, got.Labels); diff != "" {
			t.Errorf("labels, orphan %t (-want +got):\n%s", orphan, diff)
		}
		if diff := cmp.Diff(annotations, got.Annotations); diff != "" {
			t.Errorf("annotations, orphan %t (-want +got):\n%s", orphan, diff)
		}
	}
	if len(object.Labels) != 7 {
		t.Errorf("the object itself has lost labels: %v", object.Labels)
	}
}

func TestWorkload(t *testing.T) {
	for want, ref := range map[string]v1alpha1.ScaleTargetRef{
		"apps/v1/Deployment/shop":        {Name: "shop"},
		"argoproj.io/v1alpha1/Rollout/x": {Name: "x", APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout"},
	} {
		if got := workload(&ref); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The names of older binaries are not known; who sets owners is.
func TestOlderVersionsAreKnownByTheOwnerTheySet(t *testing.T) {
	entry := func(name string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: name, Operation: operation, Subresource: subresource, APIVersion: "keda.sh/v1alpha1",
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	const owned = `{"f:metadata":{"f:ownerReferences":{".":{},"k:{\"uid\":\"1\"}":{}}},"f:spec":{"f:triggers":{}}}`
	got := olderVersions([]metav1.ManagedFieldsEntry{
		entry("old", metav1.ManagedFieldsOperationUpdate, "", owned),
		entry("patched", metav1.ManagedFieldsOperationUpdate, "", `{"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"1\"}":{}}}}`),
		entry("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "", `{"f:spec":{"f:triggers":{}}}`),
		entry("keda", metav1.ManagedFieldsOperationUpdate, "status", owned),
		entry(FieldOwner, metav1.ManagedFieldsOperationApply, "", owned),
		entry("broken", metav1.ManagedFieldsOperationUpdate, "", `[`),
	})
	if !got.Equal(sets.New("old", "patched")) {
		t.Errorf("got %v, want those that set an owner by an update", got)
	}
}
