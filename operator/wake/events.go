package wake

import (
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
	// A list is read in pages up to its end, or a thousand events. It is in the order of names,
	// so that the newest may be anywhere. maxEvents of them are kept.
	eventsOfPage, maxPages, maxEvents = 100, 10, 50
	// listTimeout bounds the time of a list, which the controller waits for.
	listTimeout = 2 * time.Second
)

// evidence is the events that explain why a wake is stuck.
type evidence struct {
	of     types.UID // the pod whose events they are; empty is the workload
	phase  v1beta1.WakePhase
	events []corev1.Event
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
	now := r.Now()
	if w.due.IsZero() {
		w.due = w.started.Add(quietFor)
	}
	if r.mayList(w, now) {
		if found, err := r.list(ctx, namespace, of, workload, w.started); err == nil {
			w.events = found
		}
		w.due, w.granted = now.Add(eventsEach), false
	}
	return explain(v, w.events), max(w.due.Sub(now), time.Millisecond)
}

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
	var events []corev1.Event
	next := ""
	for range maxPages {
		var page corev1.EventList
		err := r.Live.List(ctx, &page, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: selector}, client.Limit(eventsOfPage), client.Continue(next))
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			e := &page.Items[i]
			if pod == "" && (!makes(&e.InvolvedObject, workload) || at(e).Before(since.Add(-quietFor))) {
				continue
			}
			events = append(events, corev1.Event{Reason: e.Reason, Message: shorten(e.Message), LastTimestamp: metav1.NewTime(at(e))})
		}
		if next = page.Continue; next == "" {
			break
		}
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
