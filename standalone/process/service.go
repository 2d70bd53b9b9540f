package process

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func byName(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// service is a Service and the workloads behind it, by their names. The node's lock guards
// it.
type service struct {
	object    *corev1.Service
	workloads []*workload
	// published are the addresses that the endpoints received last; nil before the first.
	published map[string][]string
}

// ready collects the addresses of the ready replicas.
func (s *service) ready() map[string][]string {
	ready := map[string][]string{}
	for _, w := range s.workloads {
		for _, port := range s.object.Spec.Ports {
			number := targetPort(port, w.deployment)
			for _, slot := range w.slots {
				if r := slot.replica; r != nil && r.ready != nil && number != 0 {
					ready[port.Name] = append(ready[port.Name], r.ready.address(number))
				}
			}
		}
	}
	return ready
}

// selectorOf returns what selects the pods of a Service. One without a selector has none.
func selectorOf(s *corev1.Service) labels.Selector {
	if len(s.Spec.Selector) == 0 {
		return labels.Nothing()
	}
	return labels.SelectorFromSet(s.Spec.Selector)
}

// Behind returns the Deployments whose processes serve a port of a Service when they run, or why
// no Deployment does. Some of the Deployments may be in other namespaces.
func Behind(s *corev1.Service, port *corev1.ServicePort, all []*appsv1.Deployment) (behind []*appsv1.Deployment, reason string) {
	if len(s.Spec.Selector) == 0 {
		return nil, fmt.Sprintf("Service %q has no selector", s.Name)
	}
	selector := selectorOf(s)
	for _, d := range all {
		switch {
		case d.Namespace != s.Namespace || !selector.Matches(labels.Set(d.Spec.Template.Labels)):
		case targetPort(*port, d) != 0:
			behind = append(behind, d)
		default:
			reason = fmt.Sprintf("Deployment %q has no port named %q, which is the targetPort of Service %q", d.Name, port.TargetPort.String(), s.Name)
		}
	}
	switch {
	case len(behind) > 0:
		return behind, ""
	case reason == "":
		reason = fmt.Sprintf("the selector of Service %q matches no Deployment's template", s.Name)
	}
	return nil, reason
}

// Undeclared reports that no container of a Deployment has the port behind a Service port. That
// is legal: a process may listen on a port that no container declares. It returns an empty string
// if a container has the port.
func Undeclared(s *corev1.Service, port *corev1.ServicePort, d *appsv1.Deployment) string {
	number := targetPort(*port, d)
	for _, c := range d.Spec.Template.Spec.Containers {
		if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == number }) {
			return ""
		}
	}
	return fmt.Sprintf("no container of Deployment %q has port %d, the targetPort of Service %q: requests fail unless the process listens there", d.Name, number, s.Name)
}

// targetPort returns the container port behind a Service port; 0 if the Deployment has none of
// that name.
func targetPort(port corev1.ServicePort, d *appsv1.Deployment) int32 {
	if port.TargetPort == (intstr.IntOrString{}) {
		return port.Port
	}
	return portNumber(&d.Spec.Template.Spec.Containers[0], port.TargetPort)
}
