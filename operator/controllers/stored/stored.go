// Package stored reads our kinds one object at a time. Watches of them are
// unstructured, as a typed list fails whole on one object that does not decode,
// and 0.16 let such objects in. It must not know what the objects mean.
package stored

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// HTTPScaledObject is the older kind.
func HTTPScaledObject() schema.GroupVersionKind {
	return v1alpha1.GroupVersion.WithKind(api.KindHTTPScaledObject)
}

// InterceptorRoute is the newer kind.
func InterceptorRoute() schema.GroupVersionKind {
	return v1beta1.GroupVersion.WithKind(api.KindInterceptorRoute)
}

// New returns an empty object of a kind, to read into or to watch.
func New(kind schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object
}

// Decode reads what users write of an object, which stays as it is. Its status is
// left out: what is wrong there is ours to mend, and no reason not to read the
// rest. The error names the field.
func Decode[T any](object *unstructured.Unstructured) (*T, error) {
	fields := make(map[string]any, len(object.Object))
	for name, value := range object.Object {
		if name != "status" {
			fields[name] = value
		}
	}
	decoded := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, decoded); err != nil {
		return nil, err
	}
	return decoded, nil
}

// Requests lists the objects of a kind as what there is to reconcile.
func Requests(ctx context.Context, reader client.Reader, kind schema.GroupVersionKind, options ...client.ListOption) ([]reconcile.Request, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	if err := reader.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("listing objects of kind %s: %w", kind.Kind, err)
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests, nil
}
