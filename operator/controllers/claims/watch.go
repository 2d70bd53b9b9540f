package claims

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
)

// Handler keeps the claims of InterceptorRoutes and HTTPScaledObjects, and queues
// the names of the objects whose conflicts a change may affect. A name is queued
// whatever its kind: the queue ignores names that its kind does not have.
func (c *Claims) Handler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	set := func(object client.Object, decoded *v1beta1.InterceptorRoute, q queue) {
		name := client.ObjectKeyFromObject(object)
		for _, affected := range c.routes.Set(object.GetObjectKind().GroupVersionKind().Kind, name, decoded) {
			q.Add(reconcile.Request{NamespacedName: affected})
		}
		// It may have been reconciled before its own claim was known.
		q.Add(reconcile.Request{NamespacedName: name})
	}
	update := func(object client.Object, q queue) {
		raw, _ := object.(*unstructured.Unstructured)
		decoded, err := route.Decode(raw)
		if err != nil {
			set(object, nil, q) // it is not in effect
			return
		}
		set(object, decoded, q)
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { update(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { update(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { set(e.Object, nil, q) },
	}
}
