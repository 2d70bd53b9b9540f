package wake

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

const (
	// eventsEach is how often the events of a target are listed that is stuck.
	eventsEach = 15 * time.Second
	// eventsASecond bounds the lists of all targets.
	eventsASecond = 5
	// A list is one request for at most this many events. It is in the order of names, so that
	// the newest may be anywhere. maxEvents of them are kept.
	eventsOfList, maxEvents = 500, 50
	// eventsFirst is when they are listed first: what they say is in the first write of the wake.
	eventsFirst = quietFor - 250*time.Millisecond
	// mounted is how long after that the kubelet has tried to mount the volumes of a pod.
	mounted = 200 * time.Millisecond
	// probed is how long after the first probe the event of its failure is there.
	probed = 500 * time.Millisecond
	// listTimeout bounds the time of a list, which the controller waits for.
	listTimeout = 2 * time.Second
)

// evidence is the events that explain why a wake is stuck.
type evidence struct {
	of     types.UID // the pod whose events they are; empty is the workload
	phase  v1beta1.WakePhase
	events []corev1.Event
	// listed is when they were listed last; zero means never.
	listed time.Time
	// due is when they are listed next. Once that is reached, the limit of all targets grants
	// a time, which may be later.
	due     time.Time
	granted bool
}

// explained adds to a verdict what events say. It lists them if that is due, and returns
// when it will be.
func (r *Reconciler) explained(ctx context.Context, namespace string, w *wake, v verdict, workload string) (verdict, time.Duration) {
	of := types.UID("")
	if v.pod != nil {
		of = v.pod.UID
	}
	if w.of != of || w.evidence.phase != v.phase {
		w.of, w.evidence.phase, w.events = of, v.phase, nil
	}
	switch v.reason {
	case "", v1beta1.WakeUnschedulable, v1beta1.WakeCrashLoop:
	default:
		return v, 0 // the pod says it all
	}
	now, again := r.Now(), time.Duration(0)
	if w.plan(v) {
		if r.mayList(w, now) {
			if found, err := r.list(ctx, namespace, of, workload, w.started); err == nil {
				w.events = found
			}
			w.listed, w.due, w.granted = now, now.Add(eventsEach), false
		}
		again = max(w.due.Sub(now), time.Millisecond)
	}
	if v = explain(v, w.events); v.reason != "" || v.probe == nil {
		return v, again
	}
	left := w.probing(v).Add(tried(v.probe)).Sub(now)
	if left > 0 {
		return v, min(again, left)
	}
	v.reason, v.message, v.vague = v1beta1.WakeProbeFailing, "container "+v.container+" runs, and its probe has not succeeded", true
	return v, again
}

// plan sets when events are listed next that may say more about a verdict. It reports false if
// none can.
func (w *wake) plan(v verdict) bool {
	due := w.started.Add(eventsFirst)
	switch {
	case v.reason != "" || v.pod == nil:
	case v.phase == v1beta1.WakePulling && !v.sandboxed:
		due = due.Add(mounted)
	case v.probe != nil:
		if first := w.probing(v).Add(probed); first.After(due) {
			due = first
		}
	default:
		return false
	}
	if w.granted {
		return true
	}
	if w.due = due; !w.listed.IsZero() && w.listed.Add(eventsEach).After(due) {
		w.due = w.listed.Add(eventsEach)
	}
	return true
}

// probing returns when the kubelet begins to probe the container of a verdict. Probes of its
// readiness begin when it has started, which its status does not date.
func (w *wake) probing(v verdict) time.Time {
	begin := v.running
	if w.since.After(begin) {
		begin = w.since
	}
	return begin.Add(seconds(v.probe.InitialDelaySeconds))
}

// tried is how long it takes until a probe of a healthy container has succeeded. The kubelet
// probes it within a period, and then each period.
func tried(probe *corev1.Probe) time.Duration {
	return time.Duration(max(probe.SuccessThreshold, 1))*seconds(cmp.Or(probe.PeriodSeconds, 10)) + seconds(cmp.Or(probe.TimeoutSeconds, 1))
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// mayList reports whether the events of a wake may be listed now. It asks the limit of all
// targets only when they are due. A wake that is over before costs the others nothing, and the
// limit holds only for times that rise.
func (r *Reconciler) mayList(w *wake, now time.Time) bool {
	if now.Before(w.due) {
		return false
	}
	if !w.granted {
		w.due, w.granted = now.Add(r.lists.ReserveN(now, 1).DelayFrom(now)), true
	}
	return !now.Before(w.due)
}

// list returns the events of a pod, or those that say why a workload has none, in the
// order of time.
func (r *Reconciler) list(ctx context.Context, namespace string, pod types.UID, workload string, since time.Time) ([]corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	selector := fields.OneTermEqualSelector("involvedObject.uid", string(pod))
	if pod == "" {
		selector = fields.OneTermEqualSelector("reason", eventFailedCreate)
	}
	var found corev1.EventList
	err := r.Live.List(ctx, &found, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: selector}, client.Limit(eventsOfList))
	if err != nil {
		return nil, err
	}
	var events []corev1.Event
	for i := range found.Items {
		e := &found.Items[i]
		if pod == "" && (!makes(&e.InvolvedObject, workload) || at(e).Before(since.Add(-quietFor))) {
			continue
		}
		events = append(events, corev1.Event{Reason: e.Reason, Message: shorten(e.Message), LastTimestamp: metav1.NewTime(at(e))})
	}
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return at(&a).Compare(at(&b)) })
	return slices.Clone(events[max(len(events)-maxEvents, 0):]), nil
}

// makes reports whether an object creates the pods of a workload. That is the workload itself, or
// the ReplicaSet of a Deployment, whose name ends in a hash.
func makes(object *corev1.ObjectReference, workload string) bool {
	if object.Kind != "ReplicaSet" {
		return object.Name == workload
	}
	hash, ok := strings.CutPrefix(object.Name, workload+"-")
	return ok && !strings.Contains(hash, "-")
}

// at is when an event was seen last.
func at(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}
