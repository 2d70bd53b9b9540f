// Package policies evaluates NetworkPolicies, as a network plugin that enforces them does.
package policies

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Pod is one that connects, or one that is connected to.
type Pod struct {
	Namespace string
	Labels    map[string]string
}

// Selects reports whether a policy applies to a pod.
func Selects(policy *networkingv1.NetworkPolicy, pod Pod) bool {
	return policy.Namespace == pod.Namespace && matches(&policy.Spec.PodSelector, pod.Labels)
}

// Admits reports whether an ingress rule of a policy in a namespace lets a pod in on a named port.
func Admits(rule networkingv1.NetworkPolicyIngressRule, namespace string, from Pod, port string) bool {
	named := slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.StrVal == port })
	return named && (len(rule.From) == 0 || slices.ContainsFunc(rule.From, func(f networkingv1.NetworkPolicyPeer) bool {
		inside := from.Namespace == namespace
		if f.NamespaceSelector != nil {
			inside = matches(f.NamespaceSelector, map[string]string{corev1.LabelMetadataName: from.Namespace})
		}
		return inside && matches(f.PodSelector, from.Labels)
	}))
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}
