package kubesource

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"
)

func service(version string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", ResourceVersion: version}}
}

func TestOnlyChangesAreDelivered(t *testing.T) {
	var got []string
	w := For(&corev1.Service{}, Handler[*corev1.Service]{
		Set:    func(s *corev1.Service) { got = append(got, "set "+s.ResourceVersion) },
		Delete: func(s *corev1.Service) { got = append(got, "delete "+s.ResourceVersion) },
	})
	w.handler.OnAdd(service("1"), true)
	w.handler.OnUpdate(service("1"), service("1")) // a resync
	w.handler.OnUpdate(service("1"), service("2"))
	w.handler.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: service("2")})
	w.handler.OnDelete(service("3"))
	if want := []string{"set 1", "set 2", "delete 2", "delete 3"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
}

func interceptorRoute(uid, version string, generation int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "http.keda.sh/v1beta1", "kind": "InterceptorRoute",
		"metadata": map[string]any{
			"name": "shop", "uid": uid, "resourceVersion": version, "generation": generation,
			"annotations": map[string]any{"a": "b"}, "managedFields": []any{map[string]any{}},
		},
		"spec":   map[string]any{"target": map[string]any{"service": "shop"}},
		"status": map[string]any{"conditions": []any{}},
	}}
}

func TestAStatusOfARouteIsNotDelivered(t *testing.T) {
	delivered := 0
	set := func(*unstructured.Unstructured) { delivered++ }
	for _, w := range Routes(Handler[*unstructured.Unstructured]{Set: set, Delete: set}) {
		for _, test := range []struct {
			reason string
			after  *unstructured.Unstructured
			want   int
		}{
			{"a resync", interceptorRoute("a", "1", 1), 0},
			{"a new status", interceptorRoute("a", "2", 1), 0},
			{"a new spec", interceptorRoute("a", "2", 2), 1},
			{"deleted and created again", interceptorRoute("b", "2", 1), 1},
		} {
			delivered = 0
			w.handler.OnUpdate(interceptorRoute("a", "1", 1), test.after)
			if delivered != test.want {
				t.Errorf("%s: delivered %d times, want %d", test.reason, delivered, test.want)
			}
		}
	}
}

func TestWhatIsNotReadIsNotKept(t *testing.T) {
	trimmed := 0
	w := Routes(Handler[*unstructured.Unstructured]{Trim: func(*unstructured.Unstructured) { trimmed++ }})[0]
	kept, err := w.transform(interceptorRoute("a", "1", 1))
	if err != nil {
		t.Fatal(err)
	}
	u := kept.(*unstructured.Unstructured)
	if u.GetAnnotations() != nil || u.GetManagedFields() != nil || u.Object["status"] != nil || u.Object["spec"] == nil || trimmed != 1 {
		t.Errorf("kept %v, trimmed %d times", u.Object, trimmed)
	}
}

// A handler that asks for wakes gets each by itself, without the text that is only for people.
func TestWakesOfRoutes(t *testing.T) {
	var got []string
	w := Routes(Handler[*unstructured.Unstructured]{
		Set:    func(*unstructured.Unstructured) { got = append(got, "set") },
		Delete: func(*unstructured.Unstructured) {},
		Wake: func(u *unstructured.Unstructured, seen bool) {
			phase, _, _ := unstructured.NestedString(u.Object, "status", "wake", "phase")
			if got = append(got, "wake "+phase); seen {
				got = append(got, "seen")
			}
		},
	})[0]
	route := func(version, phase string, generation int64) *unstructured.Unstructured {
		u := interceptorRoute("a", version, generation)
		if phase != "" {
			u.Object["status"] = map[string]any{"conditions": []any{}, "wake": map[string]any{"phase": phase, "message": "secret"}}
		}
		kept, err := w.transform(u)
		if err != nil {
			t.Fatal(err)
		}
		if _, found, _ := unstructured.NestedString(u.Object, "status", "wake", "message"); found {
			t.Error("the message is kept")
		}
		return kept.(*unstructured.Unstructured)
	}
	for _, test := range []struct {
		reason        string
		before, after *unstructured.Unstructured
		want          []string
	}{
		{"new", nil, route("1", "", 1), []string{"set"}},
		{"new, and it wakes", nil, route("1", "Pulling", 1), []string{"set", "wake Pulling"}},
		{"begins", route("1", "", 1), route("2", "Pulling", 1), []string{"wake Pulling", "seen"}},
		{"another condition", route("1", "Pulling", 1), route("2", "Pulling", 1), nil},
		{"ends", route("1", "Pulling", 1), route("2", "", 1), []string{"wake ", "seen"}},
		{"with a new spec", route("1", "Pulling", 1), route("2", "Loading", 2), []string{"set", "wake Loading", "seen"}},
	} {
		got = nil
		if test.before == nil {
			w.handler.OnAdd(test.after, true)
		} else {
			w.handler.OnUpdate(test.before, test.after)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: delivered %q, want %q", test.reason, got, test.want)
		}
	}
}
