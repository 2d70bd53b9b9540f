package wake

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

const (
	// restartsOfFailure of a container are enough to know that it does not come up.
	restartsOfFailure = 3
	// nodesNoticed is how long the operator may take to see that an autoscaler adds a node.
	// Autoscalers look for such pods every 10 seconds, and the operator lists events every 15.
	nodesNoticed = time.Minute
	// failureEach is how often a failure is written that lasts. Interceptors believe it for
	// twice that time.
	failureEach = 30 * time.Second
)

// failed reports whether a wake cannot succeed as it is, after its reason has lasted for a
// time. If not, left is how much longer it must last, 0 for a reason that never fails. Only
// routes that fail early have failures. New nodes, probes of a container that runs, and a
// pause do not count: the wake may go on.
func failed(cold *v1beta1.ColdStartSpec, v verdict, lasted time.Duration) (failed bool, left time.Duration) {
	if cold == nil || cold.OnFailure != v1beta1.OnFailureFail {
		return false, 0
	}
	var after time.Duration
	switch v.reason {
	case v1beta1.WakeConfigError:
		after = 10 * time.Second
	case v1beta1.WakeImagePullFailed:
		after = time.Minute
	case v1beta1.WakeUnschedulable, v1beta1.WakeQuotaExceeded:
		after = 10 * time.Minute
	case v1beta1.WakeCrashLoop, v1beta1.WakeOOMKilled, v1beta1.WakeProbeFailing:
		if v.restarts == 0 {
			return false, 0
		}
		if cold.FailAfter == nil {
			return v.restarts >= restartsOfFailure, 0 // the pod changes with the next one
		}
	default:
		return false, 0
	}
	if cold.FailAfter != nil {
		after = cold.FailAfter.Duration
		if v.reason == v1beta1.WakeUnschedulable {
			after = max(after, nodesNoticed)
		}
	}
	left = max(after-lasted, 0)
	return left == 0, left
}

// failure returns when a wake failed, nil if it has not, and when that must be looked at
// again, 0 for never.
func (w *wake) failure(cold *v1beta1.ColdStartSpec, v verdict, now time.Time) (at *metav1.Time, again time.Duration) {
	if w.reason != v.reason {
		w.reason, w.stuck = v.reason, now
	}
	switch v.reason {
	case v1beta1.WakeCrashLoop, v1beta1.WakeOOMKilled, v1beta1.WakeProbeFailing:
		// A pod that has lived for weeks has restarts of its past.
		w.loops = w.loops || v.backsOff || w.shown != nil && w.shown.FailedTime != nil && w.shown.Reason == v.reason
		if !w.loops {
			return nil, 0 // the pod changes with the next one
		}
	default:
		w.loops = false
	}
	failed, left := failed(cold, v, now.Sub(w.stuck))
	if !failed {
		return nil, left
	}
	if w.shown != nil && w.shown.FailedTime != nil {
		// One that was ahead by the clock of another operator is old.
		if left := failureEach - now.Sub(w.shown.FailedTime.Time); left > 0 && left <= failureEach {
			return w.shown.FailedTime, left
		}
	}
	return &metav1.Time{Time: now}, failureEach
}
