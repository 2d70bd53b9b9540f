// Package keda is what the operator knows of KEDA: the shape of a ScaledObject,
// as far as it writes or reads one. It must not know a client or our own kinds.
//
// The types are our own and few, as KEDA's come with its whole module: see
// docs/adr/0005-own-types-of-scaledobjects.md.
package keda

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// MetadataScalerAddress is the key of trigger metadata by which KEDA finds the scaler.
const MetadataScalerAddress = "scalerAddress"

// The types of triggers that lead to our scaler.
const (
	// TriggerExternalPush is told of activity at once and polled besides.
	TriggerExternalPush = "external-push"
	// TriggerExternal is polled only.
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

// ScaledObject holds the fields that we apply: one that is nil or empty is not
// ours, and stays as whoever owns it left it.
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

// ScaledObjectSpec says what is scaled, between which bounds, and on what.
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

// Reference is what a trigger says it measures.
type Reference struct {
	// Metadata is the key: that of an InterceptorRoute or of an HTTPScaledObject.
	Metadata string
	// Name is that of the object, in the ScaledObject's namespace.
	Name string
}

// References returns the routes that the triggers of a ScaledObject refer to, each
// once. What does not look like a trigger is passed over. Of two keys in one
// trigger the scaler reads that of the InterceptorRoute.
func References(scaledObject *unstructured.Unstructured) []Reference {
	triggers, _, _ := unstructured.NestedSlice(scaledObject.Object, "spec", "triggers")
	var references []Reference
	for _, item := range triggers {
		trigger, _ := item.(map[string]any)
		if kind, _, _ := unstructured.NestedString(trigger, "type"); kind != TriggerExternalPush && kind != TriggerExternal {
			continue
		}
		for _, key := range []string{api.TriggerInterceptorRoute, api.TriggerHTTPScaledObject} {
			name, _, _ := unstructured.NestedString(trigger, "metadata", key)
			if name == "" {
				continue
			}
			if r := (Reference{Metadata: key, Name: name}); !slices.Contains(references, r) {
				references = append(references, r)
			}
			break
		}
	}
	return references
}
