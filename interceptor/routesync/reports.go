package routesync

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// reports are what the operator says in status.wake of routes. They come by the watch of
// routes, and reach the compiled route without a compile.
type reports struct {
	mu sync.Mutex
	of map[routing.Key]*exchange.Reported
}

// route returns where the reports of a route are.
func (r *reports) route(key routing.Key) *exchange.Reported {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[routing.Key]*exchange.Reported{}
	}
	if r.of[key] == nil {
		r.of[key] = &exchange.Reported{}
	}
	return r.of[key]
}

// forget drops those of a route that is gone.
func (r *reports) forget(key routing.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, key)
}

// Wake implements Sink.
func (s *Sync) Wake(obj kubesource.Object) {
	u, _ := obj.(*unstructured.Unstructured)
	if u == nil {
		return
	}
	key := routing.Key{Namespace: u.GetNamespace(), Name: u.GetName()}
	s.reports.route(key).Set(u.GetKind(), reportOf(u, time.Now()))
}

// failureCounts is how long a failure counts from when the operator wrote it. The operator
// writes it again after half of that. One that has died fails no request later.
const failureCounts = time.Minute

// phases and reasons are in the order of package eta's.
var (
	phases  = []v1beta1.WakePhase{"", v1beta1.WakeScheduling, v1beta1.WakePulling, v1beta1.WakeStarting, v1beta1.WakeLoading}
	reasons = []v1beta1.WakeReason{
		"", v1beta1.WakeUnschedulable, v1beta1.WakeWaitingForNode, v1beta1.WakeQuotaExceeded, v1beta1.WakeImagePullFailed,
		v1beta1.WakeConfigError, v1beta1.WakeCrashLoop, v1beta1.WakeOOMKilled, v1beta1.WakeProbeFailing, v1beta1.WakeScaledObjectPaused,
	}
)

// reportOf returns what the status of a route reports; nil if that is nothing that is
// known. Of a reason that is not known the phase remains.
func reportOf(u *unstructured.Unstructured, now time.Time) *exchange.Report {
	field := func(name string) string {
		value, _, _ := unstructured.NestedString(u.Object, "status", "wake", name)
		return value
	}
	phase := slices.Index(phases, v1beta1.WakePhase(field("phase")))
	if phase <= 0 {
		return nil
	}
	reason := max(slices.Index(reasons, v1beta1.WakeReason(field("reason"))), 0)
	expected, _ := time.Parse(time.RFC3339, field("expectedReadyTime"))
	var failedUntil time.Time
	if failed, err := time.Parse(time.RFC3339, field("failedTime")); err == nil {
		if failed.After(now) {
			failed = now // the operator's clock is ahead
		}
		failedUntil = failed.Add(failureCounts)
	}
	return &exchange.Report{
		Kind: u.GetKind(), Stage: eta.Stage{Phase: eta.Phase(phase), Reason: eta.Reason(reason)}, Reason: string(reasons[reason]),
		Expected: expected, FailedUntil: failedUntil, At: now,
	}
}
