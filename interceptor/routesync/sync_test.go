package routesync

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/environment"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a Source that a test drives.
type script struct{ sink chan Sink }

func (s script) Run(ctx context.Context, sink Sink) error {
	s.sink <- sink
	<-ctx.Done()
	return nil
}

// run starts a Sync and returns it with its sink; it ends with the test.
func run(t testing.TB, log logr.Logger) (*Sync, Sink) {
	t.Helper()
	return runWith(t, log, route.ReadSettings(environment.NewReader(environment.None)))
}

func runWith(t testing.TB, log logr.Logger, settings route.Settings) (*Sync, Sink) {
	t.Helper()
	s := New(Options{Store: endpoints.NewStore(), Tracker: inflight.NewTracker(nil), Settings: settings, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	source := script{sink: make(chan Sink, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx, source); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s, <-source.sink
}

func object(t testing.TB, text string) kubesource.Object {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func interceptorRoute(t testing.TB, name, host, more string) kubesource.Object {
	t.Helper()
	return object(t, fmt.Sprintf(`
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %s, namespace: ns}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [%s]}]
  scalingMetric: {concurrency: {targetValue: 1}}
  %s
`, name, host, more))
}

func httpScaledObject(t testing.TB, name, host string) kubesource.Object {
	t.Helper()
	return object(t, fmt.Sprintf(`
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: %s, namespace: ns}
spec:
  hosts: [%s]
  scaleTargetRef: {service: app}
`, name, host))
}

func appService() kubesource.Object {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// settle lets the hold-off pass and everything that follows from it happen; it
// is called in a synctest bubble.
func settle() {
	<-time.After(holdOffMax)
	synctest.Wait()
}

func TestProblemsAreLoggedUnlessAnotherDoes(t *testing.T) {
	for quiet, want := range map[bool]int{false: 2, true: 0} {
		lines := 0
		s := New(Options{Log: funcr.New(func(string, string) { lines++ }, funcr.Options{}), Quiet: quiet})
		problem := map[ObjectRef]string{{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "a"}: "it is wrong"}
		if s.report(problem); len(s.Problems()) != 1 {
			t.Errorf("quiet %v: problems %v", quiet, s.Problems())
		}
		if s.report(nil); lines != want {
			t.Errorf("quiet %v: %d lines, want %d", quiet, lines, want)
		}
	}
}

func TestCheck(t *testing.T) {
	labelled := metav1.ObjectMeta{Namespace: "ns", Name: "page", Labels: map[string]string{"http.keda.sh/response-body": "true"}}
	service, _ := appService().(*corev1.Service)
	check := Check([]*corev1.Service{service}, []*corev1.ConfigMap{{ObjectMeta: labelled, Data: map[string]string{"a": "{{.Message}}"}}}, route.Settings{},
		func(key routing.Key) ([]string, bool) { return []string{"b"}, key.Name == "b" })
	for more, want := range map[string]string{
		"": "",
		"coldStart: {waitingPage: {bodyFromConfigMap: {name: page, key: a}}}":      "",
		"coldStart: {waitingPage: {bodyFromConfigMap: {name: page, key: b}}}":      `coldStart.waitingPage: ConfigMap "page" has no key "b"`,
		"coldStart: {fallback: {service: {name: other, port: 80}}}":                `coldStart.fallback: Service "other" does not exist`,
		"staticRoutes: [{rules: [{hosts: [a.*.b]}], response: {statusCode: 204}}]": `staticRoutes[0]: no request matches the host "a.*.b"`,
		"coldStart: {wakes: [b]}":                                                    "coldStart.wakes: it leads into a cycle: b wakes b",
		"coldStart: {warmUp: [{cron: '0 8 * * *', for: 1h}]}":                        "",
		"coldStart: {warmUp: [{cron: '0 8 * *', for: 1h}]}":                          `coldStart.warmUp[0]: "0 8 * *" is not a schedule: `,
		"coldStart: {placeholder: {response: {bodyFromConfigMap: {name: nothing}}}}": `coldStart.placeholder: ConfigMap "nothing" does not exist`,
	} {
		u, _ := interceptorRoute(t, "a", "a.test", more).(*unstructured.Unstructured)
		decoded, err := route.Decode(u)
		if err != nil {
			t.Fatal(err)
		}
		got := check(decoded)
		if len(got) > 1 || !strings.HasPrefix(strings.Join(got, ""), want) || want == "" && got != nil {
			t.Errorf("%s: got %q, want %q", more, got, want)
		}
	}
}

func match(s *Sync, host string) *exchange.Route {
	route, _ := s.Table().Match(&routing.Request{Host: host, Path: "/"})
	return route
}

func TestNothingIsPublishedBeforeTheSourceIsSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(interceptorRoute(t, "a", "a.test", ""))
		<-time.After(time.Minute)
		if s.Ready() {
			t.Fatal("half a table is a table of 404s")
		}
		sink.Synced()
		settle()
		if !s.Ready() || match(s, "a.test") == nil {
			t.Fatal("the route is published")
		}
	})
}

func TestStoredObjectThatDoesNotDecodeHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(interceptorRoute(t, "good", "good.test", ""))
		// What 0.16's CRD let in: a duration without a unit.
		sink.Set(interceptorRoute(t, "bad", "bad.test", `timeouts: {readiness: "30"}`))
		sink.Synced()
		settle()
		if match(s, "good.test") == nil {
			t.Error("the good route is served")
		}
		if match(s, "bad.test") != nil {
			t.Error("the bad route is not served")
		}
		problems := s.Problems()
		if reason := problems[ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "bad"}]; !strings.Contains(reason, "decode") || len(problems) != 1 {
			t.Errorf("the problem is the bad object's own: %v", problems)
		}
		sink.Set(interceptorRoute(t, "bad", "bad.test", `timeouts: {readiness: "30s"}`))
		settle()
		if r := match(s, "bad.test"); r == nil || r.Readiness != 30*time.Second || len(s.Problems()) != 0 {
			t.Errorf("the mended route is served: %+v, %v", r, s.Problems())
		}
	})
}

