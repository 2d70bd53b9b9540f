package externalscaler

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// requestRate is a metric with the schema's defaults.
func requestRate(target int64) map[string]any {
	return map[string]any{"targetValue": target, "window": "1m", "granularity": "1s"}
}

// values writes metric values in a line.
func values(response *pb.GetMetricsResponse) string {
	var all []string
	for _, v := range response.GetMetricValues() {
		value := fmt.Sprint(v.GetMetricValueFloat())
		if v.GetMetricValue() != 0 {
			value = fmt.Sprintf("%dint", v.GetMetricValue())
		}
		all = append(all, v.GetMetricName()+"="+value)
	}
	return strings.Join(all, " ")
}

// HPAs that exist depend on these answers to KEDA.
func TestAnswers(t *testing.T) {
	both := map[string]any{"concurrency": map[string]any{"targetValue": int64(10)}, "requestRate": requestRate(5)}
	for name, test := range map[string]struct {
		route  *unstructured.Unstructured
		ref    *pb.ScaledObjectRef
		metric string
		report queue.Count // 90 requests of it within the last minute
		specs  string
		values string
		active bool
	}{
		"concurrency": {
			interceptorRoute("my-llm", concurrency(10)), ref(api.TriggerInterceptorRoute, "my-llm"), "", queue.Count{Concurrency: 3},
			"http_my-llm_concurrency=10", "http_my-llm_concurrency=3", true,
		},
		"rate": {
			interceptorRoute("llm", map[string]any{"requestRate": requestRate(5)}), ref(api.TriggerInterceptorRoute, "llm"), "", queue.Count{RequestCount: 90},
			"http_llm_rate=5", "http_llm_rate=1.5", true,
		},
		"both": {
			interceptorRoute("llm", both), ref(api.TriggerInterceptorRoute, "llm"), "", queue.Count{Concurrency: 2, RequestCount: 90},
			"http_llm_concurrency=10 http_llm_rate=5", "http_llm_concurrency=2 http_llm_rate=1.5", true,
		},
		"one of both": {
			interceptorRoute("llm", both), ref(api.TriggerInterceptorRoute, "llm"), "http_llm_rate", queue.Count{Concurrency: 2, RequestCount: 90},
			"http_llm_concurrency=10 http_llm_rate=5", "http_llm_rate=1.5", true,
		},
		"a request that is held makes a route active that is scaled by rate": {
			interceptorRoute("llm", map[string]any{"requestRate": requestRate(5)}), ref(api.TriggerInterceptorRoute, "llm"), "", queue.Count{Concurrency: 1},
			"http_llm_rate=5", "http_llm_rate=0", true,
		},
		"and so does a lease": {
			interceptorRoute("llm", map[string]any{"requestRate": requestRate(5)}), ref(api.TriggerInterceptorRoute, "llm"), "",
			queue.Count{Concurrency: 1, Leased: true, Cold: true}, "http_llm_rate=5", "http_llm_rate=0", true,
		},
		"requests that are over": {
			interceptorRoute("llm", concurrency(10)), ref(api.TriggerInterceptorRoute, "llm"), "", queue.Count{RequestCount: 90},
			"http_llm_concurrency=10", "http_llm_concurrency=0", false,
		},
		"HTTPScaledObject without a metric": {
			httpScaledObject("llm", map[string]any{}), ref(api.TriggerHTTPScaledObject, "llm"), "", queue.Count{Concurrency: 3},
			"http-apps_002Fllm=100int", "http-apps_002Fllm=3int", true,
		},
		"HTTPScaledObject with the deprecated target": {
			httpScaledObject("llm", map[string]any{"targetPendingRequests": int64(7)}), ref(api.TriggerHTTPScaledObject, "llm"), "any name", queue.Count{},
			"http-apps_002Fllm=7int", "http-apps_002Fllm=0", false,
		},
		"HTTPScaledObject by rate, rounded up": {
			httpScaledObject("llm", map[string]any{"scalingMetric": map[string]any{"requestRate": requestRate(20)}}),
			ref(api.TriggerHTTPScaledObject, "llm"), "", queue.Count{RequestCount: 90},
			"http-apps_002Fllm=20int", "http-apps_002Fllm=2int", true,
		},
		"HTTPScaledObject whose rate is a whole number": {
			httpScaledObject("llm", map[string]any{"scalingMetric": map[string]any{"requestRate": requestRate(20)}}),
			ref(api.TriggerHTTPScaledObject, "llm"), "", queue.Count{RequestCount: 180},
			"http-apps_002Fllm=20int", "http-apps_002Fllm=3int", true,
		},
		"the fleet": {
			interceptorRoute("llm", concurrency(10)), ref(api.TriggerPendingRequests, "200"), "", queue.Count{Concurrency: 3},
			"http-apps_002Fso=200int", "http-apps_002Fso=3int", true,
		},
		"a lease is no load of the fleet": {
			interceptorRoute("llm", concurrency(10)), ref(api.TriggerPendingRequests, "200"), "whatever", queue.Count{Concurrency: 1, Leased: true, Cold: true},
			"http-apps_002Fso=200int", "http-apps_002Fso=0", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.route)
				pass(2 * time.Minute)
				w.report(test.route.GetNamespace()+"/"+test.route.GetName(), test.report)
				specs, err := w.keda.GetMetricSpec(t.Context(), test.ref)
				if err != nil || told(specs) != test.specs {
					t.Errorf("specs %q (%v), want %q", told(specs), err, test.specs)
				}
				got, err := w.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: test.ref, MetricName: test.metric})
				if err != nil || values(got) != test.values {
					t.Errorf("values %q (%v), want %q", values(got), err, test.values)
				}
				active, err := w.keda.IsActive(t.Context(), test.ref)
				if err != nil || active.GetResult() != test.active {
					t.Errorf("active %v (%v), want %v", active.GetResult(), err, test.active)
				}
			})
		})
	}
}

