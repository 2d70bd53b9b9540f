package wake

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
)

const (
	// betweenWrites of all routes, events included: 50 a second.
	betweenWrites = 20 * time.Millisecond
	// betweenWritesOfOne route.
	betweenWritesOfOne = time.Second
	// eventAction is the action of events.
	eventAction = "Wake"
	// maxBackoff is how long a write waits at most that failed: a second at first, then twice
	// as long each time.
	maxBackoff   = 30 * time.Second
	maxDoublings = 5
	// writeTimeout bounds a write, which the others wait for.
	writeTimeout = 5 * time.Second
)

// object names a route of one of the two kinds.
type object struct {
	kind schema.GroupVersionKind
	name types.NamespacedName
}

// writer writes wakes into the status of routes: the latest of each, one at a time, and
// those with a reason first. It is the only one that writes them.
type writer struct {
	patch patch
	// event records an event of what was written.
	event func(*unstructured.Unstructured, *v1beta1.WakeStatus)
	log   logr.Logger

	mu      sync.Mutex
	pending map[object]*write
	written map[object]reasons   // those that have a wake by this writer
	recent  map[object]time.Time // of writes in the last second
	signal  chan struct{}
}

// patch writes the wake of a route, or removes it for nil, and returns the object.
type patch func(context.Context, object, *v1beta1.WakeStatus) (*unstructured.Unstructured, error)

// reasons are those that had an event in a wake: a container that crashes again and again
// has one.
type reasons map[v1beta1.WakeReason]bool

// write is one that is due.
type write struct {
	wake   *v1beta1.WakeStatus // nil removes it
	queued time.Time
	due    time.Time
	// failures is how often the last writes of its route failed.
	failures int
}

func newWriter(patch patch, event func(*unstructured.Unstructured, *v1beta1.WakeStatus), log logr.Logger) *writer {
	return &writer{
		patch: patch, event: event, log: log, signal: make(chan struct{}, 1),
		pending: map[object]*write{}, written: map[object]reasons{}, recent: map[object]time.Time{},
	}
}

// set has the wake of a route written, not before a time.
func (w *writer) set(to object, wake *v1beta1.WakeStatus, notBefore time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(to, &write{wake: wake, queued: time.Now(), due: notBefore})
}

// put makes a write the one that is due for a route. It keeps the place of the one before,
// and the time that a failure made it wait. The caller holds the lock.
func (w *writer) put(to object, next *write) {
	if before := w.pending[to]; before != nil {
		next.queued = before.queued
		next.follow(before)
	}
	w.pending[to] = next
	w.wakeUp()
}

// follow makes a write wait as one of the same route that failed.
func (a *write) follow(before *write) {
	if a.failures = before.failures; a.failures > 0 && before.due.After(a.due) {
		a.due = before.due
	}
}

// remove has the wake of a route removed. There is nothing to do if it was not written;
// stored reports whether the route came from the API server with one.
func (w *writer) remove(to object, stored bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !stored && w.written[to] == nil {
		delete(w.pending, to)
		return
	}
	if before := w.pending[to]; before == nil || before.wake != nil {
		now := time.Now()
		w.put(to, &write{queued: now, due: now})
	}
}

// forget drops the state of a route that is gone.
func (w *writer) forget(to object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pending, to)
	delete(w.written, to)
}

func (w *writer) wakeUp() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		to, next, wait := w.next()
		if next != nil {
			wait = time.Duration(w.write(ctx, to, next)) * betweenWrites
		}
		signal := w.signal
		if next != nil {
			signal = nil // the time between writes is for everybody
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-signal:
		case <-timer.C:
		}
	}
}

