// Package conditions writes what the operator found out about an object into its
// status, and an event with it: both only when something has changed. It works
// on undecoded objects, so that one that does not decode has a condition too. It
// must not know what makes an object ready.
package conditions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// The reasons that both kinds have.
const (
	// ReasonReconciled means that there is no problem.
	ReasonReconciled = "Reconciled"
	// ReasonUndecodable means that the stored object cannot be read. The schema of an older
	// version accepted a value that its field cannot hold.
	ReasonUndecodable = "Undecodable"
)

const (
	// maxProblems is how many problems a message lists.
	maxProblems = 5
	// maxMessage is what anybody would read; the API server accepts 32 KiB.
	maxMessage = 4096
	// maxNote is the length of an event's note that the API server accepts.
	maxNote = 1024
)

// Problem is a reason why an object does not work as specified.
type Problem struct {
	// Reason is a CamelCase word for programs.
	Reason string
	// Message is for people.
	Message string
	// Warning means that most of the object works nevertheless.
	Warning bool
}

// Verdict makes a condition from all that is wrong: False if a problem is more
// than a warning. Problems are listed in order, warnings last;
// the first one's reason is the condition's. Without any the message is fine.
func Verdict(kind string, problems []Problem, fine string) metav1.Condition {
	verdict := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: ReasonReconciled, Message: fine}
	var messages []string
	for _, warnings := range []bool{false, true} {
		for _, p := range problems {
			if p.Warning != warnings {
				continue
			}
			if len(messages) == 0 {
				verdict.Reason = p.Reason
			}
			if !p.Warning {
				verdict.Status = metav1.ConditionFalse
			}
			messages = append(messages, p.Message)
		}
	}
	if more := len(messages) - maxProblems; more > 0 {
		messages = append(messages[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	if len(messages) > 0 {
		verdict.Message = shorten(strings.Join(messages, "; "), maxMessage)
	}
	return verdict
}

// None is a condition that an object does not have.
func None(kind string) metav1.Condition { return metav1.Condition{Type: kind} }

// Find returns a condition that an object has, nil if it has none of the kind.
func Find(object *unstructured.Unstructured, kind string) *metav1.Condition {
	all, _ := current(object)
	return meta.FindStatusCondition(all, kind)
}

// Undecodable returns the conditions of an object that does not decode.
func Undecodable(err error) []metav1.Condition {
	problems := []Problem{{Reason: ReasonUndecodable, Message: fmt.Sprintf("the object cannot be read and is not in effect: %v", err)}}
	return []metav1.Condition{
		Verdict(api.ConditionReady, problems, ""), Verdict(api.ConditionRouted, problems, ""), Verdict(api.ConditionWakes, problems, ""),
	}
}

// Writer writes statuses and events.
type Writer struct {
	// Status is where statuses are written.
	Status client.SubResourceWriter
	// Recorder of the events.
	Recorder events.EventRecorder
	// Now is the time.
	Now func() time.Time

	mu      sync.Mutex
	pending map[pending]bool
}

// pending names a condition that is False for less than lasting.
type pending struct {
	kind      string
	object    types.NamespacedName
	condition string
}

// lasting is how long a condition other than Ready is False before an event reports it. Users
// apply objects that belong together one after the other, in any order.
const lasting = time.Minute

// Write sets conditions, Ready first, and the given fields of the status of an object from the
// cache. It writes nothing if the status has all of it already. It drops conditions that the API
// server no longer accepts: those of 0.16 may have no lastTransitionTime.
//
// It records an event when Ready has changed. It also records one for every other condition that
// is False for a minute, changes after that, or gets a warning. While Ready is False, its event
// is the only one. again is when the object must be reconciled for that, zero if it need not be.
//
// Write ignores a conflict with a newer version: that version is on its way to the cache, and
// with it the next reconciliation.
func (w *Writer) Write(ctx context.Context, object *unstructured.Unstructured, fields map[string]any, verdicts ...metav1.Condition) (again time.Duration, err error) {
	conditions, changed := current(object)
	before := slices.Clone(conditions)
	for _, verdict := range verdicts {
		if verdict == None(verdict.Type) {
			changed = meta.RemoveStatusCondition(&conditions, verdict.Type) || changed
			continue
		}
		verdict.ObservedGeneration = object.GetGeneration()
		verdict.LastTransitionTime = metav1.NewTime(w.Now())
		if meta.SetStatusCondition(&conditions, verdict) {
			changed = true
		}
	}
	status := map[string]any{"conditions": conditions}
	for name, value := range fields {
		old, found, _ := unstructured.NestedFieldNoCopy(object.Object, "status", name)
		if found != (value != nil) || !equality.Semantic.DeepEqual(old, value) {
			changed = true
			status[name] = value
		}
	}
	written := object.DeepCopy()
	if changed {
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": object.GetResourceVersion()},
			"status":   status,
		})
		if err != nil {
			return 0, fmt.Errorf("encoding the status: %w", err)
		}
		err = w.Status.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch))
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("writing the status: %w", err)
		}
	}
	ready := meta.IsStatusConditionTrue(conditions, api.ConditionReady)
	for _, verdict := range verdicts {
		now := meta.FindStatusCondition(conditions, verdict.Type)
		if now == nil {
			continue
		}
		due, wait := w.due(pending{object.GetKind(), client.ObjectKeyFromObject(object), verdict.Type}, meta.FindStatusCondition(before, verdict.Type), now)
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
		if due && (ready || verdict.Type == api.ConditionReady) {
			w.event(written, *now)
		}
	}
	return again, nil
}