func TestErrorsHelp(t *testing.T) {
	bad := interceptorRoute("bad", map[string]any{"requestRate": map[string]any{"targetValue": int64(1), "window": "30"}})
	for name, test := range map[string]struct {
		ref  *pb.ScaledObjectRef
		code codes.Code
		says []string
	}{
		"no metadata":    {&pb.ScaledObjectRef{Name: "so", Namespace: "apps"}, codes.InvalidArgument, []string{"apps/so", "interceptorRoute", "httpScaledObject"}},
		"nothing at all": {nil, codes.InvalidArgument, []string{"interceptorRoute"}},
		"no number":      {ref(api.TriggerPendingRequests, "many"), codes.InvalidArgument, []string{"apps/so", "interceptorTargetPendingRequests", `"many"`}},
		"zero":           {ref(api.TriggerPendingRequests, "0"), codes.InvalidArgument, []string{"above 0"}},
		"unknown":        {ref(api.TriggerInterceptorRoute, "nope"), codes.NotFound, []string{"no InterceptorRoute apps/nope", "metadata interceptorRoute", "namespace of the ScaledObject"}},
		"the other kind": {ref(api.TriggerInterceptorRoute, "legacy"), codes.NotFound, []string{"no InterceptorRoute apps/legacy", "an HTTPScaledObject", "httpScaledObject instead of interceptorRoute"}},
		"and vice versa": {ref(api.TriggerHTTPScaledObject, "llm"), codes.NotFound, []string{"no HTTPScaledObject apps/llm", "interceptorRoute instead of httpScaledObject"}},
		"does not parse": {ref(api.TriggerInterceptorRoute, "bad"), codes.FailedPrecondition, []string{"InterceptorRoute apps/bad", "duration"}},
		"no metric":      {ref(api.TriggerInterceptorRoute, "none"), codes.FailedPrecondition, []string{"spec.scalingMetric"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, bad, interceptorRoute("llm", concurrency(1)), interceptorRoute("none", nil), httpScaledObject("legacy", map[string]any{}))
			_, err1 := w.keda.GetMetricSpec(t.Context(), test.ref)
			_, err2 := w.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: test.ref})
			_, err3 := w.keda.IsActive(t.Context(), test.ref)
			for _, err := range []error{err1, err2, err3} {
				if status.Code(err) != test.code {
					t.Errorf("%v, want %v", err, test.code)
				}
				for _, part := range test.says {
					if !strings.Contains(status.Convert(err).Message(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
			}
		})
	}
}

func TestUnknownMetrics(t *testing.T) {
	w := newWorld(t, interceptorRoute("llm", concurrency(1)))
	_, err := w.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: ref(api.TriggerInterceptorRoute, "llm"), MetricName: "http_llm_rate"})
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "http_llm_concurrency") {
		t.Errorf("got %v, want the names that there are", err)
	}
}

