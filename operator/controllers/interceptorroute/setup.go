package interceptorroute

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/claims"
	"github.com/kedacore/http-add-on/operator/controllers/lookup"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// The indexes find routes by what they refer to.
const (
	serviceIndex   = "services"
	configMapIndex = "configMaps"
	wakesIndex     = "wakes"
)

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(ctx context.Context, m manager.Manager) error {
	r.claims = claims.New(r.Settings.Limits)
	routes, scaled := route.NewObject(route.InterceptorRouteKind()), route.NewObject(route.HTTPScaledObjectKind())
	index := m.GetFieldIndexer()
	for name, names := range map[string]client.IndexerFunc{serviceIndex: serviceNames, configMapIndex: configMapNames, wakesIndex: wakesNames} {
		if err := index.IndexField(ctx, routes, name, names); err != nil {
			return fmt.Errorf("indexing InterceptorRoutes: %w", err)
		}
	}
	r.KEDA.Prepare(func(ctx context.Context) error { return scaledobjects.Index(ctx, index) })
	objects := m.GetCache()
	scaledObjects := availability.Source(r.KEDA, objects, keda.NewScaledObject(),
		handler.TypedEnqueueRequestsFromMapFunc(scaledobjects.Routes), r.everything, scaledobjects.Changes[*unstructured.Unstructured]())
	services := availability.Source(r.Services, objects, &corev1.Service{},
		handler.TypedEnqueueRequestsFromMapFunc(usersOf[*corev1.Service](r, serviceIndex)), r.everything)
	configMaps := availability.Source(r.ConfigMaps, objects, &corev1.ConfigMap{},
		handler.TypedEnqueueRequestsFromMapFunc(usersOf[*corev1.ConfigMap](r, configMapIndex)), r.everything)
	err := builder.ControllerManagedBy(m).Named("interceptorroute").
		For(routes).
		Watches(routes, r.claims.Handler()).
		Watches(scaled, r.claims.Handler()).
		Watches(routes, handler.EnqueueRequestsFromMapFunc(r.wakers), builder.WithPredicates(needsChange)).
		Watches(scaled, handler.EnqueueRequestsFromMapFunc(r.wakers), builder.WithPredicates(needsChange)).
		WatchesRawSource(scaledObjects).
		WatchesRawSource(services).
		WatchesRawSource(configMaps).
		Complete(r)
	if err != nil {
		return fmt.Errorf("creating the controller of InterceptorRoutes: %w", err)
	}
	return nil
}

func decoded(object client.Object) *v1beta1.InterceptorRoute {
	raw, _ := object.(*unstructured.Unstructured)
	decoded, err := route.Decode(raw)
	if err != nil {
		return nil
	}
	return decoded
}

func serviceNames(object client.Object) []string {
	if r := decoded(object); r != nil {
		return services(&r.Spec)
	}
	return nil
}

func configMapNames(object client.Object) (names []string) {
	if r := decoded(object); r != nil {
		for _, ref := range bodies(&r.Spec) {
			names = append(names, ref.Name)
		}
	}
	return names
}

func wakesNames(object client.Object) []string {
	if r := decoded(object); r != nil && r.Spec.ColdStart != nil {
		return r.Spec.ColdStart.Wakes
	}
	return nil
}

// wakers returns the routes that wake an object along with themselves, or would if it existed.
func (r *Reconciler) wakers(ctx context.Context, object client.Object) []reconcile.Request {
	users := usersOf[client.Object](r, wakesIndex)
	seen := map[reconcile.Request]bool{}
	level := []client.Object{object}
	for range route.NeedsDepth + 1 { // one more is refused
		var above []client.Object
		for _, needed := range level {
			for _, waker := range users(ctx, needed) {
				if !seen[waker] {
					seen[waker] = true
					above = append(above, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: waker.Namespace, Name: waker.Name}})
				}
			}
		}
		level = above
	}
	return slices.Collect(maps.Keys(seen))
}

// needsChange lets changes of a route pass that matter to the routes which wake it. Such a
// route comes, goes, or wakes others than before.
var needsChange = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	if e.ObjectOld.GetGeneration() == e.ObjectNew.GetGeneration() {
		return false
	}
	before, after := decoded(e.ObjectOld), decoded(e.ObjectNew)
	return (before == nil) != (after == nil) || !slices.Equal(wakesNames(e.ObjectOld), wakesNames(e.ObjectNew))
}}

// usersOf returns the routes that refer to an object.
func usersOf[T client.Object](r *Reconciler, index string) func(context.Context, T) []reconcile.Request {
	return func(ctx context.Context, object T) []reconcile.Request {
		requests, err := lookup.Requests(ctx, r.Client, route.InterceptorRouteKind(),
			client.InNamespace(object.GetNamespace()), client.MatchingFields{index: object.GetName()})
		if err != nil {
			return nil // the cache has stopped
		}
		return requests
	}
}

func (r *Reconciler) everything(ctx context.Context) ([]reconcile.Request, error) {
	return lookup.Requests(ctx, r.Client, route.InterceptorRouteKind())
}
