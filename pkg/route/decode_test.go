package route

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

func object(kind string, spec map[string]any) *unstructured.Unstructured {
	u := NewObject(InterceptorRouteKind())
	u.SetKind(kind)
	u.Object["metadata"] = map[string]any{"namespace": "apps", "name": "shop"}
	u.Object["spec"] = spec
	return u
}

func TestDecode(t *testing.T) {
	rate := map[string]any{"scalingMetric": map[string]any{"requestRate": map[string]any{"targetValue": int64(5), "window": "0s"}}}
	for _, kind := range []string{api.KindInterceptorRoute, api.KindHTTPScaledObject} {
		in := object(kind, rate)
		in.Object["status"] = "nonsense"
		before := in.DeepCopy()
		route, err := Decode(in)
		if err != nil {
			t.Errorf("%s: a status keeps it from being read: %v", kind, err)
			continue
		}
		got := route.Spec.ScalingMetric.RequestRate
		if route.Name != "shop" || got.TargetValue != 5 || got.Window.Duration != time.Minute || got.Granularity.Duration != time.Second {
			t.Errorf("%s: %s is scaled on %+v", kind, route.Name, got)
		}
		if in.Object["status"] != before.Object["status"] {
			t.Errorf("%s: the object was changed", kind)
		}
	}
	// 0.16 lets a duration without a unit in.
	bad := map[string]any{"timeouts": map[string]any{"readiness": "30"}}
	if _, err := Decode(object(api.KindInterceptorRoute, bad)); err == nil || !strings.Contains(err.Error(), "missing unit in duration") {
		t.Errorf("error %v", err)
	}
	page := map[string]any{"coldStart": map[string]any{"waitingPage": map[string]any{"bodyFromConfigMap": map[string]any{"name": "pages"}}}}
	if route, err := Decode(object(api.KindInterceptorRoute, page)); err != nil || route.Spec.ColdStart.WaitingPage.BodyFromConfigMap.Key != "index.html" {
		t.Errorf("the key of a page is %+v, error %v", route, err)
	}
}

func TestAnInterceptorRouteWins(t *testing.T) {
	older, newer := "older", "newer"
	n := &Named[string]{}
	n.Set(api.KindHTTPScaledObject, &older)
	if kind, value := n.InForce(); kind != api.KindHTTPScaledObject || value != &older || n.Superseded() {
		t.Errorf("alone: %s %v, superseded %t", kind, value, n.Superseded())
	}
	n.Set(api.KindInterceptorRoute, &newer)
	if kind, value := n.InForce(); kind != api.KindInterceptorRoute || value != &newer || !n.Superseded() {
		t.Errorf("together: %s %v, superseded %t", kind, value, n.Superseded())
	}
	n.Set(api.KindHTTPScaledObject, nil)
	n.Set(api.KindInterceptorRoute, nil)
	if _, value := n.InForce(); value != nil || n.Superseded() {
		t.Errorf("left over: %v", value)
	}
}

func TestOfTrigger(t *testing.T) {
	for _, test := range []struct {
		metadata   map[string]string
		kind, name string
	}{
		{nil, "", ""},
		{map[string]string{"interceptorRoute": "a"}, "InterceptorRoute", "a"},
		{map[string]string{"httpScaledObject": "a"}, "HTTPScaledObject", "a"},
		{map[string]string{"httpScaledObject": "a", "interceptorRoute": "b"}, "InterceptorRoute", "b"},
		{map[string]string{"interceptorTargetPendingRequests": "1"}, "", ""},
	} {
		kind, name := OfTrigger(func(key string) string { return test.metadata[key] })
		if kind != test.kind || name != test.name {
			t.Errorf("%v names %s %q, want %s %q", test.metadata, kind, name, test.kind, test.name)
		}
	}
}
