package coldstart

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// warmUpWorld is a fleet of interceptors with a route "a" that has a warm-up and needs the route "b".
type warmUpWorld struct {
	ahead    atomic.Int64 // the clocks on the wall are ahead of the bubble's time, in nanoseconds
	trackers []*inflight.Tracker
	warm     []*atomic.Pointer[[]*exchange.Route]
	changed  []chan struct{}
	sum      *demand.Aggregate
	reports  []*demand.Interceptor
}

func newWarmUpWorld(t *testing.T, now string, interceptors int, spec v1beta1.WarmUp) *warmUpWorld {
	t.Helper()
	warmUp, problem := route.CompileWarmUp(&spec)
	if problem != nil {
		t.Fatal(problem.Message)
	}
	w := &warmUpWorld{sum: demand.New()}
	w.set(t, now)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		synctest.Wait()
	})
	for range interceptors {
		tracker := inflight.NewTracker(nil)
		b := &exchange.Route{Namespace: "ns", Name: "b", InFlight: tracker.Route("ns/b")}
		a := &exchange.Route{
			Namespace: "ns", Name: "a", InFlight: tracker.Route("ns/a"), WarmUps: []*route.WarmUp{warmUp},
			Needs: []routing.Key{{Namespace: "ns", Name: "b"}, {Namespace: "ns", Name: "gone"}},
		}
		c := New(nil, Options{Now: w.now, Route: func(key routing.Key) (*exchange.Route, bool) { return b, key.Name == "b" }})
		changed := make(chan struct{}, 1)
		warm := &atomic.Pointer[[]*exchange.Route]{}
		warm.Store(&[]*exchange.Route{a})
		w.warm = append(w.warm, warm)
		go c.KeepWarm(ctx, func() []*exchange.Route { return *warm.Load() }, changed)
		w.trackers, w.changed = append(w.trackers, tracker), append(w.changed, changed)
		w.reports = append(w.reports, w.sum.Interceptor())
	}
	synctest.Wait()
	return w
}

// replicas is what the fleet asks for, for a route.
func (w *warmUpWorld) replicas(key string) int64 {
	for i, tracker := range w.trackers {
		w.reports[i].Apply(queue.Event{Type: queue.Snapshot, Counts: tracker.Counts()})
	}
	return w.sum.State(key).Concurrency()
}

// set sets the clocks on the wall.
func (w *warmUpWorld) set(t *testing.T, text string) {
	t.Helper()
	w.ahead.Store(int64(time.Until(parseTime(t, text))))
}

// now is what the clocks on the wall show.
func (w *warmUpWorld) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// until lets time pass.
func (w *warmUpWorld) until(t *testing.T, text string) {
	t.Helper()
	<-time.After(parseTime(t, text).Sub(w.now()))
	synctest.Wait()
}

func parseTime(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// In 2026, clocks in Berlin change on March 29 and October 25.
func TestWarmUpInBerlin(t *testing.T) {
	type step struct {
		at   string
		want int64
	}
	for start, steps := range map[string][]step{
		"2026-03-28T00:00:00Z": {
			{"2026-03-28T06:59:59Z", 0}, {"2026-03-28T07:00:01Z", 1}, {"2026-03-28T07:59:59Z", 1}, {"2026-03-28T08:00:01Z", 0},
			{"2026-03-29T05:59:59Z", 0}, {"2026-03-29T06:00:01Z", 1}, {"2026-03-29T06:59:59Z", 1}, {"2026-03-29T07:00:01Z", 0},
		},
		"2026-10-24T00:00:00Z": {
			{"2026-10-24T05:59:59Z", 0}, {"2026-10-24T06:00:01Z", 1}, {"2026-10-24T06:59:59Z", 1}, {"2026-10-24T07:00:01Z", 0},
			{"2026-10-25T06:59:59Z", 0}, {"2026-10-25T07:00:01Z", 1}, {"2026-10-25T07:59:59Z", 1}, {"2026-10-25T08:00:01Z", 0},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWarmUpWorld(t, start, 3, v1beta1.WarmUp{Cron: "0 8 * * *", TimeZone: "Europe/Berlin", For: metav1.Duration{Duration: time.Hour}})
			for _, step := range steps {
				w.until(t, step.at)
				for _, key := range []string{"ns/a", "ns/b"} {
					if got := w.replicas(key); got != step.want {
						t.Errorf("at %s, %s: %d replicas, want %d", step.at, key, got, step.want)
					}
				}
			}
		})
	}
}

// A warm-up that is added counts at once, and one that is removed soon does not.
func TestWarmUpsThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmUpWorld(t, "2026-05-02T06:00:00Z", 1, v1beta1.WarmUp{Cron: "0 8 * * *", For: metav1.Duration{Duration: 10 * time.Hour}})
		added := w.warm[0].Swap(&[]*exchange.Route{})
		w.until(t, "2026-05-02T09:00:10Z")
		if got := w.replicas("ns/a"); got != 0 {
			t.Errorf("before it is added: %d replicas", got)
		}
		w.warm[0].Store(added)
		w.changed[0] <- struct{}{}
		w.until(t, "2026-05-02T09:00:11Z")
		if got := w.replicas("ns/a"); got != 1 {
			t.Errorf("added: %d replicas", got)
		}
		w.warm[0].Store(&[]*exchange.Route{})
		w.until(t, "2026-05-02T09:01:50Z")
		if got := w.replicas("ns/a"); got != 0 {
			t.Errorf("removed: %d replicas", got)
		}
	})
}

// Warm-ups follow clocks that are set, within the time of two looks at them. A hold does not last
// longer because a clock was set back.
func TestWarmUpsWhoseClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmUpWorld(t, "2026-05-02T06:00:30Z", 1, v1beta1.WarmUp{Cron: "0 8 * * *", For: metav1.Duration{Duration: time.Hour}})
		for _, step := range []struct {
			set, at string
			want    int64
		}{
			{"2026-05-02T08:30:00Z", "2026-05-02T08:31:00Z", 1},
			{"2026-05-02T05:00:00Z", "2026-05-02T05:01:30Z", 0},
			{"2026-05-03T08:30:00Z", "2026-05-03T08:31:00Z", 1},
			{"2026-05-04T12:00:00Z", "2026-05-04T12:01:30Z", 0},
		} {
			w.set(t, step.set)
			w.until(t, step.at)
			if got := w.replicas("ns/a"); got != step.want {
				t.Errorf("at %s, after the clocks were set: %d replicas, want %d", step.at, got, step.want)
			}
		}
	})
}
