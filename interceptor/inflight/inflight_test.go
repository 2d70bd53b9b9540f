package inflight

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/queue"
)

const route = "ns/llm"

// clock is a time that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func (c *clock) pass(d time.Duration) { c.Time = c.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)} }

// signalled says whether a signal was pending, and takes it.
func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func expect(t *testing.T, tracker *Tracker, want queue.Counts) {
	t.Helper()
	if diff := cmp.Diff(want, tracker.Counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestRequestsAreCountedOnce(t *testing.T) {
	tracker := NewTracker(nil)
	r := tracker.Route(route)
	tracker.Route("ns/idle")
	if tracker.Route(route) != r {
		t.Fatal("a route has two handles")
	}
	first, second := r.Acquire(), r.Acquire()
	expect(t, tracker, queue.Counts{route: {Concurrency: 2, RequestCount: 2}, "ns/idle": {}})
	first()
	first()
	expect(t, tracker, queue.Counts{route: {Concurrency: 1, RequestCount: 2}, "ns/idle": {}})
	second()
	first()
	second()
	expect(t, tracker, queue.Counts{route: {RequestCount: 2}, "ns/idle": {}})
	r.Acquire()
	if r.InFlight() != 1 {
		t.Errorf("%d in flight after the counter was released too often, want 1", r.InFlight())
	}
}

func TestHoldHasACap(t *testing.T) {
	tests := map[string]struct {
		max, want int
	}{
		"no cap": {0, 5},
		"one":    {1, 1},
		"three":  {3, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := NewTracker(nil).Route(route)
			held := 0
			for range 5 {
				if r.Hold(test.max) {
					held++
				}
			}
			if held != test.want || r.Held() != int64(test.want) {
				t.Errorf("%d of 5 got a place, %d held, want %d", held, r.Held(), test.want)
			}
			for range held {
				r.Unhold()
			}
			if r.Held() != 0 {
				t.Errorf("%d held at the end", r.Held())
			}
			if !r.Hold(test.max) {
				t.Error("a place that was given back cannot be taken")
			}
		})
	}
}

func TestALeaseOutlivesTheRequest(t *testing.T) {
	c := newClock()
	tracker := NewTracker(c.now)
	r := tracker.Route(route)
	release := r.Acquire()
	r.Cold(10*time.Minute, func() bool { return false })
	expect(t, tracker, queue.Counts{route: {Concurrency: 1, RequestCount: 1, Cold: true}})
	release()
	expect(t, tracker, queue.Counts{route: {Concurrency: 1, RequestCount: 1, Cold: true, Leased: true}})
	if r.InFlight() != 0 {
		t.Error("the lease is in flight")
	}
	c.pass(10*time.Minute - 1)
	if !r.Leased() {
		t.Error("the lease ended early")
	}
	c.pass(1)
	if r.Leased() {
		t.Error("the lease did not run out")
	}
	expect(t, tracker, queue.Counts{route: {RequestCount: 1}})
}

func TestEachColdHitRenewsTheLease(t *testing.T) {
	c := newClock()
	r := NewTracker(c.now).Route(route)
	r.Cold(time.Minute, nil)
	c.pass(59 * time.Second)
	r.Cold(time.Minute, nil)
	c.pass(59 * time.Second)
	if !r.Leased() {
		t.Error("the second cold hit did not renew the lease")
	}
}

func TestALeaseEndsForGoodWhenTheTargetWasSeenReady(t *testing.T) {
	looks := map[string]func(*Tracker, *Route){
		"by Leased": func(_ *Tracker, r *Route) { r.Leased() },
		"by Counts": func(tracker *Tracker, _ *Route) { tracker.Counts() },
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			tracker := NewTracker(nil)
			r := tracker.Route(route)
			ready := false
			r.Cold(time.Hour, func() bool { return ready })
			if look(tracker, r); !r.Leased() {
				t.Fatal("the lease ended while nothing was ready")
			}
			ready = true
			look(tracker, r)
			ready = false // it sleeps again
			if r.Leased() {
				t.Error("a target that was ready and sleeps again is woken by an old lease")
			}
			expect(t, tracker, queue.Counts{route: {}})
			r.Cold(time.Hour, func() bool { return ready })
			if !r.Leased() {
				t.Error("a new cold hit takes no new lease")
			}
		})
	}
}

func TestSignals(t *testing.T) {
	tracker := NewTracker(nil)
	r := tracker.Route(route)
	var releases []func()
	acquire := func() { releases = append(releases, r.Acquire()) }
	release := func() { releases[0](); releases = releases[1:] }
	steps := []struct {
		name string
		do   func()
		want bool
	}{
		{"first request", acquire, true},
		{"second request", acquire, false},
		{"one of two ends", release, false},
		{"the last one ends", release, true},
		{"a cold hit", func() { r.Cold(time.Minute, nil) }, true},
		{"another cold hit", func() { r.Cold(time.Minute, nil) }, true},
		{"first request while leased", acquire, true},
		{"held", func() { r.Hold(0) }, false},
		{"forget", func() { tracker.Forget(route) }, true},
		{"forget again", func() { tracker.Forget(route) }, false},
		{"forget an unknown one", func() { tracker.Forget("ns/unknown") }, false},
	}
	one, cancelOne := tracker.Subscribe()
	two, cancelTwo := tracker.Subscribe()
	for _, step := range steps {
		step.do()
		if a, b := signalled(one), signalled(two); a != step.want || b != step.want {
			t.Errorf("%s: signals %v and %v, want %v", step.name, a, b, step.want)
		}
	}
	cancelOne()
	cancelOne()
	r.Cold(time.Minute, nil)
	r.Cold(time.Minute, nil)
	if signalled(one) || !signalled(two) || signalled(two) {
		t.Error("want no signal after cancel, and one for two changes")
	}
	cancelTwo()
	r.Cold(time.Minute, nil)
	if signalled(two) {
		t.Error("a signal after all have cancelled")
	}
}

