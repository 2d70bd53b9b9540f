package wake

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

func TestWhatIsAFailure(t *testing.T) {
	wait, fail := &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureWait}, &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail}
	after := &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail, FailAfter: &metav1.Duration{Duration: 2 * time.Minute}}
	soon := &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail, FailAfter: &metav1.Duration{Duration: time.Second}}
	const never = time.Duration(-1)
	for _, test := range []struct {
		why      string
		cold     *v1beta1.ColdStartSpec
		reason   v1beta1.WakeReason
		restarts int32
		after    time.Duration
	}{
		{"no coldStart", nil, v1beta1.WakeImagePullFailed, 0, never},
		{"the default", &v1beta1.ColdStartSpec{}, v1beta1.WakeImagePullFailed, 0, never},
		{"who waits", wait, v1beta1.WakeImagePullFailed, 0, never},
		{"it gets on", fail, "", 0, never},
		{"no image", fail, v1beta1.WakeImagePullFailed, 0, time.Minute},
		{"no ConfigMap", fail, v1beta1.WakeConfigError, 0, 10 * time.Second},
		{"no room", fail, v1beta1.WakeUnschedulable, 0, 10 * time.Minute},
		{"no quota", fail, v1beta1.WakeQuotaExceeded, 0, 10 * time.Minute},
		{"an autoscaler makes room", fail, v1beta1.WakeWaitingForNode, 0, never},
		{"an autoscaler makes room, whatever the time", after, v1beta1.WakeWaitingForNode, 0, never},
		{"two restarts", fail, v1beta1.WakeCrashLoop, restartsOfFailure - 1, never},
		{"three restarts", fail, v1beta1.WakeCrashLoop, restartsOfFailure, 0},
		{"three restarts for want of memory", fail, v1beta1.WakeOOMKilled, restartsOfFailure, 0},
		{"three restarts by a probe", fail, v1beta1.WakeProbeFailing, restartsOfFailure, 0},
		{"a probe of a container that loads", after, v1beta1.WakeProbeFailing, 0, never},
		{"a pause", after, v1beta1.WakeScaledObjectPaused, 0, never},
		{"a time of the route", after, v1beta1.WakeImagePullFailed, 0, 2 * time.Minute},
		{"a time of the route, for room", after, v1beta1.WakeUnschedulable, 0, 2 * time.Minute},
		{"a time before an autoscaler is noticed", soon, v1beta1.WakeUnschedulable, 0, time.Minute},
		{"such a time, for an image", soon, v1beta1.WakeImagePullFailed, 0, time.Second},
		{"a time of the route, for crashes", after, v1beta1.WakeCrashLoop, 1, 2 * time.Minute},
	} {
		v := verdict{reason: test.reason, restarts: test.restarts}
		if test.after == never {
			if got, left := failed(test.cold, v, 24*time.Hour); got || left != 0 {
				t.Errorf("%s: failed %v, in %v", test.why, got, left)
			}
			continue
		}
		if test.after > 0 {
			if got, left := failed(test.cold, v, test.after-1); got || left != 1 {
				t.Errorf("%s: failed %v, in %v, want in 1ns", test.why, got, left)
			}
		}
		if got, _ := failed(test.cold, v, test.after); !got {
			t.Errorf("%s: no failure after %v", test.why, test.after)
		}
	}
}

func TestAFailureIsRepeatedUntilTheWakeGetsOn(t *testing.T) {
	following(t, func(f *follower) {
		f.cold = &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail}
		missing := verdict{phase: v1beta1.WakePulling, reason: v1beta1.WakeImagePullFailed}
		look := func(after, again time.Duration, lines ...string) {
			t.Helper()
			if got := f.sees(after, missing); got != again {
				t.Errorf("looks again in %v, want %v", got, again)
			}
			f.want(t, 0, lines...)
		}
		look(0, time.Minute)
		f.want(t, 10*time.Second, "1.8s shop PullingImagePullFailed", "event ImagePullFailed")
		look(50*time.Second-1, 1)
		look(1, failureEach, "1m0s shop PullingImagePullFailed failed")
		look(failureEach-time.Second, time.Second)
		look(time.Second, failureEach, "1m30s shop PullingImagePullFailed failed")
		f.sees(time.Second, verdict{phase: v1beta1.WakePulling})
		f.want(t, 0, "1m31s shop Pulling")
		look(time.Second, time.Minute, "1m32s shop PullingImagePullFailed")
		f.cold = nil
		look(time.Hour, 0)
	})
}

// A pod that has lived for weeks has restarts, and loads again after one more.
func TestAnOldPodThatRestartsIsNoFailure(t *testing.T) {
	following(t, func(f *follower) {
		f.cold = &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail, FailAfter: &metav1.Duration{Duration: time.Minute}}
		restarted := verdict{phase: v1beta1.WakeLoading, reason: v1beta1.WakeOOMKilled, restarts: restartsOfFailure + 1}
		f.sees(0, restarted)
		f.sees(time.Hour, restarted)
		f.want(t, 0, "1.8s shop LoadingOOMKilled", "event OOMKilled")
		delayed := restarted
		delayed.phase, delayed.backsOff = v1beta1.WakeStarting, true
		f.sees(time.Second, delayed)
		f.want(t, 0, "1h0m1s shop StartingOOMKilled failed")
		f.sees(time.Second, restarted) // it runs again, and may end again
		f.want(t, time.Second, "1h0m2s shop LoadingOOMKilled failed")
	})
}

// The next operator does not let requests wait for the whole time again.
func TestAFailureOutlivesItsOperator(t *testing.T) {
	following(t, func(f *follower) {
		f.cold = &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail}
		before := metav1.NewTime(f.Now().Add(-time.Minute))
		stored := &v1beta1.WakeStatus{Phase: v1beta1.WakePulling, Reason: v1beta1.WakeImagePullFailed, StartedAt: before, PhaseSince: before}
		missing := verdict{phase: v1beta1.WakePulling, reason: v1beta1.WakeImagePullFailed}
		f.target.wake = begin(stored, missing.phase, f.Now())
		f.sees(0, missing)
		f.want(t, 0)
		stored.FailedTime = new(metav1.NewTime(f.Now().Add(-failureEach)))
		f.target.wake = begin(stored, missing.phase, f.Now())
		f.sees(0, missing)
		f.want(t, 0, "0s shop PullingImagePullFailed failed", "event ImagePullFailed")
	})
}

// The clock of the operator before may have been ahead.
func TestAFailureOfAnOperatorWhoseClockWasAheadIsRenewed(t *testing.T) {
	following(t, func(f *follower) {
		f.cold = &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail}
		ahead := metav1.NewTime(f.Now().Add(time.Hour))
		stored := &v1beta1.WakeStatus{
			Phase: v1beta1.WakePulling, Reason: v1beta1.WakeImagePullFailed, StartedAt: ahead, PhaseSince: ahead, FailedTime: &ahead,
		}
		missing := verdict{phase: v1beta1.WakePulling, reason: v1beta1.WakeImagePullFailed}
		f.target.wake = begin(stored, missing.phase, f.Now())
		f.sees(0, missing)
		f.want(t, quietFor, "1.8s shop PullingImagePullFailed failed", "event ImagePullFailed")
		f.sees(failureEach-quietFor, missing)
		f.want(t, 0, "30s shop PullingImagePullFailed failed")
	})
}
