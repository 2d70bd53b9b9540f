package routesync

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// waking is a route with a status.
func waking(t *testing.T, route kubesource.Object, wake map[string]any) kubesource.Object {
	t.Helper()
	u := route.DeepCopyObject().(*unstructured.Unstructured)
	if wake != nil {
		u.Object["status"] = map[string]any{"wake": wake}
	}
	return u
}

func TestAWakeReachesItsRouteWithoutACompile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		route, old := interceptorRoute(t, "shop", "shop.test", ""), httpScaledObject(t, "shop", "shop.test")
		sink.Set(route)
		sink.Synced()
		settle()
		compiled, table := match(s, "shop.test"), s.Table()
		stage := func() eta.Stage { return compiled.Reported.Load(time.Time{}).Stage }
		expected := time.Now().Add(time.Minute).Truncate(time.Second)
		sink.Wake(waking(t, route, map[string]any{
			"phase": "Pulling", "reason": "ImagePullFailed", "expectedReadyTime": expected.UTC().Format(time.RFC3339),
		}), true)
		if got := compiled.Reported.Load(time.Time{}); got.Stage != (eta.Stage{Phase: eta.Pulling, Reason: eta.ImagePullFailed}) || !got.Expected.Equal(expected) {
			t.Errorf("reported %+v", got)
		}
		if got := compiled.Reported.Load(time.Now().Add(1)); got.Stage != (eta.Stage{}) {
			t.Errorf("reported %+v of a wake that is over", got)
		}
		sink.Wake(waking(t, route, map[string]any{"phase": "Pulling", "reason": "OfALaterVersion"}), true)
		if got := stage(); got != (eta.Stage{Phase: eta.Pulling}) {
			t.Errorf("a reason that is not known: %+v", got)
		}
		sink.Wake(waking(t, old, nil), true)
		if got := stage(); got.Phase != eta.Pulling {
			t.Errorf("the object of another kind removes the report: %+v", got)
		}
		settle()
		if s.Table() != table {
			t.Error("a status was compiled")
		}
		sink.Set(interceptorRoute(t, "shop", "shop.test", "timeouts: {request: 5s}"))
		settle()
		if again := match(s, "shop.test"); again == compiled || again.Reported.Load(time.Time{}).Stage.Phase != eta.Pulling {
			t.Error("a route that is edited forgets its wake")
		}
		sink.Wake(waking(t, route, map[string]any{"phase": "OfALaterVersion"}), true)
		if got := stage(); got != (eta.Stage{}) {
			t.Errorf("a phase that is not known: %+v", got)
		}
	})
}

// What is reported of a route that never was in effect goes with its object too.
func TestReportsGoWithTheirObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := run(t, logr.Discard())
		sink.Synced()
		for _, spec := range []string{"", "timeouts: {readiness: soon}"} {
			route := interceptorRoute(t, "shop", "shop.test", spec)
			sink.Set(route)
			sink.Wake(waking(t, route, map[string]any{"phase": "Pulling"}), true)
			settle()
			sink.Wake(waking(t, route, map[string]any{"phase": "Loading"}), true)
			sink.Delete(route)
			settle()
			if n := len(s.reports.of); n != 0 {
				t.Errorf("%q: %d reports of a route that is gone", spec, n)
			}
		}
	})
}

// An interceptor that begins beside an operator that has died reads an old failure. One that sees
// the write does not depend on the operator's clock.
func TestAFailureCountsForAMinuteFromItsWrite(t *testing.T) {
	const old, later = -time.Hour, time.Hour // by a clock that is behind, and one that is ahead
	for _, test := range []struct {
		reason string
		writes []time.Duration // relative to now, 10s apart; the first one was there before
		want   time.Duration   // from the last one
	}{
		{"it was just written", []time.Duration{0}, failureLasts},
		{"it was written before", []time.Duration{-20 * time.Second}, failureLasts - 20*time.Second},
		{"it is old", []time.Duration{old}, failureLasts + old},
		{"by a clock that is ahead", []time.Duration{later}, failureLasts},
		{"and is written again", []time.Duration{later, later}, failureLasts},
		{"by a clock that is behind", []time.Duration{old, old}, failureLasts},
		{"and something else is written", []time.Duration{old, old, old - 10*time.Second}, failureLasts - 10*time.Second},
		{"by a clock that is set back", []time.Duration{0, old}, failureLasts},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := run(t, logr.Discard())
			route := interceptorRoute(t, "shop", "shop.test", "")
			reported := s.reports.route(routing.Key{Namespace: "ns", Name: "shop"})
			for i, written := range test.writes {
				if i > 0 {
					time.Sleep(10 * time.Second)
				}
				s.Wake(waking(t, route, map[string]any{"phase": "Pulling", "failedTime": time.Now().Add(written).UTC().Format(time.RFC3339)}), i > 0)
			}
			if got := time.Until(reported.Load(time.Time{}).FailedUntil); got != test.want {
				t.Errorf("%s: counts for %v, want %v", test.reason, got, test.want)
			}
		})
	}
}

func TestAWakeWithoutATimeOfFailureHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := run(t, logr.Discard())
		route := interceptorRoute(t, "shop", "shop.test", "")
		reported := s.reports.route(routing.Key{Namespace: "ns", Name: "shop"})
		for _, field := range []any{nil, "soon", int64(1)} {
			s.Wake(waking(t, route, map[string]any{"phase": "Pulling", "failedTime": field}), true)
			if got := reported.Load(time.Time{}); got.Stage.Phase != eta.Pulling || !got.FailedUntil.IsZero() {
				t.Errorf("%v is a failure: %+v", field, got)
			}
		}
	})
}

// Every phase and reason of the API has a different word.
func TestEveryPhaseAndReasonHasAWord(t *testing.T) {
	if len(phases) != int(eta.Ready) || len(reasons) != int(eta.Paused)+1 {
		t.Errorf("%d phases, %d reasons", len(phases), len(reasons))
	}
}

// What the cluster says of a pod names registries, nodes, taints, quotas and namespaces.
func TestNoTextOfTheClusterReachesAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "s3cr3t"
		s, sink := run(t, logr.Discard())
		route := interceptorRoute(t, "shop", "shop.test", `coldStart: {waitingPage: {message: "{phase} [{reason}]"}}`)
		sink.Set(route)
		sink.Synced()
		settle()
		page := match(s, "shop.test")
		for _, wake := range []map[string]any{
			{"phase": "Pulling", "reason": "ImagePullFailed", "message": secret, "pod": secret},
			{"phase": "Scheduling", "reason": secret, "message": secret, "startedAt": secret, "expectedReadyTime": secret},
			{"phase": secret, "reason": "Unschedulable", "message": secret},
			{"phase": map[string]any{secret: secret}, "reason": []any{secret}},
		} {
			sink.Wake(waking(t, route, wake), true)
			w := httptest.NewRecorder()
			now := eta.Progress{Stage: page.Reported.Load(time.Time{}).Stage}
			if err := page.Page.ServeFinite(w, httptest.NewRequest(http.MethodGet, "/", nil), now); err != nil {
				t.Fatal(err)
			}
			if text := fmt.Sprint(w.Header(), w.Body); strings.Contains(text, secret) {
				t.Errorf("%v: the page says\n%s", wake, text)
			}
			if want := now.Stage.Phase.String() + " " + now.Stage.Reason.String(); now.Stage.Reason != eta.None && !strings.Contains(w.Body.String(), want) {
				t.Errorf("%v: the page does not say %q", wake, want)
			}
		}
	})
}
