package claims

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/stored"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// InterceptorRoutes keeps the claims of InterceptorRoutes, and queues the names of
// the objects that a change of them touches. Objects of the kind that the queue is
// not for are queued too, in vain: one that is may be behind them.
func (c *Claims) InterceptorRoutes() handler.EventHandler {
	return c.watch(ofInterceptorRoute, func(raw *unstructured.Unstructured) *claim {
		route, err := stored.Decode[v1beta1.InterceptorRoute](raw)
		if err != nil {
			return nil // it is not in effect
		}
		return claimOf(route)
	})
}

// HTTPScaledObjects is InterceptorRoutes for the other kind.
func (c *Claims) HTTPScaledObjects() handler.EventHandler {
	return c.watch(ofHTTPScaledObject, func(raw *unstructured.Unstructured) *claim {
		object, err := stored.Decode[v1alpha1.HTTPScaledObject](raw)
		if err != nil {
			return nil
		}
		return claimOf(routing.ConvertHTTPScaledObject(object))
	})
}

func (c *Claims) watch(kind claimKind, of func(*unstructured.Unstructured) *claim) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	set := func(object client.Object, claimed *claim, q queue) {
		name := client.ObjectKeyFromObject(object)
		for _, affected := range c.set(kind, name, claimed) {
			q.Add(reconcile.Request{NamespacedName: affected})
		}
		// Its own losses may have been told before its claim was known.
		q.Add(reconcile.Request{NamespacedName: name})
	}
	update := func(object client.Object, q queue) {
		raw, _ := object.(*unstructured.Unstructured)
		set(object, of(raw), q)
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { update(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { update(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { set(e.Object, nil, q) },
	}
}
