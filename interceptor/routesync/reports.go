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
func (s *Sync) Wake(obj kubesource.Object, seen bool) {
	u, _ := obj.(*unstructured.Unstructured)
	if u == nil {
		return
	}
	key := routing.Key{Namespace: u.GetNamespace(), Name: u.GetName()}
	reported, now := s.reports.route(key), time.Now()
	report, failed := reportOf(u, now)
	if report != nil && !failed.IsZero() {
		report.Failed, report.FailedUntil = failed, failureCounts(reported.Load(time.Time{}), report.Kind, failed, seen, now)
	}
	reported.Set(u.GetKind(), report)
}

// failureLasts is how long a failure counts after the operator wrote it. The operator writes it
// again after half of that. One that has died fails no request later.
const failureLasts = time.Minute

// failureCounts returns until when a failure counts that the operator found at a time of its own
// clock. before is the report that it follows. A failure whose write the watch saw counts from
// now, whatever the operator's clock shows. Otherwise only that clock says how old it is.
func failureCounts(before exchange.Report, kind string, failed time.Time, seen bool, now time.Time) time.Time {
	switch {
	case before.Kind == kind && before.Failed.Equal(failed):
		return before.FailedUntil // something else has changed
	case seen:
		return now.Add(failureLasts)
	}
	return now.Add(failureLasts - max(now.Sub(failed), 0))
}

// phases and reasons are in the order of package eta's.
var (
	phases  = []v1beta1.WakePhase{"", v1beta1.WakeScheduling, v1beta1.WakePulling, v1beta1.WakeStarting, v1beta1.WakeLoading}
	reasons = []v1beta1.WakeReason{
		"", v1beta1.WakeUnschedulable, v1beta1.WakeWaitingForNode, v1beta1.WakeQuotaExceeded, v1beta1.WakeImagePullFailed,
		v1beta1.WakeConfigError, v1beta1.WakeCrashLoop, v1beta1.WakeOOMKilled, v1beta1.WakeProbeFailing, v1beta1.WakeScaledObjectPaused,
	}
)

// reportOf returns what the status of a route reports, and when the operator found that the wake
// has failed. The report is nil if that is nothing that is known. Of a reason that is not known
// the phase remains.
func reportOf(u *unstructured.Unstructured, now time.Time) (report *exchange.Report, failed time.Time) {
	field := func(name string) string {
		value, _, _ := unstructured.NestedString(u.Object, "status", "wake", name)
		return value
	}
	phase := slices.Index(phases, v1beta1.WakePhase(field("phase")))
	if phase <= 0 {
		return nil, time.Time{}
	}
	reason := max(slices.Index(reasons, v1beta1.WakeReason(field("reason"))), 0)
	expected, _ := time.Parse(time.RFC3339, field("expectedReadyTime"))
	failed, _ = time.Parse(time.RFC3339, field("failedTime"))
	return &exchange.Report{
		Kind: u.GetKind(), Stage: eta.Stage{Phase: eta.Phase(phase), Reason: eta.Reason(reason)}, Reason: string(reasons[reason]),
		Expected: expected, At: now,
	}, failed
}
