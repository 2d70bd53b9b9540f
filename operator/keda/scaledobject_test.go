package keda

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func trigger(kind string, metadata any) map[string]any {
	return map[string]any{"type": kind, "metadata": metadata}
}

func TestInterceptorRoutes(t *testing.T) {
	route := func(name string) map[string]any { return map[string]any{"interceptorRoute": name} }
	tests := []struct {
		reason   string
		triggers any
		want     []string
	}{
		{"no triggers", nil, nil},
		{"a pushed and a polled one", []any{trigger("external-push", route("a")), trigger("external", route("b"))}, []string{"a", "b"}},
		{"twice the same", []any{trigger("external-push", route("a")), trigger("external-push", route("a"))}, []string{"a"}},
		{"other scalers", []any{trigger("cpu", route("a")), trigger("external-push", map[string]any{"httpScaledObject": "a"})}, nil},
		{"nonsense", []any{"x", trigger("external-push", "x"), trigger("external-push", map[string]any{"interceptorRoute": int64(1)}), map[string]any{}}, nil},
		{"no list", "x", nil},
	}
	for _, test := range tests {
		object := NewScaledObject()
		if test.triggers != nil {
			object.Object["spec"] = map[string]any{"triggers": test.triggers}
		}
		if diff := cmp.Diff(test.want, InterceptorRoutes(object)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.reason, diff)
		}
	}
	if got := InterceptorRoutes(&unstructured.Unstructured{}); got != nil {
		t.Errorf("routes %v of nothing", got)
	}
}
