package conditions

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestVerdict(t *testing.T) {
	warning := Problem{Reason: "Warned", Message: "half", Warning: true}
	failure := Problem{Reason: "Failed", Message: "all", Warning: false}
	tests := []struct {
		reason   string
		problems []Problem
		want     string
	}{
		{"nothing is wrong", nil, "True Reconciled fine"},
		{"a warning leaves it ready", []Problem{warning}, "True Warned half"},
		{"a failure does not", []Problem{failure}, "False Failed all"},
		{"failures are told first", []Problem{warning, failure}, "False Failed all; half"},
		{"but not all of them", slicesOf(failure, 7), "False Failed all; all; all; all; all; and 2 more"},
	}
	for _, test := range tests {
		got := Verdict("Ready", test.problems, "fine")
		if text := fmt.Sprintf("%s %s %s", got.Status, got.Reason, got.Message); text != test.want {
			t.Errorf("%s: %q, want %q", test.reason, text, test.want)
		}
	}
}

func slicesOf(p Problem, n int) (problems []Problem) {
	for range n {
		problems = append(problems, p)
	}
	return problems
}

// statusClient records each write of a status.
type statusClient struct {
	client.SubResourceWriter
	err     error
	patches []string
}

func (c *statusClient) Patch(_ context.Context, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
	data, err := p.Data(o)
	if err != nil {
		return err
	}
	c.patches = append(c.patches, string(data))
	return c.err
}

// recorder keeps events.
type recorder struct{ events []string }

func (r *recorder) Eventf(_ runtime.Object, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.events = append(r.events, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

func object(status map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "http.keda.sh/v1beta1", "kind": "InterceptorRoute",
		"metadata": map[string]any{"name": "shop", "generation": int64(3), "resourceVersion": "7"},
		"status":   status,
	}}
}

func stored(status, reason string, generation int64) map[string]any {
	return map[string]any{
		"type": "Ready", "status": status, "reason": reason, "message": "m",
		"observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
	}
}

func TestWrite(t *testing.T) {
	other := map[string]any{"type": "Other", "status": "True", "reason": "Theirs", "message": "", "lastTransitionTime": "2025-01-01T00:00:00Z"}
	ready := Verdict("Ready", nil, "m")
	tests := []struct {
		reason   string
		status   map[string]any
		fields   map[string]any
		writes   int
		events   []string
		contains []string
	}{
		{
			reason: "a new object", status: nil,
			writes: 1, events: []string{"Normal Reconciled m"}, contains: []string{`"resourceVersion":"7"`, `"observedGeneration":3`},
		},
		{
			reason: "all is there", status: map[string]any{"conditions": []any{stored("True", "Reconciled", 3)}, "targetService": "shop:80"},
			fields: map[string]any{"targetService": "shop:80"},
		},
		{
			reason: "the same is true of a new spec: no event", status: map[string]any{"conditions": []any{stored("True", "Reconciled", 2)}},
			writes: 1, contains: []string{`"lastTransitionTime":"2026-01-01T00:00:00Z"`},
		},
		{
			reason: "another reason: an event, but no transition", status: map[string]any{"conditions": []any{stored("True", "Warned", 3)}},
			writes: 1, events: []string{"Normal Reconciled m"}, contains: []string{`"lastTransitionTime":"2026-01-01T00:00:00Z"`},
		},
		{
			reason: "a field changed: no event",
			status: map[string]any{"conditions": []any{stored("True", "Reconciled", 3)}, "targetService": "old:80"},
			fields: map[string]any{"targetService": "shop:80"},
			writes: 1, contains: []string{`"targetService":"shop:80"`},
		},
		{
			reason: "others' conditions stay", status: map[string]any{"conditions": []any{other, stored("False", "Failed", 3)}},
			writes: 1, events: []string{"Normal Reconciled m"}, contains: []string{`"type":"Other"`, `"reason":"Theirs"`},
		},
		{
			reason: "what 0.16 left without a time, or worse, goes",
			status: map[string]any{"conditions": []any{
				map[string]any{"type": "Ready", "status": "True", "reason": "Reconciled"}, "nonsense", stored("True", "Reconciled", 3),
			}},
			writes: 1, contains: []string{`"conditions":[{"type":"Ready"`},
		},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			to, r := &statusClient{}, &recorder{}
			w := Writer{Status: to, Recorder: r, Now: time.Now}
			in := object(test.status)
			before := in.DeepCopy()
			if _, err := w.Write(t.Context(), in, test.fields, ready); err != nil {
				t.Fatal(err)
			}
			if len(to.patches) != test.writes {
				t.Errorf("patches %v, want %d", to.patches, test.writes)
			}
			if diff := cmp.Diff(test.events, r.events); diff != "" {
				t.Errorf("events -want +got:\n%s", diff)
			}
			for _, part := range test.contains {
				if len(to.patches) == 0 || !strings.Contains(to.patches[0], part) {
					t.Errorf("patches %v, want %s in it", to.patches, part)
				}
			}
			if diff := cmp.Diff(before, in); diff != "" {
				t.Errorf("the cached object was changed:\n%s", diff)
			}
		})
	}
}