// next takes the write that comes first, or else returns the time until one is due.
func (w *writer) next() (to object, first *write, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for o, at := range w.recent {
		if now.Sub(at) >= betweenWritesOfOne {
			delete(w.recent, o)
		}
	}
	wait = time.Hour
	for o, candidate := range w.pending {
		due := candidate.due
		if at, found := w.recent[o]; found && at.Add(betweenWritesOfOne).After(due) {
			due = at.Add(betweenWritesOfOne)
		}
		if left := due.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		if first == nil || candidate.before(first) {
			to, first = o, candidate
		}
	}
	if first != nil {
		delete(w.pending, to)
		w.recent[to] = now
		if first.wake == nil {
			delete(w.written, to)
		} else if w.written[to] == nil {
			w.written[to] = reasons{}
		}
	}
	return to, first, wait
}

// before reports whether a write comes before another: failures come first, then other problems.
func (a *write) before(b *write) bool {
	if failed := a.failed(); failed != b.failed() {
		return failed
	}
	if stuck := a.stuck(); stuck != b.stuck() {
		return stuck
	}
	return a.queued.Before(b.queued)
}

func (a *write) failed() bool { return a.wake != nil && a.wake.FailedTime != nil }

func (a *write) stuck() bool { return a.wake != nil && a.wake.Reason != "" }

// write writes, or puts a write that failed back, unless a later one is there. It returns how
// many requests that took.
func (w *writer) write(ctx context.Context, to object, what *write) (requests int) {
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	written, err := w.patch(bounded, to, what.wake)
	switch {
	case err == nil && what.stuck() && w.news(to, what.wake.Reason):
		w.event(written, what.wake)
		return 2
	case err == nil || ctx.Err() != nil:
		return 1
	case apierrors.IsNotFound(err):
		w.forget(to)
		return 1
	}
	w.log.V(1).Info("Writing the wake of a route failed", "kind", to.kind.Kind, "route", to.name.String(), "reason", err.Error())
	w.mu.Lock()
	defer w.mu.Unlock()
	if what.wake == nil {
		w.written[to] = reasons{}
	}
	// One that fails again and again would take the first place each second.
	what.failures++
	what.due = time.Now().Add(min(betweenWritesOfOne<<min(what.failures-1, maxDoublings), maxBackoff))
	if later := w.pending[to]; later != nil {
		later.follow(what)
	} else {
		w.pending[to] = what
	}
	return 1
}

// news reports whether a reason is new in the wake of a route.
func (w *writer) news(of object, reason v1beta1.WakeReason) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.written[of]
	if told == nil || told[reason] {
		return false
	}
	told[reason] = true
	return true
}

// patchStatus returns what writes a wake by a merge patch. Fields that are empty are
// removed explicitly.
func patchStatus(status client.SubResourceWriter) patch {
	return func(ctx context.Context, to object, wake *v1beta1.WakeStatus) (*unstructured.Unstructured, error) {
		var fields any
		if wake != nil {
			empty := map[string]any{"reason": nil, "message": nil, "expectedReadyTime": nil, "failedTime": nil}
			set, err := json.Marshal(wake)
			if err != nil {
				return nil, fmt.Errorf("encoding a wake: %w", err)
			}
			if err := json.Unmarshal(set, &empty); err != nil {
				return nil, fmt.Errorf("encoding a wake: %w", err)
			}
			fields = empty
		}
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"wake": fields}})
		if err != nil {
			return nil, fmt.Errorf("encoding a wake: %w", err)
		}
		o := route.NewObject(to.kind)
		o.SetNamespace(to.name.Namespace)
		o.SetName(to.name.Name)
		return o, status.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch))
	}
}

// eventsTo returns what records the event of a wake that is stuck. Its reason is the wake's.
// No event is a repetition of another, which would take the right to change events: each is of
// another version of the object.
func eventsTo(recorder events.EventRecorder) func(*unstructured.Unstructured, *v1beta1.WakeStatus) {
	return func(of *unstructured.Unstructured, wake *v1beta1.WakeStatus) {
		kind := corev1.EventTypeWarning
		if wake.Reason == v1beta1.WakeWaitingForNode {
			kind = corev1.EventTypeNormal
		}
		recorder.Eventf(of, nil, kind, string(wake.Reason), eventAction, "%s", wake.Message)
	}
}
