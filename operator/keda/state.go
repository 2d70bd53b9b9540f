package keda

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The annotations by which users tell KEDA not to wake a workload. One more,
// paused-scale-in, keeps it from going to sleep, which is harmless.
const (
	annotationPaused         = "autoscaling.keda.sh/paused"
	annotationPausedReplicas = "autoscaling.keda.sh/paused-replicas"
	annotationPausedScaleOut = "autoscaling.keda.sh/paused-scale-out"
)

// The types of conditions that are read.
const (
	conditionReady  = "Ready"
	conditionActive = "Active"
)

// ReasonCheckFailed is the reason of a Ready condition that is False because of
// what a ScaledObject says, and will be so until somebody changes something. The
// other reasons come from looks at triggers and workloads, and pass by themselves.
const ReasonCheckFailed = "ScaledObjectCheckFailed"

// Condition is one of those that KEDA writes. They have no time.
type Condition struct{ Status, Reason, Message string }

// PausedBy returns the annotation that keeps KEDA from waking the workload of a
// ScaledObject, or nothing.
func PausedBy(scaledObject *unstructured.Unstructured) string {
	annotations := scaledObject.GetAnnotations()
	if _, found := annotations[annotationPausedReplicas]; found {
		return annotationPausedReplicas
	}
	for _, name := range []string{annotationPaused, annotationPausedScaleOut} {
		value, found := annotations[name]
		// A value that is not a boolean pauses too.
		if on, err := strconv.ParseBool(value); found && (on || err != nil) {
			return name
		}
	}
	return ""
}

// Ready returns the Ready condition that KEDA wrote; zero if it wrote none yet.
func Ready(scaledObject *unstructured.Unstructured) Condition {
	ready := conditionOf(scaledObject, conditionReady)
	text := func(field string) string {
		value, _ := ready[field].(string)
		return value
	}
	return Condition{Status: text("status"), Reason: text("reason"), Message: text("message")}
}

// Active reports whether KEDA sees demand for the workload of a ScaledObject.
func Active(scaledObject *unstructured.Unstructured) bool {
	return conditionOf(scaledObject, conditionActive)["status"] == "True"
}

// TrimStatus drops all of the status of a ScaledObject that Ready and Active do not read.
func TrimStatus(scaledObject *unstructured.Unstructured) {
	var kept []any
	if ready := conditionOf(scaledObject, conditionReady); ready != nil {
		kept = append(kept, ready)
	}
	if Active(scaledObject) {
		kept = append(kept, map[string]any{"type": conditionActive, "status": "True"})
	}
	delete(scaledObject.Object, "status")
	if kept != nil {
		scaledObject.Object["status"] = map[string]any{"conditions": kept}
	}
}

func conditionOf(scaledObject *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedFieldNoCopy(scaledObject.Object, "status", "conditions")
	list, _ := conditions.([]any)
	for _, item := range list {
		if condition, _ := item.(map[string]any); condition["type"] == kind {
			return condition
		}
	}
	return nil
}
