package httpscaledobject

import (
	"cmp"
	"errors"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// pollingInterval is how often, in seconds, KEDA asks the scaler besides what the
// scaler pushes: it puts workloads to sleep, and is the safety net for waking them.
const pollingInterval = 15

// validate finds what no ScaledObject can be made of.
func validate(spec *v1alpha1.HTTPScaledObjectSpec) error {
	if m := spec.ScalingMetric; m != nil && m.Concurrency != nil && m.Rate != nil {
		return errors.New("scalingMetric: concurrency and requestRate exclude each other")
	}
	if spec.ScaleTargetRef.Name == "" {
		return errors.New("scaleTargetRef.name must name the workload to scale")
	}
	return nil
}

// build makes the ScaledObject for an object: exactly the fields that we own.
// KEDA defaults what an object leaves out. An orphan has no owner.
func build(object *v1alpha1.HTTPScaledObject, scalerAddress string, orphan bool) *keda.ScaledObject {
	version, kind := keda.ScaledObjectKind().ToAPIVersionAndKind()
	spec := &object.Spec
	scaledObject := &keda.ScaledObject{
		TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: kind},
		Metadata: keda.Metadata{
			Namespace:   object.Namespace,
			Name:        object.Name,
			Labels:      object.Labels,
			Annotations: annotations(object),
		},
		Spec: keda.ScaledObjectSpec{
			ScaleTargetRef: keda.ScaleTargetRef{
				APIVersion: spec.ScaleTargetRef.APIVersion,
				Kind:       spec.ScaleTargetRef.Kind,
				Name:       spec.ScaleTargetRef.Name,
			},
			PollingInterval:       pollingInterval,
			CooldownPeriod:        spec.CooldownPeriod,
			InitialCooldownPeriod: spec.InitialCooldownPeriod,
			Advanced:              keda.Advanced{RestoreToOriginalReplicaCount: true},
			Triggers: []keda.Trigger{{
				Type: keda.TriggerExternalPush,
				Metadata: map[string]string{
					keda.MetadataScalerAddress:  scalerAddress,
					api.TriggerHTTPScaledObject: object.Name,
				},
			}},
		},
	}
	if replicas := spec.Replicas; replicas != nil {
		scaledObject.Spec.MinReplicaCount, scaledObject.Spec.MaxReplicaCount = replicas.Min, replicas.Max
	}
	if !orphan {
		owner := metav1.NewControllerRef(object, route.HTTPScaledObjectKind())
		scaledObject.Metadata.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return scaledObject
}

// annotations are copied, as KEDA reads some of its ScaledObjects; what kubectl
// remembers of applying another object is not.
func annotations(object *v1alpha1.HTTPScaledObject) map[string]string {
	out := maps.Clone(object.Annotations)
	delete(out, corev1.LastAppliedConfigAnnotation)
	return out
}

// workload is the form of status.targetWorkload, with KEDA's defaults.
func workload(ref *v1alpha1.ScaleTargetRef) string {
	return cmp.Or(ref.APIVersion, "apps/v1") + "/" + cmp.Or(ref.Kind, "Deployment") + "/" + ref.Name
}
