// Package lookup finds in the cache what the controllers of both kinds need. That is the port of
// a Service that a route selects, and the objects to reconcile. It must not know which of the two
// kinds a controller is for.
package lookup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/route"
)

// Port returns the number of the port that a reference selects, or the problem with the
// reference. An error says nothing about the reference.
func Port(ctx context.Context, reader client.Reader, namespace string, ref v1beta1.TargetRef) (int32, *conditions.Problem, error) {
	service := &corev1.Service{}
	err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Service}, service)
	switch {
	case apierrors.IsNotFound(err):
		service = nil
	case err != nil:
		return 0, nil, fmt.Errorf("reading Service %s: %w", ref.Service, err)
	}
	port, problem := route.ServicePort(service, ref)
	if problem != nil {
		return 0, &conditions.Problem{Reason: problem.Reason, Message: problem.Message}, nil
	}
	return port.Port, nil, nil
}

// Requests lists the objects of a kind in the form in which they are queued.
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