func TestInterceptorRouteWinsANameClash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(httpScaledObject(t, "a", "old.test"))
		sink.Synced()
		settle()
		before := match(s, "old.test")
		if before == nil {
			t.Fatal("the HTTPScaledObject is served")
		}
		sink.Set(interceptorRoute(t, "a", "new.test", ""))
		settle()
		after := match(s, "new.test")
		if match(s, "old.test") != nil || after == nil {
			t.Fatal("the InterceptorRoute is served instead")
		}
		if before.InFlight != after.InFlight {
			t.Error("the counts go on: the name is the same")
		}
		if len(s.Problems()) != 1 {
			t.Errorf("the losing route has problems: %v", s.Problems())
		}
		sink.Delete(interceptorRoute(t, "a", "new.test", ""))
		settle()
		if match(s, "old.test") == nil || match(s, "new.test") != nil || len(s.Problems()) != 0 {
			t.Errorf("the HTTPScaledObject is back: %v", s.Problems())
		}
		sink.Delete(httpScaledObject(t, "a", "old.test"))
		settle()
		if s.Table().Len() != 0 {
			t.Error("nothing is left")
		}
	})
}

func TestTargetIsResolvedWhenItsServiceComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []string
		log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
		s, sink := run(t, log)
		sink.Set(httpScaledObject(t, "a", "a.test"))
		sink.Synced()
		settle()
		r := match(s, "a.test")
		if r == nil || r.Target.Problem == "" || r.Target.Endpoints == nil {
			t.Fatalf("a route to a missing Service is kept: %+v", r)
		}
		for range 3 { // seen again without a change
			sink.Set(httpScaledObject(t, "a", "a.test"))
			settle()
		}
		if len(logged) != 1 {
			t.Errorf("the problem is logged once: %q", logged)
		}
		sink.Set(appService())
		settle()
		r = match(s, "a.test")
		if r.Target.Problem != "" || r.Target.Address != "app.ns:80" || len(s.Problems()) != 0 {
			t.Errorf("the Service's only port is taken: %+v", r.Target)
		}
		several := appService().(*corev1.Service)
		several.Spec.Ports = append(several.Spec.Ports, corev1.ServicePort{Name: "admin", Port: 81})
		sink.Set(several)
		settle()
		if r = match(s, "a.test"); !strings.Contains(r.Target.Problem, "2 TCP ports") {
			t.Errorf("several ports are a problem: %q", r.Target.Problem)
		}
	})
}

func TestPartThatDoesNotCompileLeavesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(interceptorRoute(t, "a", "a.test", `coldStart: {streamingCallback: {interval: 1ms}, placeholder: {response: {bodyFromConfigMap: {name: none}}}}`))
		sink.Synced()
		settle()
		r := match(s, "a.test")
		if r == nil || r.Callback != nil || r.Placeholder == nil || r.Placeholder.Problem == "" {
			t.Fatalf("the route is served without the bad parts: %+v", r)
		}
		reason := s.Problems()[ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "a"}]
		if !strings.Contains(reason, "streamingCallback") || !strings.Contains(reason, "ConfigMap") {
			t.Errorf("both parts are named: %q", reason)
		}
		sink.Set(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "none", Labels: map[string]string{api.LabelResponseBody: "true"}},
			Data:       map[string]string{"index.html": "hello"},
		})
		settle()
		if r = match(s, "a.test"); r.Placeholder.Problem != "" || string(r.Placeholder.Files["index.html"]) != "hello" {
			t.Errorf("the ConfigMap is taken when it comes: %+v", r.Placeholder)
		}
	})
}

func TestHostsThatNoRequestHasAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(interceptorRoute(t, "a", "http://a.test, a.test, münchen.example", "staticRoutes: [{rules: [{paths: [{value: /x/*}, {value: /y%20z}]}], response: {body: x}}]"))
		sink.Set(interceptorRoute(t, "b", "b.*.test", ""))
		sink.Synced()
		settle()
		r := match(s, "a.test")
		if r == nil || match(s, "xn--mnchen-3ya.example") != r || match(s, "http") != nil || match(s, "b.test") != nil {
			t.Error("requests for the hosts that there are, and for no others, are the route's")
		}
		if static := r.Static[0].Rules; static.Match(&routing.Request{Host: "a.test", Path: "/x/y"}) || !static.Match(&routing.Request{Host: "a.test", Path: "/y z"}) {
			t.Error("the static route answers for its path, and for no other")
		}
		for name, want := range map[string][]string{"a": {`host "http://a.test": it is a URL`, `staticRoutes[0]: no request matches the path "/x/*"`}, "b": {`host "b.*.test"`}} {
			got := s.Problems()[ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: name}]
			for _, part := range want {
				if !strings.Contains(got, part) {
					t.Errorf("%q is not named: %s", part, got)
				}
			}
		}
	})
}

