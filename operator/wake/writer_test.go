package wake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
)

// refused is a route that no write succeeds for.
const refused = "refused"

// record is what a writer has written, and when.
type record struct {
	*writer
	start time.Time

	mu    sync.Mutex
	fail  int            // how many of the next writes fail
	tried map[string]int // how often the writes of a route failed that the API server refuses
	lines []string
}

// take returns what was written since the last call, after a time.
func (r *record) take(after time.Duration) []string {
	time.Sleep(after)
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// failNext makes a number of writes fail.
func (r *record) failNext(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = n
}

// recording runs a writer in a bubble.
func recording(t *testing.T, f func(*record)) {
	synctest.Test(t, func(t *testing.T) {
		r := &record{start: time.Now(), tried: map[string]int{}}
		patch := func(_ context.Context, to object, wake *v1beta1.WakeStatus) (*unstructured.Unstructured, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.fail > 0 {
				r.fail--
				return nil, errors.New("not now")
			}
			if to.name.Name == refused {
				r.tried[refused]++
				return nil, errors.New("refused")
			}
			line := "none"
			if wake != nil {
				line = string(wake.Phase) + string(wake.Reason)
				if wake.FailedTime != nil {
					line += " failed"
				}
			}
			r.lines = append(r.lines, fmt.Sprintf("%v %s %s", time.Since(r.start), to.name.Name, line))
			return nil, nil
		}
		event := func(_ *unstructured.Unstructured, wake *v1beta1.WakeStatus) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, "event "+string(wake.Reason))
		}
		r.writer = newWriter(patch, event, logr.Discard())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.run(ctx); close(done) }()
		f(r)
		stop()
		<-done
	})
}

func (r *record) want(t *testing.T, after time.Duration, lines ...string) {
	t.Helper()
	if got := r.take(after); !slices.Equal(got, lines) {
		t.Errorf("%v after the start: written %q, want %q", time.Since(r.start), got, lines)
	}
}

func named(name string) object {
	return object{route.InterceptorRouteKind(), types.NamespacedName{Namespace: "apps", Name: name}}
}

func in(phase v1beta1.WakePhase, reason v1beta1.WakeReason) *v1beta1.WakeStatus {
	return &v1beta1.WakeStatus{Phase: phase, Reason: reason}
}

func TestTheLatestOfARouteIsWrittenOnceASecond(t *testing.T) {
	recording(t, func(r *record) {
		a := named("a")
		r.set(a, in("Scheduling", ""), r.start)
		r.want(t, 0, "0s a Scheduling")
		r.set(a, in("Pulling", ""), r.start)
		time.Sleep(500 * time.Millisecond)
		r.set(a, in("Starting", ""), r.start)
		r.want(t, 400*time.Millisecond)
		r.want(t, 100*time.Millisecond, "1s a Starting")
		r.remove(a, false)
		r.want(t, time.Second, "2s a none")
		r.remove(a, false)
		r.want(t, time.Hour)
	})
}

func TestNothingIsWrittenOfAShortWake(t *testing.T) {
	recording(t, func(r *record) {
		a := named("a")
		r.set(a, in("Scheduling", ""), r.start.Add(quietFor))
		time.Sleep(time.Second)
		r.set(a, in("Loading", ""), r.start.Add(quietFor))
		r.want(t, quietFor-time.Second-1)
		r.remove(a, false)
		r.want(t, time.Hour)
	})
}

func TestAWakeOfAnotherOperatorIsRemoved(t *testing.T) {
	recording(t, func(r *record) {
		r.remove(named("a"), true)
		r.want(t, 0, "0s a none")
	})
}

func TestWhatIsWrongComesFirstAndFiftyASecondAreWritten(t *testing.T) {
	recording(t, func(r *record) {
		const begin, routes = time.Second, 1000
		for i := range routes {
			r.set(named(fmt.Sprintf("a%d", i)), in("Pulling", ""), r.start.Add(begin))
		}
		r.set(named("wrong"), in("Pulling", v1beta1.WakeImagePullFailed), r.start.Add(begin))
		failed := in("Pulling", v1beta1.WakeConfigError)
		failed.FailedTime = new(metav1.Now())
		r.set(named("failed"), failed, r.start.Add(begin))
		lines := r.take(begin + (routes+3)*time.Second/50 - 1)
		if first := lines[:4]; len(lines) != routes+3 || !slices.Equal(first, []string{
			"1s failed PullingConfigError failed", "event ConfigError", "1.04s wrong PullingImagePullFailed", "event ImagePullFailed",
		}) {
			t.Errorf("%d writes in %d s, the first ones are %q", len(lines), routes/50, first)
		}
		if lines := r.take(1); len(lines) != 1 {
			t.Errorf("%d more writes, want 1", len(lines))
		}
	})
}

func TestAWriterThatFailsTakesNoPlaceFromOthers(t *testing.T) {
	recording(t, func(r *record) {
		const minutes, others = 10, 20
		for i := range minutes * 60 {
			r.set(named(refused), in("Pulling", v1beta1.WakeImagePullFailed), r.start)
			for n := range others {
				r.set(named(fmt.Sprintf("a%d", n)), in("Pulling", v1beta1.WakeReason([]string{"", "CrashLoop"}[i%2])), r.start)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		// After 1, 3, 7, 15 and 31 seconds, then twice a minute.
		if n := r.tried[refused]; n < 2*minutes || n > 2*minutes+6 {
			t.Errorf("tried %d times in %d minutes", n, minutes)
		}
		lines := slices.DeleteFunc(r.take(0), func(line string) bool { return strings.HasPrefix(line, "event") })
		if want := minutes * 60 * others; len(lines) < want-others {
			t.Errorf("%d writes of others, want %d", len(lines), want)
		}
	})
}

func TestAReasonHasOneEventInAWake(t *testing.T) {
	recording(t, func(r *record) {
		a := named("a")
		for _, reason := range []v1beta1.WakeReason{v1beta1.WakeCrashLoop, "", v1beta1.WakeCrashLoop} {
			r.set(a, in("Starting", reason), r.start)
			time.Sleep(betweenWritesOfOne)
		}
		r.want(t, 0, "0s a StartingCrashLoop", "event CrashLoop", "1s a Starting", "2s a StartingCrashLoop")
		r.set(a, in("Starting", v1beta1.WakeOOMKilled), r.start)
		r.want(t, betweenWritesOfOne, "3s a StartingOOMKilled", "event OOMKilled")
		r.remove(a, false)
		r.set(a, in("Starting", v1beta1.WakeOOMKilled), r.start)
		r.remove(a, false)
		r.want(t, betweenWritesOfOne, "4s a none")
		r.set(a, in("Starting", v1beta1.WakeOOMKilled), r.start)
		r.want(t, betweenWritesOfOne, "5s a StartingOOMKilled", "event OOMKilled")
	})
}

func TestAWriteThatFailedIsTriedAgainUnlessALaterOneIsThere(t *testing.T) {
	recording(t, func(r *record) {
		a := named("a")
		r.failNext(1)
		r.set(a, in("Pulling", ""), r.start)
		r.want(t, 900*time.Millisecond)
		r.want(t, 100*time.Millisecond, "1s a Pulling")
		r.failNext(1)
		r.remove(a, false)
		r.want(t, 2*time.Second, "3s a none")
	})
}
