package keda

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func trigger(kind string, metadata any) map[string]any {
	return map[string]any{"type": kind, "metadata": metadata}
}

func TestReferences(t *testing.T) {
	named := func(name string) map[string]any { return map[string]any{"interceptorRoute": name} }
	ofRoute := func(name string) Reference { return Reference{Kind: "InterceptorRoute", Name: name} }
	tests := []struct {
		reason   string
		triggers any
		want     []Reference
	}{
		{"no triggers", nil, nil},
		{"a pushed and a polled one", []any{trigger("external-push", named("a")), trigger("external", named("b"))}, []Reference{ofRoute("a"), ofRoute("b")}},
		{"twice the same", []any{trigger("external-push", named("a")), trigger("external-push", named("a"))}, []Reference{ofRoute("a")}},
		{"of the older kind", []any{trigger("external-push", map[string]any{"httpScaledObject": "a"})}, []Reference{{"HTTPScaledObject", "a"}}},
		{"both keys", []any{trigger("external-push", map[string]any{"httpScaledObject": "a", "interceptorRoute": "b"})}, []Reference{ofRoute("b")}},
		{"other scalers", []any{trigger("cpu", named("a"))}, nil},
		{"nonsense", []any{"x", trigger("external-push", "x"), trigger("external-push", map[string]any{"interceptorRoute": int64(1)}), map[string]any{}}, nil},
		{"no list", "x", nil},
	}
	for _, test := range tests {
		object := NewScaledObject()
		if test.triggers != nil {
			object.Object["spec"] = map[string]any{"triggers": test.triggers}
		}
		if diff := cmp.Diff(test.want, References(object)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.reason, diff)
		}
	}
	if got := References(&unstructured.Unstructured{}); got != nil {
		t.Errorf("references %v of nothing", got)
	}
}

func TestPausedBy(t *testing.T) {
	tests := []struct {
		annotations map[string]string
		want        string
	}{
		{nil, ""},
		{map[string]string{"autoscaling.keda.sh/paused": "true"}, "autoscaling.keda.sh/paused"},
		{map[string]string{"autoscaling.keda.sh/paused": "yes"}, "autoscaling.keda.sh/paused"},
		{map[string]string{"autoscaling.keda.sh/paused": "false"}, ""},
		{map[string]string{"autoscaling.keda.sh/paused-replicas": "0"}, "autoscaling.keda.sh/paused-replicas"},
		{map[string]string{"autoscaling.keda.sh/paused-scale-out": "true"}, "autoscaling.keda.sh/paused-scale-out"},
		{map[string]string{"autoscaling.keda.sh/paused-scale-in": "true"}, ""},
	}
	for _, test := range tests {
		object := NewScaledObject()
		object.SetAnnotations(test.annotations)
		if got := PausedBy(object); got != test.want {
			t.Errorf("%v: %q, want %q", test.annotations, got, test.want)
		}
	}
}

func TestReadyAndWhatIsKeptOfAStatus(t *testing.T) {
	active := map[string]any{"type": "Active", "status": "True"}
	ready := map[string]any{"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": "no target"}
	tests := []struct {
		reason       string
		status, kept any
		want         Condition
	}{
		{"no status", nil, nil, Condition{}},
		{"ready among others", map[string]any{"lastActiveTime": "x", "conditions": []any{map[string]any{"type": "Active", "status": "True", "reason": "ScalerActive"}, ready}},
			map[string]any{"conditions": []any{ready, active}}, Condition{"False", "ScaledObjectCheckFailed", "no target"}},
		{"not looked at yet", map[string]any{"conditions": []any{map[string]any{"type": "Active"}}}, nil, Condition{}},
		{"nonsense", "x", nil, Condition{}},
		{"nonsense inside", map[string]any{"conditions": []any{"x", map[string]any{"type": int64(1)}}}, nil, Condition{}},
	}
	for _, test := range tests {
		object := NewScaledObject()
		if test.status != nil {
			object.Object["status"] = test.status
		}
		before, demand := Ready(object), Active(object)
		TrimStatus(object)
		if Active(object) != demand {
			t.Errorf("%s: active %v, and trimmed %v", test.reason, demand, Active(object))
		}
		if before != test.want || Ready(object) != test.want {
			t.Errorf("%s: %+v, and trimmed %+v, want %+v", test.reason, before, Ready(object), test.want)
		}
		if diff := cmp.Diff(test.kept, object.Object["status"]); diff != "" {
			t.Errorf("%s: kept -want +got:\n%s", test.reason, diff)
		}
	}
}
