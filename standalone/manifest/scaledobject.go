package manifest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/pkg/route"
)

// ScaledObject holds those fields of KEDA's kind that decide how a local
// workload scales. KEDA's own module is not linked for them.
type ScaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ScaledObjectSpec `json:"spec"`
}

// ScaledObjectSpec is the wanted state of a ScaledObject. What is nil has the
// default of KEDA.
type ScaledObjectSpec struct {
	ScaleTargetRef ScaleTarget `json:"scaleTargetRef"`
	// MinReplicaCount and MaxReplicaCount bound the replicas.
	MinReplicaCount *int32 `json:"minReplicaCount,omitempty"`
	MaxReplicaCount *int32 `json:"maxReplicaCount,omitempty"`
	// CooldownPeriod and InitialCooldownPeriod are seconds.
	CooldownPeriod        *int32    `json:"cooldownPeriod,omitempty"`
	InitialCooldownPeriod *int32    `json:"initialCooldownPeriod,omitempty"`
	Triggers              []Trigger `json:"triggers"`
}

// ScaleTarget is the workload that a ScaledObject scales.
type ScaleTarget struct {
	Kind string `json:"kind,omitempty"`
	Name string `json:"name"`
}

// Trigger is one source of demand of a ScaledObject.
type Trigger struct {
	Type     string            `json:"type"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Route returns the kind and the name of the route that the trigger measures; the
// name is empty if it measures none.
func (t Trigger) Route() (kind, name string) {
	return route.OfTrigger(func(key string) string { return t.Metadata[key] })
}