func TestDefaultsOfARoute(t *testing.T) {
	defaults := Defaults{Readiness: 0, Request: time.Minute, ResponseHeader: 5 * time.Minute, MaxPending: 7}
	for _, c := range []struct {
		reason, spec string
		check        func(r *exchange.Route) bool
	}{
		{"unset timeouts are the defaults", "", func(r *exchange.Route) bool {
			return r.Readiness == 0 && r.Request == time.Minute && r.ResponseHeader == 5*time.Minute && r.MaxPending == 7 && !r.CapOwn
		}},
		{"0s disables", "timeouts: {request: 0s}", func(r *exchange.Route) bool { return r.Request == 0 }},
		{"a fallback bounds the wait", "coldStart: {fallback: {service: {name: app, port: 80}}}", func(r *exchange.Route) bool { return r.Readiness == 30*time.Second && r.Lease == 30*time.Second }},
		{"a lease without a readiness timeout is ten minutes", "", func(r *exchange.Route) bool { return r.Lease == 10*time.Minute }},
		{"a lease is the readiness timeout", "timeouts: {readiness: 3m}", func(r *exchange.Route) bool { return r.Lease == 3*time.Minute }},
		{"a lease of its own", "coldStart: {activationLease: 1h}", func(r *exchange.Route) bool { return r.Lease == time.Hour }},
		{"requests wait for a wake that has failed", "coldStart: {onFailure: Wait}", func(r *exchange.Route) bool { return !r.FailEarly }},
		{"or do not", "coldStart: {onFailure: Fail}", func(r *exchange.Route) bool { return r.FailEarly }},
		{"a cap of its own", "coldStart: {maxPendingRequests: 3}", func(r *exchange.Route) bool { return r.MaxPending == 3 && r.CapOwn }},
		{"the placeholder's status", "coldStart: {placeholder: {response: {body: x}}}", func(r *exchange.Route) bool { return r.Placeholder.Status == 503 }},
		{"a static route's status", "staticRoutes: [{rules: [{paths: [{value: /x}]}], response: {body: x}}]", func(r *exchange.Route) bool { return r.Static[0].Response.Status == 200 && !r.Static[0].Always }},
	} {
		t.Run(c.reason, func(t *testing.T) {
			m := newModel(compiler{store: endpoints.NewStore(), tracker: inflight.NewTracker(nil), defaults: defaults})
			m.apply(map[ObjectRef]kubesource.Object{
				{Kind: KindService, Namespace: "ns", Name: "app"}:                appService(),
				{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "route"}: interceptorRoute(t, "route", "a.test", c.spec),
			})
			route, ok := m.table(nil).Match(&routing.Request{Host: "a.test", Path: "/"})
			if !ok || !c.check(route) {
				t.Errorf("%s: %+v", c.reason, route)
			}
		})
	}
}

// After a route is deleted and made again, the requests that wait under it follow it, too.
func TestRequestsOfADeletedRouteFollowItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(interceptorRoute(t, "busy", "busy.test", ""))
		sink.Set(interceptorRoute(t, "idle", "idle.test", ""))
		sink.Synced()
		settle()
		busy := match(s, "busy.test")
		release := busy.InFlight.Acquire()
		for _, name := range []string{"busy", "idle"} {
			sink.Delete(interceptorRoute(t, name, name+".test", ""))
			settle()
			sink.Set(interceptorRoute(t, name, name+".test", ""))
			settle()
		}
		select {
		case <-busy.Replaced():
			if busy.Successor() != match(s, "busy.test") {
				t.Error("the successor is the route in force")
			}
		default:
			t.Error("requests in flight were notified")
		}
		release()
		// An idle route has no waiting requests: it is kept until another one goes.
		sink.Delete(interceptorRoute(t, "idle", "idle.test", ""))
		settle()
		sink.Delete(interceptorRoute(t, "busy", "busy.test", ""))
		settle()
		if n := len(s.model.orphans); n != 1 {
			t.Errorf("%d orphans are kept", n)
		}
	})
}

// The bounds are settings.
func TestLimitsOfMatches(t *testing.T) {
	for _, test := range []struct {
		reason string
		limits route.Limits
		served []string
	}{
		{"no bound", route.Limits{}, []string{"a.test", "b.test", "c.test"}},
		{"two for each object", route.Limits{PerObject: 2}, []string{"a.test", "b.test"}},
		{"two in the namespace", route.Limits{PerNamespace: 2}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, sink := runWith(t, logr.Discard(), route.Settings{Limits: test.limits})
			sink.Set(interceptorRoute(t, "r", "a.test, b.test, c.test", ""))
			sink.Synced()
			settle()
			var served []string
			for _, host := range []string{"a.test", "b.test", "c.test"} {
				if match(s, host) != nil {
					served = append(served, host)
				}
			}
			if !slices.Equal(served, test.served) {
				t.Errorf("%s: %q are served, want %q", test.reason, served, test.served)
			}
		})
	}
}

