package httpscaledobject

import (
	"cmp"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// pollingInterval is how often, in seconds, KEDA polls the scaler in addition to what the scaler
// pushes. Polling puts workloads to sleep, and is the safety net for waking them.
const pollingInterval = 15

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
			Labels:      without(object.Labels, trackingLabel),
			Annotations: without(object.Annotations, trackingAnnotation),
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
	if orphan {
		delete(scaledObject.Metadata.Labels, instanceLabel)
	} else {
		owner := metav1.NewControllerRef(object, route.HTTPScaledObjectKind())
		scaledObject.Metadata.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return scaledObject
}

// instanceLabel is how Argo CD finds its objects by default; a setting makes it use an
// annotation. Argo CD takes an object without an owner for one to prune.
const instanceLabel = "app.kubernetes.io/instance"

// without returns what the operator copies to a ScaledObject: everything except what tools keep
// on an object about themselves. A tool would mistake the copy for its own object.
func without(all map[string]string, tracking func(domain, key string) bool) map[string]string {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(key, _ string) bool {
		domain, _, _ := strings.Cut(key, "/")
		return tracking(domain, key)
	})
	return out
}

// trackingLabel reports whether a label is one of Argo CD or Flux.
func trackingLabel(domain, _ string) bool {
	return domain == "argocd.argoproj.io" || strings.HasSuffix(domain, ".toolkit.fluxcd.io")
}

// trackingAnnotation reports whether an annotation is one of Argo CD, Flux, Helm or kubectl.
// KEDA reads others of its ScaledObjects, so those are copied.
func trackingAnnotation(domain, key string) bool {
	return trackingLabel(domain, key) || domain == "meta.helm.sh" || key == corev1.LastAppliedConfigAnnotation
}

// workload is the form of status.targetWorkload, with KEDA's defaults.
func workload(ref *v1alpha1.ScaleTargetRef) string {
	return cmp.Or(ref.APIVersion, "apps/v1") + "/" + cmp.Or(ref.Kind, "Deployment") + "/" + ref.Name
}