// Users apply objects that belong together in any order. What is missing for a moment is in the
// condition at once, and in an event only if it stays missing.
func TestAnEventSaysWhatIsFalseForAMinute(t *testing.T) {
	missing := []Problem{{Reason: "ServiceNotFound", Message: "gone"}}
	refused := []Problem{{Reason: "PortNotFound", Message: "odd"}}
	paused := []Problem{{Reason: "Paused", Message: "soon", Warning: true}}
	type step struct {
		after    time.Duration
		ready    []Problem
		problems []Problem
		again    time.Duration
		events   []string
	}
	for _, test := range []struct {
		reason string
		steps  []step
	}{
		{"the rest comes in time", []step{
			{0, nil, missing, time.Minute, []string{"Normal Reconciled fine"}},
			{30 * time.Second, nil, missing, 30 * time.Second, nil},
			{29 * time.Second, nil, nil, 0, nil},
			{time.Hour, nil, nil, 0, nil},
		}},
		{"the rest does not come", []step{
			{0, nil, missing, time.Minute, []string{"Normal Reconciled fine"}},
			{time.Minute, nil, missing, 0, []string{"Warning ServiceNotFound gone"}},
			{time.Hour, nil, missing, 0, nil},
			{time.Second, nil, refused, 0, []string{"Warning PortNotFound odd"}},
			{time.Second, nil, nil, 0, []string{"Normal Reconciled works"}},
		}},
		{"a warning is said at once", []step{
			{0, nil, nil, 0, []string{"Normal Reconciled fine"}},
			{time.Second, nil, paused, 0, []string{"Warning Paused soon"}},
			{time.Second, nil, nil, 0, []string{"Normal Reconciled works"}},
		}},
		{"one event for an object that is not ready", []step{
			{0, missing, missing, time.Minute, []string{"Warning ServiceNotFound gone"}},
			{time.Minute, missing, missing, 0, nil},
		}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			to, r := &statusClient{}, &recorder{}
			w := Writer{Status: to, Recorder: r, Now: func() time.Time { return now }}
			in := object(nil)
			for i, s := range test.steps {
				now = now.Add(s.after)
				r.events = nil
				again, err := w.Write(t.Context(), in, nil, Verdict("Ready", s.ready, "fine"), Verdict("Routed", s.problems, "works"))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(s.events, r.events); diff != "" || again != s.again {
					t.Errorf("step %d: again in %v, want %v; events -want +got:\n%s", i, again, s.again, diff)
				}
				if len(to.patches) > 0 { // the cache follows
					var patch map[string]any
					if err := json.Unmarshal([]byte(to.patches[len(to.patches)-1]), &patch); err != nil {
						t.Fatal(err)
					}
					delete(patch, "metadata")
					in.Object["status"] = patch["status"]
				}
			}
			w.Forget("InterceptorRoute", client.ObjectKeyFromObject(in))
			if len(w.pending) > 0 {
				t.Errorf("remembers %v of an object that is gone", w.pending)
			}
		})
	}
}

func TestACacheThatLagsBehindIsNoError(t *testing.T) {
	to, r := &statusClient{err: apierrors.NewConflict(schema.GroupResource{}, "shop", nil)}, &recorder{}
	w := Writer{Status: to, Recorder: r, Now: time.Now}
	if _, err := w.Write(t.Context(), object(nil), nil, Verdict("Ready", nil, "fine")); err != nil || r.events != nil {
		t.Errorf("error %v, events %v, want none", err, r.events)
	}
	to.err = apierrors.NewInternalError(fmt.Errorf("broken"))
	if _, err := w.Write(t.Context(), object(nil), nil, Verdict("Ready", nil, "fine")); err == nil {
		t.Error("a failed write is an error")
	}
}

func TestNotesFitIntoEvents(t *testing.T) {
	to, r := &statusClient{}, &recorder{}
	w := Writer{Status: to, Recorder: r, Now: time.Now}
	long := Problem{Reason: "Long", Message: strings.Repeat("ö%", 4000)}
	if _, err := w.Write(t.Context(), object(nil), nil, Verdict("Ready", []Problem{long}, "")); err != nil {
		t.Fatal(err)
	}
	note := strings.TrimPrefix(r.events[0], corev1.EventTypeWarning+" Long ")
	if len(note) > maxNote || !strings.HasSuffix(note, "…") || strings.ContainsRune(note, '\uFFFD') {
		t.Errorf("a note of %d bytes", len(note))
	}
}