// A ConfigMap that may not be read is not waited for, and the route says why.
func TestConfigMapsThatMayNotBeRead(t *testing.T) {
	for _, test := range []struct {
		reason  string
		allowed route.ConfigMaps
		want    string
	}{
		{"off", route.ConfigMaps{Off: true}, route.EnvConfigMaps},
		{"another namespace", route.ConfigMaps{Namespaces: []string{"other"}}, route.EnvConfigMapNamespaces},
		{"this namespace", route.ConfigMaps{Namespaces: []string{"other", "ns"}}, ""},
		{"all", route.ConfigMaps{}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, sink := runWith(t, logr.Discard(), route.Settings{ConfigMaps: test.allowed})
			sink.Set(appService())
			sink.Set(&corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "site", Labels: map[string]string{api.LabelResponseBody: "true"}},
				Data:       map[string]string{"index.html": "hello"},
			})
			sink.Set(interceptorRoute(t, "a", "a.test", `coldStart: {placeholder: {response: {bodyFromConfigMap: {name: site, key: index.html}}}}`))
			sink.Synced()
			settle()
			response := match(s, "a.test").Placeholder
			problem := s.Problems()[ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "a"}]
			if test.want == "" {
				if string(response.Body) != "hello" || problem != "" {
					t.Errorf("%s: %q, %s", test.reason, response.Body, problem)
				}
				return
			}
			if len(response.Body) > 0 || response.Problem == "" || !strings.Contains(problem, test.want) {
				t.Errorf("%s: %q, %s", test.reason, response.Body, problem)
			}
		})
	}
}

// Over the bound of a namespace the oldest objects are served, and the others when there is
// room again.
func TestTheOldestObjectsOfANamespaceAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		aged := func(name string, age, hosts int) kubesource.Object {
			all := make([]string, hosts)
			for i := range all {
				all[i] = fmt.Sprintf("%s-%d.test", name, i)
			}
			o := interceptorRoute(t, name, strings.Join(all, ", "), "")
			o.SetCreationTimestamp(metav1.Unix(int64(age), 0))
			return o
		}
		for i := range 16 {
			sink.Set(aged(fmt.Sprint("r", i), i, 4096))
		}
		young := aged("young", 100, 1)
		sink.Set(young)
		sink.Synced()
		settle()
		ref := ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "young"}
		if match(s, "young-0.test") != nil || match(s, "r15-4095.test") == nil || !strings.Contains(s.Problems()[ref], "65536") {
			t.Errorf("over the bound: %v", s.Problems())
		}
		sink.Set(aged("r0", 0, 4095))
		settle()
		if match(s, "young-0.test") == nil || strings.Contains(s.Problems()[ref], "65536") {
			t.Errorf("there is room: %v", s.Problems()[ref])
		}
	})
}

// 10,000 routes that change one by one must not rebuild 10,000 tables.
func TestBurstIsOneRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		published := 0
		log := funcr.New(func(_, args string) {
			if strings.Contains(args, "published") {
				published++
			}
		}, funcr.Options{Verbosity: 1})
		s, sink := run(t, log)
		sink.Synced()
		settle()
		published = 0
		for i := range 1000 {
			sink.Set(interceptorRoute(t, fmt.Sprint("r", i), fmt.Sprintf("h%d.test", i), ""))
			<-time.After(time.Millisecond)
		}
		settle()
		if s.Table().Len() != 1000 || published > 12 {
			t.Errorf("a burst of 1 s: %d routes, %d rebuilds", s.Table().Len(), published)
		}
	})
}

