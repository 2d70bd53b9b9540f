package wake

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/lookup"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/route"
)

// Setup adds the controller and the writer to a manager. Another package makes the index
// of ScaledObjects.
func (r *Reconciler) Setup(m manager.Manager, cluster *kubesource.Source, log logr.Logger) error {
	durations, err := newDurations(r.Metrics)
	if err != nil {
		return err
	}
	r.durations = durations
	r.pods = newPods(cluster, r.changed, log)
	r.writer = newWriter(patchStatus(m.GetClient().Status()), eventsTo(r.Recorder), log)
	r.lists = rate.NewLimiter(eventsASecond, 1)
	r.targets = map[types.NamespacedName]*target{}
	r.history = map[types.NamespacedName]map[v1beta1.WakePhase][]time.Duration{}
	scaledObjects := availability.Source(r.KEDA, m.GetCache(), keda.NewScaledObject(),
		handler.TypedEnqueueRequestsFromMapFunc(scaledobjects.Routes), r.everything, activity())
	specs := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	b := builder.ControllerManagedBy(m).Named("wake").
		WatchesRawSource(source.Func(r.start)).
		WatchesRawSource(scaledObjects)
	for _, kind := range route.Kinds() {
		b = b.Watches(route.NewObject(kind), &handler.EnqueueRequestForObject{}, specs)
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("making the controller of wakes: %w", err)
	}
	if err := m.Add(manager.RunnableFunc(r.run)); err != nil {
		return fmt.Errorf("adding the writer of wakes: %w", err)
	}
	return nil
}

// start keeps the queue for the watches of pods, which end with ctx.
func (r *Reconciler) start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.ctx, r.queue = ctx, queue
	return nil
}

// run writes until ctx ends, and waits for the watches of pods.
func (r *Reconciler) run(ctx context.Context) error {
	r.writer.run(ctx)
	r.pods.close()
	return nil
}

func (r *Reconciler) everything(ctx context.Context) (all []reconcile.Request, err error) {
	for _, kind := range route.Kinds() {
		requests, err := lookup.Requests(ctx, r.Client, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, requests...)
	}
	return all, nil
}

// activity passes over changes of ScaledObjects that do not change the demand or who
// shows it.
func activity() predicate.TypedPredicate[*unstructured.Unstructured] {
	return predicate.TypedFuncs[*unstructured.Unstructured]{UpdateFunc: func(e event.TypedUpdateEvent[*unstructured.Unstructured]) bool {
		before, after := e.ObjectOld, e.ObjectNew
		return before.GetGeneration() != after.GetGeneration() ||
			keda.PausedBy(before) != keda.PausedBy(after) || keda.Active(before) != keda.Active(after)
	}}
}