// Forget drops the memory of an object that is gone.
func (w *Writer) Forget(kind string, object types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, condition := range []string{api.ConditionRouted, api.ConditionWakes} {
		delete(w.pending, pending{kind, object, condition})
	}
}

// due reports whether to record an event for a condition now, or else how long the condition must
// last first.
func (w *Writer) due(key pending, before, now *metav1.Condition) (due bool, wait time.Duration) {
	changed := before == nil || before.Status != now.Status || before.Reason != now.Reason || before.Message != now.Message
	if now.Type == api.ConditionReady {
		return changed, 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Status == metav1.ConditionFalse {
		if wait = now.LastTransitionTime.Add(lasting).Sub(w.Now()); wait > 0 {
			if w.pending == nil {
				w.pending = make(map[pending]bool)
			}
			w.pending[key] = true
			return false, wait
		}
		waited := w.pending[key]
		delete(w.pending, key)
		return changed || waited, 0
	}
	unsaid := w.pending[key] // that it was False
	delete(w.pending, key)
	recovered := before != nil && (before.Status == metav1.ConditionFalse && !unsaid || before.Status == metav1.ConditionTrue)
	warned := now.Status == metav1.ConditionTrue && now.Reason != ReasonReconciled
	return changed && (warned || recovered), 0
}

// event records an event. One of the same version, reason and action as another would be
// a repetition of it, and the role has no right to change events.
func (w *Writer) event(object *unstructured.Unstructured, verdict metav1.Condition) {
	kind := corev1.EventTypeWarning
	if verdict.Reason == ReasonReconciled {
		kind = corev1.EventTypeNormal
	}
	w.Recorder.Eventf(object, nil, kind, verdict.Reason, verdict.Type, "%s", shorten(verdict.Message, maxNote))
}

// shorten cuts a text to a number of bytes.
func shorten(text string, length int) string {
	if len(text) <= length {
		return text
	}
	return strings.ToValidUTF8(text[:length-len("…")], "") + "…"
}

// current decodes the conditions of an object one by one. It leaves out those that cannot be
// written back; dropped reports whether there were any.
func current(object *unstructured.Unstructured) (conditions []metav1.Condition, dropped bool) {
	stored, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range stored {
		var condition metav1.Condition
		fields, _ := item.(map[string]any)
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &condition)
		if err != nil || condition.Type == "" || condition.LastTransitionTime.IsZero() {
			dropped = true
			continue
		}
		conditions = append(conditions, condition)
	}
	return conditions, dropped
}