// One change among many must cost little of what all of them cost.
func TestOneChangeCompilesOneRoute(t *testing.T) {
	m := newModel(compiler{store: endpoints.NewStore(), tracker: inflight.NewTracker(nil)})
	all := map[ObjectRef]kubesource.Object{{Kind: KindService, Namespace: "ns", Name: "app"}: appService()}
	for i := range 2000 {
		name := fmt.Sprint("r", i)
		all[ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: name}] = interceptorRoute(t, name, name+".test", "")
	}
	start := time.Now()
	m.apply(all)
	table := m.table(nil)
	everything := time.Since(start)

	var took []time.Duration // of several changes, so that a busy machine does not matter
	for i := range 21 {
		host := fmt.Sprintf("changed%d.test", i)
		route := interceptorRoute(t, "r5", host, "")
		start = time.Now()
		m.apply(map[ObjectRef]kubesource.Object{{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "r5"}: route})
		table = m.table(table)
		took = append(took, time.Since(start))
		if _, ok := table.Match(&routing.Request{Host: host, Path: "/"}); !ok || table.Len() != 2000 {
			t.Fatalf("the change is in the table of %d", table.Len())
		}
	}
	slices.Sort(took)
	one := took[len(took)/2]
	if one > everything/20 {
		t.Errorf("one change took %s, all 2,000 took %s", one, everything)
	}
}

// BenchmarkOneChange reports how long one changed route among 10,000 takes to
// be live, the hold-off included.
func BenchmarkOneChange(b *testing.B) {
	s, sink := run(b, logr.Discard())
	sink.Set(appService())
	for i := range 10_000 {
		sink.Set(interceptorRoute(b, fmt.Sprint("r", i), fmt.Sprintf("h%d.test", i), ""))
	}
	sink.Synced()
	for !s.Ready() {
		<-time.After(time.Millisecond)
	}
	b.ResetTimer()
	for i := range b.N {
		host := fmt.Sprintf("changed%d.test", i)
		sink.Set(interceptorRoute(b, "r5", host, ""))
		for match(s, host) == nil {
			runtime.Gosched()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/live")
}

// TestResponsesShareTheDataOfAConfigMap: one object may refer to it a thousand times.
func TestResponsesShareTheDataOfAConfigMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "site", Labels: map[string]string{api.LabelResponseBody: "true"}},
			Data:       map[string]string{"index.html": "hello"},
		})
		sink.Set(interceptorRoute(t, "a", "a.test", `staticRoutes:
  - {rules: [{paths: [{value: /a}]}], response: {bodyFromConfigMap: {name: site}}}
  - {rules: [{paths: [{value: /b}]}], response: {bodyFromConfigMap: {name: site}}}
  - {rules: [{paths: [{value: /c}]}], response: {bodyFromConfigMap: {name: site, key: index.html}}}`))
		sink.Synced()
		settle()
		static := match(s, "a.test").Static
		a, b, c := static[0].Response.Files["index.html"], static[1].Response.Files["index.html"], static[2].Response.Body
		if string(a) != "hello" || string(b) != "hello" || string(c) != "hello" || &a[0] != &b[0] || &a[0] != &c[0] {
			t.Errorf("got %q, %q, %q: each its own copy", a, b, c)
		}
	})
}

// Sessions need the address of a pod, and a route without them pays nothing for those of
// others.
func TestSessions(t *testing.T) {
	for _, c := range []struct {
		reason, spec   string
		none           bool
		cookie, header string
		problem        bool
	}{
		{reason: "no sessions"},
		{reason: "a cookie of the route's own", spec: "{type: Cookie}", cookie: "keda-session-"},
		{reason: "a cookie", spec: "{type: Cookie, cookie: {name: s}}", cookie: "s"},
		{reason: "a header, in any case", spec: "{type: Header, header: {name: mcp-session-id}}", header: "Mcp-Session-Id"},
		{reason: "a header that frames messages", spec: "{type: Header, header: {name: Content-Length}}", problem: true},
		{reason: "no direct pod routing", spec: "{type: Cookie}", none: true},
		{reason: "neither", spec: "{type: Header, header: {name: Host}}", none: true, problem: true},
	} {
		more := ""
		if c.spec != "" {
			more = "sessionPersistence: " + c.spec
		}
		decoded, err := route.Decode(interceptorRoute(t, "app", "app.test", more).(*unstructured.Unstructured))
		if err != nil {
			t.Fatal(err)
		}
		compiled, _, problems := compiler{store: endpoints.NewStore(), tracker: inflight.NewTracker(nil), defaults: Defaults{NoSessions: c.none}}.compile(decoded)
		found := strings.Contains(strings.Join(problems, "\n"), "sessionPersistence: ")
		if found != c.problem {
			t.Errorf("%s: %q", c.reason, problems)
		}
		switch rule := compiled.Session; {
		case c.cookie == "" && c.header == "":
			if rule != nil {
				t.Errorf("%s: %+v", c.reason, rule)
			}
		case rule == nil || !strings.HasPrefix(rule.Cookie, c.cookie) || (rule.Cookie == "") != (c.cookie == "") || rule.Header != c.header:
			t.Errorf("%s: %+v", c.reason, rule)
		}
	}
}

