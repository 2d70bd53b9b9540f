package scaledobjects

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/keda"
)

func scaledObject(changes ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	object := keda.NewScaledObject()
	object.SetName("shop")
	object.SetGeneration(1)
	for _, change := range changes {
		change(object)
	}
	return object
}

func status(status, reason, message string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		o.Object["status"] = map[string]any{"conditions": []any{
			map[string]any{"type": "Ready", "status": status, "reason": reason, "message": message},
		}}
	}
}

func annotated(name, value string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) { o.SetAnnotations(map[string]string{name: value}) }
}

func TestProblem(t *testing.T) {
	tests := []struct {
		reason string
		object *unstructured.Unstructured
		want   *conditions.Problem
	}{
		{"KEDA has not looked yet", scaledObject(), nil},
		{"KEDA does not know yet", scaledObject(status("Unknown", "Initializing", "")), nil},
		{"all is well", scaledObject(status("True", "ScaledObjectReady", "fine")), nil},
		{"KEDA refuses it", scaledObject(status("False", "ScaledObjectCheckFailed", "no target")), &conditions.Problem{
			Reason:  "ScaledObjectNotReady",
			Message: `KEDA does not wake the target: it says of the ScaledObject "shop": ScaledObjectCheckFailed: no target`,
		}},
		{"the scaler is away", scaledObject(status("False", "TriggerError", "not working")), &conditions.Problem{
			Reason: "ScaledObjectNotReady", Warning: true,
			Message: `KEDA does not wake the target: it says of the ScaledObject "shop": TriggerError: not working`,
		}},
		{"paused", scaledObject(status("True", "ScaledObjectReady", ""), annotated("autoscaling.keda.sh/paused", "true")), &conditions.Problem{
			Reason: "ScaledObjectPaused", Warning: true,
			Message: `KEDA does not wake the target: the annotation autoscaling.keda.sh/paused pauses the ScaledObject "shop"`,
		}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, Problem(test.object)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.reason, diff)
		}
	}
}

func TestChanges(t *testing.T) {
	ready := status("True", "ScaledObjectReady", "fine")
	tests := []struct {
		reason string
		after  *unstructured.Unstructured
		want   bool
	}{
		{"nothing", scaledObject(ready), false},
		{"an activation", scaledObject(ready, func(o *unstructured.Unstructured) {
			o.SetResourceVersion("2")
			_ = unstructured.SetNestedField(o.Object, "now", "status", "lastActiveTime")
		}), false},
		{"readiness", scaledObject(status("False", "TriggerError", "")), true},
		{"the message alone", scaledObject(status("True", "ScaledObjectReady", "finer")), true},
		{"the specification", scaledObject(ready, func(o *unstructured.Unstructured) { o.SetGeneration(2) }), true},
		{"an annotation", scaledObject(ready, annotated("a", "b")), true},
		{"a label", scaledObject(ready, func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{"a": "b"}) }), true},
		{"an owner", scaledObject(ready, func(o *unstructured.Unstructured) {
			o.SetOwnerReferences([]metav1.OwnerReference{{UID: types.UID("1")}})
		}), true},
	}
	for _, test := range tests {
		e := event.TypedUpdateEvent[*unstructured.Unstructured]{ObjectOld: scaledObject(ready), ObjectNew: test.after}
		if got := Changes[*unstructured.Unstructured]().Update(e); got != test.want {
			t.Errorf("%s: %v, want %v", test.reason, got, test.want)
		}
	}
}