// KEDA takes any number that it gets for the truth.
func TestNoNumbersBeforeTheFirstReports(t *testing.T) {
	w := newStartingWorld(t)
	w.routes.Set(interceptorRoute("llm", concurrency(1)))
	r := ref(api.TriggerInterceptorRoute, "llm")
	check := func(reason string, specs, numbers codes.Code) {
		t.Helper()
		_, err1 := w.keda.GetMetricSpec(t.Context(), r)
		_, err2 := w.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: r})
		_, err3 := w.keda.IsActive(t.Context(), r)
		if status.Code(err1) != specs || status.Code(err2) != numbers || status.Code(err3) != numbers {
			t.Errorf("%s: %v; %v; %v", reason, err1, err2, err3)
		}
	}
	check("nothing is known", codes.Unavailable, codes.Unavailable)
	w.routes.Synced()
	check("the routes are known", codes.OK, codes.Unavailable)
	close(w.ready)
	check("all is known", codes.OK, codes.OK)
}

func TestTheLegacyNameIsEscaped(t *testing.T) {
	for name, want := range map[string]string{
		"ns/name": "ns_002Fname", "a-b.c/D9": "a-b.c_002FD9", "a_b": "a_005Fb", "ü": "_C3BC", "€": "_E282AC", "": "",
	} {
		if got := escape(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("ns/name")
	f.Add("\xff€")
	f.Fuzz(func(t *testing.T, name string) {
		for _, c := range escape(name) {
			if !strings.ContainsRune("-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c) {
				t.Fatalf("%q becomes %q", name, escape(name))
			}
		}
	})
}

func TestObjectsAreDecodedAloneAndByWhatMatters(t *testing.T) {
	w := newWorld(t)
	// 0.16's CRD accepted this. The interceptor cannot use it, but KEDA can scale it.
	odd := interceptorRoute("odd", concurrency(4))
	odd.Object["spec"].(map[string]any)["timeouts"] = map[string]any{"readiness": "30"}
	odd.Object["spec"].(map[string]any)["target"] = "nonsense"
	w.routes.Set(odd)
	response, err := w.keda.GetMetricSpec(t.Context(), ref(api.TriggerInterceptorRoute, "odd"))
	if err != nil || told(response) != "http_odd_concurrency=4" {
		t.Errorf("%q, %v", told(response), err)
	}
	if _, ok := odd.Object["spec"].(map[string]any)["target"]; !ok {
		t.Error("the caller's object was changed")
	}
}

func TestTrimKeepsWhatSetReads(t *testing.T) {
	u := httpScaledObject("llm", map[string]any{"targetPendingRequests": int64(7), "hosts": []any{"example.com"}})
	u.SetUID("1")
	u.SetResourceVersion("2")
	u.SetAnnotations(map[string]string{"a": "b"})
	u.Object["status"] = map[string]any{"targetWorkload": "x"}
	Trim(u)
	if u.GetName() != "llm" || u.GetNamespace() != "apps" || u.GetUID() != "1" || u.GetResourceVersion() != "2" || u.GetKind() != api.KindHTTPScaledObject {
		t.Errorf("the object has lost its identity: %v", u.Object)
	}
	if u.GetAnnotations() != nil || u.Object["status"] != nil || len(u.Object["spec"].(map[string]any)) != 1 {
		t.Errorf("too much is kept: %v", u.Object)
	}
	Trim(&unstructured.Unstructured{}) // an object without anything
}

func TestAnInterceptorRouteMeasuresBeforeAnHTTPScaledObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rated := func(window string) map[string]any {
			return map[string]any{"requestRate": map[string]any{"targetValue": int64(1), "window": window}}
		}
		route := interceptorRoute("llm", rated("10s"))
		w := newWorld(t, httpScaledObject("llm", map[string]any{"scalingMetric": rated("1m")}), route)
		pass(2 * time.Minute)
		w.report("apps/llm", queue.Count{RequestCount: 60})
		rate := func(want float64) {
			t.Helper()
			if got := w.demand.State("apps/llm").Rate; math.Abs(got-want) > 1e-9 {
				t.Errorf("%v, want %v", got, want)
			}
		}
		rate(6)
		w.routes.Delete(route)
		rate(6) // of the time before nothing is known
		pass(50 * time.Second)
		rate(1)
		w.routes.Delete(httpScaledObject("llm", map[string]any{}))
		rate(0)
		if len(w.routes.entries) > 0 || len(w.routes.rates) > 0 {
			t.Error("something is left behind")
		}
	})
}
