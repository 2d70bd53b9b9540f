// Package wake reports how far the wake of a target is: it writes status.wake of both kinds of
// routes.
//
// A target wakes when KEDA sees demand for it (the ScaledObject's condition Active) and none of
// its pods is ready. Its pods are those that the Service selects. The package watches them in the
// namespaces of waking targets, and nowhere else (pods.go). One pure function turns pods into a
// phase (phase.go). The events of a stuck target add details (events.go). One writer writes the
// result at a bounded rate (writer.go). ADR 23.
//
// The package must not know how a request is served.
package wake

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

const (
	// quietFor is how long a wake takes that is worth a write. It ends 2 s after the first request:
	// the operator learns of that by KEDA, 0.2 s later (measured on a real node).
	quietFor = 1800 * time.Millisecond
	// noRoomAgain is the pause before another look at a route whose namespace cannot be watched
	// for now.
	noRoomAgain = 10 * time.Second
	// maxMessage is the length of a message in bytes.
	maxMessage = 256
	// remembered is the number of wakes of a route that the expected time uses.
	remembered = 5
)

// Reconciler follows the wakes of routes. A request names a route of either kind.
type Reconciler struct {
	// Client reads from the cache, and writes the status.
	Client client.Client
	// Live lists events.
	Live client.Reader
	// KEDA is the availability of ScaledObjects; the others are of their kinds. Without
	// Pods, wakes are removed that were written before.
	KEDA, Services, Pods *availability.Kind
	// Now is the clock.
	Now func() time.Time
	// Recorder of events.
	Recorder events.EventRecorder
	// Metrics is where the histogram of phases is registered.
	Metrics prometheus.Registerer

	durations *prometheus.HistogramVec
	pods      *pods
	writer    *writer
	lists     *rate.Limiter

	// ctx and queue are the controller's.
	ctx   context.Context
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]

	// The controller has one worker, which owns these; the watches of pods read the
	// selectors of targets under the lock.
	mu      sync.Mutex
	targets map[types.NamespacedName]*target
	history map[types.NamespacedName]map[v1beta1.WakePhase][]time.Duration
}

// target is that of a route for which there is demand.
type target struct {
	selector labels.Selector
	wake     *wake // nil while it is ready
}

// wake is one that is under way.
type wake struct {
	started, since time.Time
	phase          v1beta1.WakePhase
	expected       *metav1.Time
	// entered is when the wake was in a phase for the first time.
	entered map[v1beta1.WakePhase]time.Time
	// reason is that of the last verdict, and stuck since when it is.
	reason v1beta1.WakeReason
	stuck  time.Time
	// loops means that the kubelet has delayed a restart of the container since it last started.
	loops bool
	// shown is what the writer has last got, and vague whether events may have a better message.
	shown *v1beta1.WakeStatus
	vague bool
	evidence
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	name := request.NamespacedName
	in, decoded, stored, err := r.inForce(ctx, name)
	if err != nil {
		return reconcile.Result{}, err
	}
	if decoded == nil {
		r.forget(name)
		return reconcile.Result{}, nil
	}
	if r.Pods == nil {
		r.writer.remove(in, stored != nil)
		return reconcile.Result{}, nil
	}
	wanted, err := r.demand(ctx, name)
	if err != nil {
		return reconcile.Result{}, err
	}
	selector, err := r.selector(ctx, name.Namespace, decoded.Spec.Target.Service)
	if err != nil {
		return reconcile.Result{}, err
	}
	known := r.targets[name]
	if selector == nil || !wanted.any() && (known == nil || known.wake == nil) {
		r.rest(name, in, stored != nil)
		return reconcile.Result{}, nil
	}
	t := r.follow(name, selector)
	if !r.Pods.Available() || !r.pods.hold(r.ctx, name.Namespace, name.Name) {
		r.writer.remove(in, stored != nil)
		return reconcile.Result{RequeueAfter: noRoomAgain}, nil
	}
	if !r.pods.watched(name.Namespace) {
		return reconcile.Result{}, nil // it is looked at again then
	}
	v := judge(r.pods.matching(name.Namespace, selector))
	if v.phase == ready || v.pod == nil && !wanted.any() {
		r.end(name, t, v.phase == ready)
		r.writer.remove(in, stored != nil)
		return reconcile.Result{}, nil
	}
	if t.wake == nil {
		t.wake = begin(stored, v.phase, r.Now())
	}
	return reconcile.Result{RequeueAfter: r.show(ctx, in, decoded.Spec.ColdStart, t.wake, v, wanted)}, nil
}

