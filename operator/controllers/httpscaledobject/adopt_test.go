package httpscaledobject

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// KEDA writes the status of a ScaledObject with every activation, so that adopting
// one of 0.16 meets conflicts. In a namespace that goes away, nothing can be made and
// no event recorded: the API server refuses both. That is nothing to tell people.
func TestWhatIsNoFact(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "scaledobjects"}, "shop", nil)
	terminating := apierrors.NewForbidden(schema.GroupResource{Resource: "scaledobjects"}, "shop", nil)
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause, Field: "metadata.namespace"}}
	for _, test := range []struct {
		reason  string
		refused error
		again   error
	}{
		{"a conflict", conflict, conflict},
		{"a namespace that goes away", terminating, nil},
	} {
		t.Run(test.reason, func(t *testing.T) { noFact(t, test.refused, test.again) })
	}
}

// noFact reconciles an object whose ScaledObject cannot be patched.
func noFact(t *testing.T, refused, again error) {
	t.Helper()
	object := objects.HTTPScaledObject("apps", "shop", "shop.test")
	object.UID = "1"
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	raw := &unstructured.Unstructured{Object: content}
	raw.SetGroupVersionKind(route.HTTPScaledObjectKind())
	old := keda.NewScaledObject()
	old.SetNamespace("apps")
	old.SetName("shop")
	old.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(object, route.HTTPScaledObjectKind())})
	old.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "operator", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "keda.sh/v1alpha1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:ownerReferences":{}}}`),
	}})
	scheme := runtime.NewScheme()
	for _, kind := range []schema.GroupVersionKind{route.HTTPScaledObjectKind(), route.InterceptorRouteKind(), keda.ScaledObjectKind()} {
		scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(kind.GroupVersion().WithKind(kind.Kind+"List"), &unstructured.UnstructuredList{})
	}
	refusals := 0
	api := fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().WithObjects(raw, old).WithStatusSubresource(raw).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
				refusals++
				return refused
			},
		}).Build()
	recorder := events.NewFakeRecorder(10)
	there := availability.New(keda.ScaledObjectKind(), api, "", "", testr.New(t))
	there.Probe(t.Context())
	r := &Reconciler{
		Client: api, Status: &conditions.Writer{Status: api.Status(), Recorder: recorder, Now: time.Now}, ScalerAddress: "scaler.keda:9090",
		KEDA: there, Services: availability.New(schema.GroupVersionKind{}, api, "", "", testr.New(t)),
	}
	name := client.ObjectKeyFromObject(object)
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: name}); !errors.Is(err, again) || refusals != 1 {
		t.Fatalf("refused %d times, and the result %v", refusals, err)
	}
	if err := api.Get(t.Context(), name, raw); err != nil {
		t.Fatal(err)
	}
	if status := raw.Object["status"]; status != nil && len(status.(map[string]any)) > 0 || len(recorder.Events) > 0 {
		t.Errorf("status %v, %d events", status, len(recorder.Events))
	}
}
