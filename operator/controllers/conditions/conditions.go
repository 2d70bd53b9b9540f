// Package conditions writes what the operator found out about an object into its
// status, and an event with it: both only when something has changed. It works
// on undecoded objects, so that one that does not decode has a condition too. It
// must not know what makes an object ready.
package conditions

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

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
	// ReasonUndecodable means that the stored object cannot be read: the schema of
	// an older version let a value in that its field cannot hold.
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

// Problem is a reason for an object not to do what it is meant to do.
type Problem struct {
	// Reason is a CamelCase word for programs.
	Reason string
	// Message is for people.
	Message string
	// Warning means that most of the object works nevertheless.
	Warning bool
}

// Verdict is the state of an object: its Ready condition, and the event that is
// recorded when the condition changes.
type Verdict struct {
	// Condition that the status gets.
	Condition metav1.Condition
	// Event is the reason of the event: the gravest problem's, or Reconciled.
	Event string
}

// Ready makes the verdict from all that is wrong: False if a problem is more
// than a warning. Problems are listed in order, warnings last;
// the first one's reason is the condition's. Without any the message is fine.
func Ready(problems []Problem, fine string) Verdict {
	ready := metav1.Condition{Type: api.ConditionReady, Status: metav1.ConditionTrue, Reason: ReasonReconciled, Message: fine}
	var messages []string
	for _, warnings := range []bool{false, true} {
		for _, p := range problems {
			if p.Warning != warnings {
				continue
			}
			if len(messages) == 0 {
				ready.Reason = p.Reason
			}
			if !p.Warning {
				ready.Status = metav1.ConditionFalse
			}
			messages = append(messages, p.Message)
		}
	}
	if more := len(messages) - maxProblems; more > 0 {
		messages = append(messages[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	if len(messages) > 0 {
		ready.Message = shorten(strings.Join(messages, "; "), maxMessage)
	}
	return Verdict{Condition: ready, Event: ready.Reason}
}

// ReconciledAllTheSame is the verdict for a kind whose readers know one reason of
// a condition that is True: warnings are in its message only, after what is fine,
// and in the event.
func (v Verdict) ReconciledAllTheSame(fine string) Verdict {
	if c := &v.Condition; c.Status == metav1.ConditionTrue && c.Reason != ReasonReconciled {
		c.Reason, c.Message = ReasonReconciled, shorten(fine+", but "+c.Message, maxMessage)
	}
	return v
}

// Undecodable is the problem of an object that does not decode.
func Undecodable(err error) Problem {
	return Problem{Reason: ReasonUndecodable, Message: fmt.Sprintf("the object cannot be read and is not in effect: %v", err)}
}

// Writer writes statuses and events.
type Writer struct {
	// Status is where statuses are written.
	Status client.SubResourceWriter
	// Recorder of the events.
	Recorder events.EventRecorder
}

// Write sets the Ready condition and the given fields of the status of an object
// as it came from the cache, and records an event if the condition has changed.
// It writes nothing if all is there already, and drops conditions that no API
// server accepts any more: those of 0.16 may have no lastTransitionTime.
//
// A cache that lags behind is no error: the newer version is on its way, and
// with it the next reconciliation.
func (w *Writer) Write(ctx context.Context, object *unstructured.Unstructured, verdict Verdict, fields map[string]any) error {
	ready := verdict.Condition
	ready.ObservedGeneration = object.GetGeneration()
	conditions, dropped := current(object)
	before := meta.FindStatusCondition(conditions, ready.Type)
	unchanged := before != nil && before.Status == ready.Status && before.Reason == ready.Reason && before.Message == ready.Message
	changed := meta.SetStatusCondition(&conditions, ready) || dropped
	status := map[string]any{"conditions": conditions}
	for name, value := range fields {
		old, found, _ := unstructured.NestedFieldNoCopy(object.Object, "status", name)
		if found != (value != nil) || !equality.Semantic.DeepEqual(old, value) {
			changed = true
			status[name] = value
		}
	}
	if !changed {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": object.GetResourceVersion()},
		"status":   status,
	})
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	err = w.Status.Patch(ctx, object.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	if !unchanged {
		w.event(object, verdict)
	}
	return nil
}

func (w *Writer) event(object *unstructured.Unstructured, verdict Verdict) {
	kind := corev1.EventTypeWarning
	if verdict.Event == ReasonReconciled {
		kind = corev1.EventTypeNormal
	}
	w.Recorder.Eventf(object, nil, kind, verdict.Event, "Reconcile", "%s", shorten(verdict.Condition.Message, maxNote))
}

// shorten cuts a text to a number of bytes.
func shorten(text string, length int) string {
	if len(text) <= length {
		return text
	}
	return strings.ToValidUTF8(text[:length-len("…")], "") + "…"
}

// current decodes the conditions of an object one by one. Those that cannot be
// written back are left out; dropped reports whether there were any.
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
