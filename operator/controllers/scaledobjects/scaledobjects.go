// Package scaledobjects explains, in the words of a condition, why KEDA does not scale by a
// ScaledObject. It also decides which of KEDA's many writes to a ScaledObject may change that. It
// must not know who made the ScaledObject.
package scaledobjects

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/keda"
)

// The reasons why a ScaledObject does not wake its workload.
const (
	ReasonPaused   = "ScaledObjectPaused"
	ReasonNotReady = "ScaledObjectNotReady"
)

// Problem returns what keeps KEDA from waking the workload of a ScaledObject. It returns nil if
// nothing does, or if KEDA has not looked at it yet. The problem is a warning if somebody
// configured it, or if it may end without help. For example, KEDA cannot poll while the scaler
// restarts, and that must not change every route.
func Problem(scaledObject *unstructured.Unstructured) *conditions.Problem {
	name := scaledObject.GetName()
	if annotation := keda.PausedBy(scaledObject); annotation != "" {
		return &conditions.Problem{
			Reason: ReasonPaused, Warning: true,
			Message: fmt.Sprintf("KEDA does not wake the target: the annotation %s pauses the ScaledObject %q", annotation, name),
		}
	}
	ready := keda.Ready(scaledObject)
	if ready.Status != string(metav1.ConditionFalse) {
		return nil
	}
	return &conditions.Problem{
		Reason: ReasonNotReady, Warning: ready.Reason != keda.ReasonCheckFailed,
		Message: fmt.Sprintf("KEDA does not wake the target: it says of the ScaledObject %q: %s: %s", name, ready.Reason, ready.Message),
	}
}

// Changes passes over what KEDA writes into the status of ScaledObjects with every
// activation.
func Changes[T client.Object]() predicate.TypedPredicate[T] {
	return predicate.TypedFuncs[T]{UpdateFunc: func(e event.TypedUpdateEvent[T]) bool {
		before, after := client.Object(e.ObjectOld), client.Object(e.ObjectNew)
		return before.GetGeneration() != after.GetGeneration() ||
			!maps.Equal(before.GetLabels(), after.GetLabels()) ||
			!maps.Equal(before.GetAnnotations(), after.GetAnnotations()) ||
			!slices.EqualFunc(before.GetOwnerReferences(), after.GetOwnerReferences(), sameOwner) ||
			ready(before) != ready(after)
	}}
}

func sameOwner(a, b metav1.OwnerReference) bool { return a.UID == b.UID }

func ready(object client.Object) keda.Condition {
	scaledObject, _ := object.(*unstructured.Unstructured)
	return keda.Ready(scaledObject)
}
