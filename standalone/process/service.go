package process

import (
	"cmp"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func byName(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// selects says whether the pods of a Deployment are those of a Service. A
// Service without a selector has none.
func selects(s *corev1.Service, d *appsv1.Deployment) bool {
	selector := labels.SelectorFromSet(s.Spec.Selector)
	return len(s.Spec.Selector) > 0 && selector.Matches(labels.Set(d.Spec.Template.Labels))
}

// targetPort is the container port behind a Service port; 0 if the Deployment
// has none of that name.
func targetPort(port corev1.ServicePort, d *appsv1.Deployment) int32 {
	if port.TargetPort == (intstr.IntOrString{}) {
		return port.Port
	}
	return portNumber(&d.Spec.Template.Spec.Containers[0], port.TargetPort)
}
