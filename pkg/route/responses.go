package route

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// The reasons why a response has no body, as conditions have them.
const (
	ReasonConfigMapNotFound    = "ConfigMapNotFound"
	ReasonConfigMapKeyNotFound = "ConfigMapKeyNotFound"
	ReasonConfigMapNotAllowed  = "ConfigMapNotAllowed"
)

// ResponseBodies selects the ConfigMaps that responses may be taken from. Others
// must not be shown to clients, and no component reads them.
func ResponseBodies() labels.Selector {
	return labels.SelectorFromSet(labels.Set{api.LabelResponseBody: api.True})
}

// HoldsResponseBodies reports whether responses may be taken from a ConfigMap.
func HoldsResponseBodies(configMap *corev1.ConfigMap) bool {
	return configMap.Labels[api.LabelResponseBody] == api.True
}

// NoConfigMap is the problem of a reference to a ConfigMap that does not exist, or
// that no response may be taken from.
func NoConfigMap(name string) *Problem {
	return problem(ReasonConfigMapNotFound, "ConfigMap %q does not exist or has no label %s: %q", name, api.LabelResponseBody, api.True)
}

// Problem is the problem of a reference to a ConfigMap in a namespace whose ConfigMaps are
// not read; nil if they are.
func (c ConfigMaps) Problem(namespace, name string) *Problem {
	switch {
	case c.Allow(namespace):
		return nil
	case c.Off:
		return problem(ReasonConfigMapNotAllowed, "ConfigMap %q is not read: this installation takes no responses from ConfigMaps (%s)", name, EnvConfigMaps)
	}
	return problem(ReasonConfigMapNotAllowed, "ConfigMap %q is not read: this installation takes no responses from ConfigMaps of namespace %q (%s)", name, namespace, EnvConfigMapNamespaces)
}

// NoKey is the problem of a reference to a key that its ConfigMap does not have.
func NoKey(name, key string) *Problem {
	return problem(ReasonConfigMapKeyNotFound, "ConfigMap %q has no key %q", name, key)
}