// demand is what the ScaledObjects of a route say.
type demand struct {
	// active reports whether KEDA sees demand.
	active bool
	// paused explains why KEDA does not look; empty if it does.
	paused string
	// workload is the name of the scaled object.
	workload string
}

func (d demand) any() bool { return d.active || d.paused != "" }

// demand returns what the ScaledObjects of a route say: one that is not paused counts.
func (r *Reconciler) demand(ctx context.Context, name types.NamespacedName) (d demand, err error) {
	if !r.KEDA.Available() {
		return d, nil
	}
	for _, kind := range []string{api.KindInterceptorRoute, api.KindHTTPScaledObject} {
		found, err := scaledobjects.Referring(ctx, r.Client, name.Namespace, keda.Reference{Kind: kind, Name: name.Name})
		if err != nil {
			return d, err
		}
		for i := range found {
			workload, _, _ := unstructured.NestedString(found[i].Object, "spec", "scaleTargetRef", "name")
			switch annotation := keda.PausedBy(&found[i]); {
			case annotation == "":
				return demand{active: keda.Active(&found[i]), workload: workload}, nil
			case d.paused == "":
				d.paused = "the annotation " + annotation + " pauses the ScaledObject " + found[i].GetName()
			}
		}
	}
	return d, nil
}

// selector returns what the pods of a Service have; nil if the Service selects none.
func (r *Reconciler) selector(ctx context.Context, namespace, name string) (labels.Selector, error) {
	if !r.Services.Available() {
		return nil, nil
	}
	service := &corev1.Service{}
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, service)
	if err != nil || len(service.Spec.Selector) == 0 {
		return nil, client.IgnoreNotFound(err)
	}
	return labels.SelectorFromSet(service.Spec.Selector), nil
}

// inForce returns the route of a name that serves requests, and the wake that its object
// has. It removes the wake of another one.
func (r *Reconciler) inForce(ctx context.Context, name types.NamespacedName) (in object, decoded *v1beta1.InterceptorRoute, stored *v1beta1.WakeStatus, err error) {
	for _, kind := range route.Kinds() {
		raw := route.NewObject(kind)
		if err := r.Client.Get(ctx, name, raw); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return in, nil, nil, err
		}
		found, problem := route.Decode(raw)
		has := storedWake(raw)
		if problem != nil || decoded != nil || raw.GetDeletionTimestamp() != nil {
			r.writer.remove(object{kind, name}, has != nil)
			continue
		}
		in, decoded, stored = object{kind, name}, found, has
	}
	return in, decoded, stored, nil
}