// What a route needs follows the other routes: one that comes, one that changes, and one that goes.
func TestNeedsFollowTheOtherRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Set(interceptorRoute(t, "a", "a.test", "coldStart: {wakes: [b]}"))
		sink.Synced()
		settle()
		a := ObjectRef{Kind: api.KindInterceptorRoute, Namespace: "ns", Name: "a"}
		expect := func(reason, problem string, want ...string) {
			t.Helper()
			settle()
			var got []string
			for _, key := range match(s, "a.test").Needs {
				got = append(got, key.Name)
			}
			if !slices.Equal(got, want) || !strings.Contains(s.Problems()[a], problem) || problem == "" && s.Problems()[a] != "" {
				t.Errorf("%s: needs %v, problems %q; want %v, %q", reason, got, s.Problems()[a], want, problem)
			}
		}
		expect("no other", `no route "b"`)
		sink.Set(httpScaledObject(t, "b", "b.test"))
		expect("one of the other kind", "", "b")
		sink.Set(interceptorRoute(t, "b", "b.test", "coldStart: {wakes: [c]}"))
		expect("one that needs another", `no route "c"`, "b")
		sink.Set(interceptorRoute(t, "c", "c.test", ""))
		expect("all of them", "", "b", "c")
		sink.Set(interceptorRoute(t, "c", "c.test", "coldStart: {wakes: [a]}"))
		expect("a cycle", "it leads into a cycle: a wakes b wakes c wakes a")
		sink.Set(interceptorRoute(t, "c", "c.test", "coldStart: {wakes: [c]}"))
		expect("a cycle of others", "it leads into a cycle: c wakes c")
		sink.Delete(interceptorRoute(t, "c", "c.test", ""))
		expect("one that is gone", `no route "c"`, "b")
		sink.Delete(interceptorRoute(t, "b", "b.test", ""))
		expect("one whose other object is in force again", "", "b")
	})
}

// Only changes of routes with warm-ups are signaled.
func TestRoutesWithWarmUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Set(appService())
		sink.Synced()
		expect := func(reason string, signal bool, want int) {
			t.Helper()
			settle()
			signaled := false
			select {
			case <-s.Rewarmed():
				signaled = true
			default:
			}
			if warm := s.Warm(); len(warm) != want || signaled != signal {
				t.Errorf("%s: %d routes, signal %v", reason, len(warm), signaled)
			}
		}
		sink.Set(interceptorRoute(t, "a", "a.test", ""))
		expect("none", false, 0)
		sink.Set(interceptorRoute(t, "a", "a.test", "coldStart: {warmUp: [{cron: '0 8 * * *', for: 1h}, {cron: wrong, for: 1h}]}"))
		expect("one", true, 1)
		sink.Set(interceptorRoute(t, "b", "b.test", ""))
		expect("another route", false, 1)
		sink.Set(interceptorRoute(t, "a", "a.test", "coldStart: {warmUp: [{cron: '@daily', for: 1h}]}"))
		expect("changed", true, 1)
		sink.Delete(interceptorRoute(t, "a", "a.test", ""))
		expect("deleted", true, 0)
	})
}
