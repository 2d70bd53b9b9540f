// Package keda is what the operator knows of KEDA: the shape of a ScaledObject,
// as far as it writes or reads one. It must not know a client.
//
// The types are our own and few, as KEDA's come with its whole module: see
// docs/adr/0005-own-types-of-scaledobjects.md.
package keda

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kedacore/http-add-on/pkg/route"
)

// MetadataScalerAddress is the key of trigger metadata by which KEDA finds the scaler.
const MetadataScalerAddress = "scalerAddress"

// The types of triggers that lead to our scaler.
const (
	// TriggerExternalPush is a trigger that the scaler pushes to and KEDA polls.
	TriggerExternalPush = "external-push"
	// TriggerExternal is a trigger that KEDA polls only.
	TriggerExternal = "external"
)

// ScaledObjectKind is the kind of ScaledObjects.
func ScaledObjectKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}
}

// NewScaledObject returns an empty ScaledObject, to read into or to watch.
func NewScaledObject() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(ScaledObjectKind())
	return object
}

// ScaledObject holds the fields that we apply. We do not own fields that are nil or empty; they
// stay as their owner left them.
type ScaledObject struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        Metadata         `json:"metadata"`
	Spec            ScaledObjectSpec `json:"spec"`
}

// Metadata is the part of an object's metadata that can be applied.
type Metadata struct {
	Namespace       string                  `json:"namespace"`
	Name            string                  `json:"name"`
	Labels          map[string]string       `json:"labels,omitempty"`
	Annotations     map[string]string       `json:"annotations,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

// ScaledObjectSpec defines the workload to scale, the bounds, and the triggers.
type ScaledObjectSpec struct {
	ScaleTargetRef  ScaleTargetRef `json:"scaleTargetRef"`
	PollingInterval int32          `json:"pollingInterval"`
	// CooldownPeriod and InitialCooldownPeriod are seconds.
	CooldownPeriod        *int32    `json:"cooldownPeriod,omitempty"`
	InitialCooldownPeriod *int32    `json:"initialCooldownPeriod,omitempty"`
	MinReplicaCount       *int32    `json:"minReplicaCount,omitempty"`
	MaxReplicaCount       *int32    `json:"maxReplicaCount,omitempty"`
	Advanced              Advanced  `json:"advanced"`
	Triggers              []Trigger `json:"triggers"`
}

// ScaleTargetRef names a workload; without kind and apiVersion it is a Deployment.
type ScaleTargetRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name"`
}

// Advanced settings of a ScaledObject.
type Advanced struct {
	// RestoreToOriginalReplicaCount when the ScaledObject is deleted.
	RestoreToOriginalReplicaCount bool `json:"restoreToOriginalReplicaCount"`
}

// Trigger is a source of metrics.
type Trigger struct {
	Type     string            `json:"type"`
	Metadata map[string]string `json:"metadata"`
}

// ScalerAddress returns where the triggers of a ScaledObject find our scaler: the address of
// the first one that has any.
func ScalerAddress(scaledObject *unstructured.Unstructured) string {
	triggers, _, _ := unstructured.NestedSlice(scaledObject.Object, "spec", "triggers")
	for _, item := range triggers {
		trigger, _ := item.(map[string]any)
		if address, _, _ := unstructured.NestedString(trigger, "metadata", MetadataScalerAddress); address != "" {
			return address
		}
	}
	return ""
}

// Reference is a route that a trigger measures.
type Reference struct {
	// Kind is InterceptorRoute or HTTPScaledObject.
	Kind string
	// Name of the route, in the namespace of the ScaledObject.
	Name string
}

// References returns the routes that the triggers of a ScaledObject refer to, each
// once. It skips what does not look like a trigger.
func References(scaledObject *unstructured.Unstructured) []Reference {
	triggers, _, _ := unstructured.NestedSlice(scaledObject.Object, "spec", "triggers")
	var references []Reference
	for _, item := range triggers {
		trigger, _ := item.(map[string]any)
		if kind, _, _ := unstructured.NestedString(trigger, "type"); kind != TriggerExternalPush && kind != TriggerExternal {
			continue
		}
		metadata, _ := trigger["metadata"].(map[string]any)
		kind, name := route.OfTrigger(func(key string) string {
			value, _ := metadata[key].(string)
			return value
		})
		if r := (Reference{Kind: kind, Name: name}); name != "" && !slices.Contains(references, r) {
			references = append(references, r)
		}
	}
	return references
}
