package httpscaledobject

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/claims"
	"github.com/kedacore/http-add-on/operator/controllers/lookup"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// serviceIndex finds objects by the Services that they send requests to.
const serviceIndex = "services"

// Setup adds the controller to a manager.
//
// It maps ScaledObjects to objects by name, not by owner. When one that somebody else controlled
// is gone, the operator can create its own.
func (r *Reconciler) Setup(ctx context.Context, m manager.Manager) error {
	r.claims = claims.New(r.Limits)
	object := route.NewObject(route.HTTPScaledObjectKind())
	err := m.GetFieldIndexer().IndexField(ctx, object, serviceIndex, func(o client.Object) []string {
		u, _ := o.(*unstructured.Unstructured)
		service, _, _ := unstructured.NestedString(u.Object, "spec", "scaleTargetRef", "service")
		fallback, _, _ := unstructured.NestedString(u.Object, "spec", "coldStartTimeoutFailoverRef", "service")
		return []string{service, fallback}
	})
	if err != nil {
		return fmt.Errorf("indexing HTTPScaledObjects: %w", err)
	}
	sameName := &handler.EnqueueRequestForObject{}
	scaledObjects := availability.Source(r.KEDA, m.GetCache(), client.Object(keda.NewScaledObject()),
		handler.EventHandler(sameName), r.everything, scaledobjects.Changes[client.Object]())
	services := availability.Source(r.Services, m.GetCache(), &corev1.Service{},
		handler.TypedEnqueueRequestsFromMapFunc(r.usersOf), r.everything)
	specs := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	err = builder.ControllerManagedBy(m).Named("httpscaledobject").
		For(object).
		Watches(route.NewObject(route.HTTPScaledObjectKind()), r.claims.Handler(), specs).
		Watches(route.NewObject(route.InterceptorRouteKind()), r.claims.Handler(), specs). // of the same name too
		WatchesRawSource(scaledObjects).
		WatchesRawSource(services).
		Complete(r)
	if err != nil {
		return fmt.Errorf("creating the controller of HTTPScaledObjects: %w", err)
	}
	return nil
}

func (r *Reconciler) usersOf(ctx context.Context, service *corev1.Service) []reconcile.Request {
	requests, err := lookup.Requests(ctx, r.Client, route.HTTPScaledObjectKind(),
		client.InNamespace(service.Namespace), client.MatchingFields{serviceIndex: service.Name})
	if err != nil {
		return nil // the cache has stopped
	}
	return requests
}

func (r *Reconciler) everything(ctx context.Context) ([]reconcile.Request, error) {
	return lookup.Requests(ctx, r.Client, route.HTTPScaledObjectKind())
}