func TestForget(t *testing.T) {
	tracker := NewTracker(nil)
	r := tracker.Route(route)
	r.Cold(time.Hour, nil)
	tracker.Forget(route)
	expect(t, tracker, queue.Counts{})
	if r = tracker.Route(route); r.Leased() {
		t.Error("the lease outlived the route")
	}

	release := r.Acquire()
	r.Cold(time.Hour, nil)
	tracker.Forget(route)
	expect(t, tracker, queue.Counts{})
	tracker.Each(func(key string, _ *Route) { t.Errorf("%s is still there", key) })
	if tracker.Route(route) != r {
		t.Error("a route that was deleted and made again lost the request that still waits")
	}
	expect(t, tracker, queue.Counts{route: {Concurrency: 1, RequestCount: 1}})
	tracker.Forget(route)
	release()
	if n := len(tracker.routes); n != 0 {
		t.Errorf("%d routes are kept after the last request of a forgotten one", n)
	}
	release()
	if r.InFlight() != 0 {
		t.Errorf("%d in flight", r.InFlight())
	}
}

func TestEach(t *testing.T) {
	tracker := NewTracker(nil)
	want := map[string]*Route{"a/b": tracker.Route("a/b"), "c/d": tracker.Route("c/d")}
	got := map[string]*Route{}
	tracker.Each(func(key string, r *Route) { got[key] = r })
	if len(got) != 2 || got["a/b"] != want["a/b"] || got["c/d"] != want["c/d"] {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestConcurrentUse is for the race detector; the counts must end at zero, the
// total must hold every request.
func TestConcurrentUse(t *testing.T) {
	const clients, requests, places = 16, 200, 4
	tracker := NewTracker(nil)
	var all sync.WaitGroup
	changed, cancel := tracker.Subscribe()
	defer cancel()
	for range clients {
		all.Go(func() {
			r := tracker.Route(route)
			for range requests {
				release := r.Acquire()
				if r.Hold(places) {
					if n := r.Held(); n > places {
						t.Errorf("%d held of at most %d", n, places)
					}
					r.Unhold()
				}
				r.Cold(time.Hour, func() bool { return true })
				all.Go(release)
				release()
				for _, c := range tracker.Counts() {
					if c.Concurrency < 0 || c.Concurrency > clients {
						t.Errorf("concurrency %d of %d clients", c.Concurrency, clients)
					}
				}
				_, cancel := tracker.Subscribe()
				cancel()
			}
		})
	}
	all.Wait()
	expect(t, tracker, queue.Counts{route: {RequestCount: clients * requests}})
	if !signalled(changed) {
		t.Error("no signal")
	}
}

func TestAcquireAllocatesNothing(t *testing.T) {
	r := NewTracker(nil).Route(route)
	r.Acquire()
	got := testing.AllocsPerRun(1000, func() {
		release := r.Acquire()
		defer release()
	})
	if got != 0 {
		t.Errorf("%v allocations per request", got)
	}
}

func BenchmarkAcquire(b *testing.B) {
	b.Run("busy", func(b *testing.B) {
		r := NewTracker(nil).Route(route)
		r.Acquire()
		b.ReportAllocs()
		for b.Loop() {
			r.Acquire()()
		}
	})
	b.Run("busy/parallel", func(b *testing.B) {
		r := NewTracker(nil).Route(route)
		r.Acquire()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.Acquire()()
			}
		})
	})
	b.Run("escaping", func(b *testing.B) { // release is kept elsewhere
		r := NewTracker(nil).Route(route)
		r.Acquire()
		kept := make([]func(), 1)
		b.ReportAllocs()
		for b.Loop() {
			kept[0] = r.Acquire()
			kept[0]()
		}
	})
	b.Run("edges", func(b *testing.B) { // each request is a first and a last one, to three scalers
		tracker := NewTracker(nil)
		r := tracker.Route(route)
		for range 3 {
			_, cancel := tracker.Subscribe()
			defer cancel()
		}
		b.ReportAllocs()
		for b.Loop() {
			r.Acquire()()
		}
	})
}

func BenchmarkCold(b *testing.B) {
	r := NewTracker(nil).Route(route)
	ready := func() bool { return false }
	b.ReportAllocs()
	for b.Loop() {
		r.Cold(time.Minute, ready)
	}
}

func BenchmarkCounts(b *testing.B) {
	tracker := NewTracker(nil)
	for i := range 10000 {
		tracker.Route(time.Duration(i).String())
	}
	b.ReportAllocs()
	for b.Loop() {
		tracker.Counts()
	}
}
