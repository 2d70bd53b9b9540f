package route

import (
	"fmt"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
)

// maxScaledObjectName is the length of a label, which KEDA puts the name of a ScaledObject
// in.
const maxScaledObjectName = 63

// DefaultMaxReplicas is how many replicas KEDA starts at most by default.
const DefaultMaxReplicas = 100

// Unscalable returns why nothing can scale by an HTTPScaledObject: it contradicts itself, or
// KEDA refuses the ScaledObject for it. It is empty if something can.
func Unscalable(o *v1alpha1.HTTPScaledObject) (problems []string) {
	spec := &o.Spec
	if m := spec.ScalingMetric; m != nil && m.Concurrency != nil && m.Rate != nil {
		problems = append(problems, "scalingMetric: concurrency and requestRate exclude each other")
	}
	if spec.ScaleTargetRef.Name == "" {
		problems = append(problems, "scaleTargetRef.name must name the workload to scale")
	}
	if n := len(o.Name); n > maxScaledObjectName {
		problems = append(problems, fmt.Sprintf("the name has %d characters: KEDA makes a label of it, of at most %d", n, maxScaledObjectName))
	}
	if spec.Replicas == nil {
		return problems
	}
	// These are the rules of KEDA (2.21, CheckReplicaCountBoundsAreValid) and of the
	// HorizontalPodAutoscaler.
	least, most := valueOr(spec.Replicas.Min, 0), valueOr(spec.Replicas.Max, DefaultMaxReplicas)
	switch {
	case most < 1:
		problems = append(problems, fmt.Sprintf("replicas.max is %d and must be at least 1", most))
	case least > most && spec.Replicas.Max == nil:
		problems = append(problems, fmt.Sprintf("replicas.min is %d, and replicas.max by default %d", least, most))
	case least > most:
		problems = append(problems, fmt.Sprintf("replicas.min is %d, and replicas.max only %d", least, most))
	}
	return problems
}

func valueOr(value *int32, otherwise int32) int32 {
	if value == nil {
		return otherwise
	}
	return *value
}
