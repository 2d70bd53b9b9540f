package scaledobjects

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/keda"
)

// routeIndex finds ScaledObjects by the routes that they refer to.
const routeIndex = "routes"

// Index makes the index that Referring reads.
func Index(ctx context.Context, index client.FieldIndexer) error {
	return index.IndexField(ctx, keda.NewScaledObject(), routeIndex, func(object client.Object) (names []string) {
		scaledObject, _ := object.(*unstructured.Unstructured)
		for _, reference := range keda.References(scaledObject) {
			names = append(names, indexed(reference))
		}
		return names
	})
}

// Referring returns the ScaledObjects of a namespace of which a trigger names a route, in
// a stable order. The cache owns them: they must not be changed.
func Referring(ctx context.Context, reader client.Reader, namespace string, to keda.Reference) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(keda.ScaledObjectKind())
	err := reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy, client.MatchingFields{routeIndex: indexed(to)})
	if err != nil {
		return nil, fmt.Errorf("listing ScaledObjects: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return list.Items, nil
}

// Routes returns the names of the routes that a ScaledObject refers to, whatever their
// kind. It may return a name twice, which a queue does not mind.
func Routes(_ context.Context, scaledObject *unstructured.Unstructured) (requests []reconcile.Request) {
	for _, reference := range keda.References(scaledObject) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{
			Namespace: scaledObject.GetNamespace(), Name: reference.Name,
		}})
	}
	return requests
}

// indexed is a reference as the index has it.
func indexed(r keda.Reference) string { return r.Kind + "/" + r.Name }