// storedWake returns the wake in the status of an object, or nil.
func storedWake(raw *unstructured.Unstructured) *v1beta1.WakeStatus {
	fields, found, _ := unstructured.NestedMap(raw.Object, "status", "wake")
	if !found {
		return nil
	}
	stored := &v1beta1.WakeStatus{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(fields, stored) != nil {
		return &v1beta1.WakeStatus{}
	}
	return stored
}

// begin returns a wake that begins, or goes on that another operator has begun. That one's clock
// may have been ahead.
func begin(stored *v1beta1.WakeStatus, phase v1beta1.WakePhase, now time.Time) *wake {
	w := &wake{started: now, entered: map[v1beta1.WakePhase]time.Time{}}
	if stored != nil && stored.Phase == phase {
		w.started, w.since, w.phase = sooner(stored.StartedAt.Time, now), sooner(stored.PhaseSince.Time, now), phase
		w.expected, w.shown = stored.ExpectedReadyTime, stored
		w.entered[phase] = w.since
		if stored.FailedTime != nil {
			w.reason, w.stuck = stored.Reason, time.Time{} // that was long enough
		}
	}
	return w
}

// show has the writer show a verdict, and returns when the route must be looked at again,
// 0 if something else will lead to it.
func (r *Reconciler) show(ctx context.Context, in object, cold *v1beta1.ColdStartSpec, w *wake, v verdict, wanted demand) (again time.Duration) {
	now := r.Now()
	if w.phase != v.phase {
		r.left(w, now)
		w.phase, w.since = v.phase, now
		if _, before := w.entered[v.phase]; !before {
			w.entered[v.phase] = now
		}
		w.expected = nil
		if took := median(r.history[in.name][v.phase]); took > 0 {
			w.expected = &metav1.Time{Time: now.Add(took)}
		}
	}
	if v.pod == nil && !wanted.active && wanted.paused != "" {
		v.reason, v.message = v1beta1.WakeScaledObjectPaused, wanted.paused
	} else {
		v, again = r.explained(ctx, in.name.Namespace, w, v, wanted.workload)
	}
	if v.pod != nil && v.message != "" {
		v.message = "pod " + v.pod.Name + ": " + v.message
	}
	v.message = shorten(v.message)
	failedAt, due := w.failure(cold, v, now)
	if due > 0 && (again == 0 || due < again) {
		again = due
	}
	// The kubelet words one problem in several ways. The words for what a pod waits for are our
	// own.
	better := v.reason == "" || w.vague && !v.vague
	if w.shown != nil && w.shown.Phase == v.phase && w.shown.Reason == v.reason &&
		(!better || w.shown.Message == v.message) && w.shown.FailedTime.Equal(failedAt) {
		return again
	}
	w.vague = v.vague
	w.shown = &v1beta1.WakeStatus{
		Phase: v.phase, Reason: v.reason, Message: v.message,
		StartedAt: metav1.NewTime(w.started), PhaseSince: metav1.NewTime(w.since), ExpectedReadyTime: w.expected, FailedTime: failedAt,
	}
	r.writer.set(in, w.shown, w.started.Add(quietFor))
	return again
}

// follow has changes of the pods of a target lead to its route.
func (r *Reconciler) follow(name types.NamespacedName, selector labels.Selector) *target {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.targets[name]
	if t == nil {
		t = &target{}
		r.targets[name] = t
	}
	t.selector = selector
	return t
}

// rest ends the work for a route without demand.
func (r *Reconciler) rest(name types.NamespacedName, in object, stored bool) {
	r.pods.release(name.Namespace, name.Name)
	r.writer.remove(in, stored)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.targets, name)
}

// end ends a wake. Its pods are still followed for a while.
func (r *Reconciler) end(name types.NamespacedName, t *target, succeeded bool) {
	r.pods.release(name.Namespace, name.Name)
	w := t.wake
	if t.wake = nil; w == nil || !succeeded {
		return
	}
	r.left(w, r.Now())
	took := r.history[name]
	if took == nil {
		took = map[v1beta1.WakePhase][]time.Duration{}
		r.history[name] = took
	}
	for phase, at := range w.entered {
		if len(took[phase]) == remembered {
			took[phase] = slices.Delete(took[phase], 0, 1)
		}
		took[phase] = append(took[phase], r.Now().Sub(at))
	}
}

// left records how long a wake was in the phase that it leaves.
func (r *Reconciler) left(w *wake, now time.Time) {
	if w.phase != "" {
		r.durations.WithLabelValues(string(w.phase)).Observe(now.Sub(w.since).Seconds())
	}
}

// forget drops the state of a route that is gone.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.pods.release(name.Namespace, name.Name)
	for _, kind := range route.Kinds() {
		r.writer.remove(object{kind, name}, false)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.targets, name)
	delete(r.history, name)
}

// changed queues the routes that a pod may be of, or all of a namespace for nil.
func (r *Reconciler) changed(namespace string, pod *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, t := range r.targets {
		if name.Namespace == namespace && (pod == nil || t.selector.Matches(labels.Set(pod.Labels))) {
			r.queue.Add(reconcile.Request{NamespacedName: name})
		}
	}
}

// sooner returns the earlier of two times.
func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// median returns the upper median, as overestimating is the better error; 0 of none.
func median(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// shorten cuts a text to the length of a message. What it returns shares no memory with a
// longer one.
func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-len("…")], "") + "…"
}
