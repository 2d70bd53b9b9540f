// Package route holds the facts about InterceptorRoutes and HTTPScaledObjects that several
// components share. These are decoding, defaults, conversion, the port of a Service that a route
// selects, and which object wins. It must not know a Kubernetes client, or what a component does
// with a route.
package route

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// InterceptorRouteKind returns the kind of InterceptorRoutes.
func InterceptorRouteKind() schema.GroupVersionKind {
	return v1beta1.GroupVersion.WithKind(api.KindInterceptorRoute)
}

// HTTPScaledObjectKind returns the kind of HTTPScaledObjects.
func HTTPScaledObjectKind() schema.GroupVersionKind {
	return v1alpha1.GroupVersion.WithKind(api.KindHTTPScaledObject)
}

// Kinds returns the kinds of routes. Of two objects of a name the first kind is in force.
func Kinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{InterceptorRouteKind(), HTTPScaledObjectKind()}
}

// NewObject returns an empty object of a kind, to read into or to watch. Both kinds are read
// unstructured. A typed list fails as a whole on one object that does not decode, and the schema
// of 0.16 accepts such objects.
func NewObject(kind schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object
}

// Decode reads an InterceptorRoute, or converts an HTTPScaledObject to one. It sets defaults and
// does not change the object. It ignores the status: only the operator writes it, and an error
// there must not stop the route. The error names the field.
func Decode(object *unstructured.Unstructured) (*v1beta1.InterceptorRoute, error) {
	if object.GetKind() == api.KindHTTPScaledObject {
		decoded, err := DecodeHTTPScaledObject(object)
		if err != nil {
			return nil, err
		}
		return Convert(decoded), nil
	}
	decoded := new(v1beta1.InterceptorRoute)
	if err := decodeInto(decoded, object); err != nil {
		return nil, err
	}
	setDefaults(&decoded.Spec)
	return decoded, nil
}

// DecodeHTTPScaledObject reads an HTTPScaledObject like [Decode], but does not
// convert it and sets no defaults: [Convert] sets them.
func DecodeHTTPScaledObject(object *unstructured.Unstructured) (*v1alpha1.HTTPScaledObject, error) {
	decoded := new(v1alpha1.HTTPScaledObject)
	if err := decodeInto(decoded, object); err != nil {
		return nil, err
	}
	return decoded, nil
}

func decodeInto(decoded any, object *unstructured.Unstructured) error {
	fields := make(map[string]any, len(object.Object))
	for name, value := range object.Object {
		if name != "status" {
			fields[name] = value
		}
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(fields, decoded)
}
