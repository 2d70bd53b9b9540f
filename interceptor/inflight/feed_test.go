package inflight

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// take takes all that a feed has of an urgency.
func take(f queue.Feed, u queue.Urgency) queue.Counts {
	got := queue.Counts{}
	for f.Take(u, 3, func(route string, c queue.Count) { got[route] = c }) {
	}
	return got
}

func TestFeed(t *testing.T) {
	c := newClock()
	tracker := NewTracker(c.now)
	a, b := tracker.Route("ns/a"), tracker.Route("ns/b")
	f, other := tracker.Feed(), tracker.Feed()
	defer f.Close()
	defer other.Close()
	ready := false
	var releaseA func()
	none := queue.Counts{}
	steps := []struct {
		name                   string
		do                     func()
		atOnce, soon, gathered queue.Counts
		removed                bool
	}{
		{name: "routes are new", do: func() {}, gathered: queue.Counts{"ns/a": {}, "ns/b": {}}},
		{name: "nothing", do: func() {}},
		{
			name: "first request", do: func() { releaseA = a.Acquire() },
			soon:     queue.Counts{"ns/a": {Concurrency: 1, RequestCount: 1}},
			gathered: queue.Counts{"ns/a": {Concurrency: 1, RequestCount: 1}},
		},
		{
			name: "busy", do: func() { a.Acquire()(); a.Acquire()() },
			gathered: queue.Counts{"ns/a": {Concurrency: 1, RequestCount: 3}},
		},
		{
			name: "last request", do: func() { releaseA() },
			soon:     queue.Counts{"ns/a": {RequestCount: 3}},
			gathered: queue.Counts{"ns/a": {RequestCount: 3}},
		},
		{
			name: "cold hit", do: func() { b.Cold(time.Minute, func() bool { return ready }) },
			atOnce:   queue.Counts{"ns/b": {Concurrency: 1, Cold: true, Leased: true}},
			gathered: queue.Counts{"ns/b": {Concurrency: 1, Cold: true, Leased: true}},
		},
		{
			name: "a lease may end any time", do: func() {},
			gathered: queue.Counts{"ns/b": {Concurrency: 1, Cold: true, Leased: true}},
		},
		{name: "the target is ready", do: func() { ready = true }, gathered: queue.Counts{"ns/b": {}}},
		{name: "the lease is over", do: func() {}},
		{
			name: "two cold hits", do: func() { a.Cold(time.Minute, nil); b.Cold(time.Minute, nil); tracker.Forget("ns/b") },
			atOnce:   queue.Counts{"ns/a": {Concurrency: 1, RequestCount: 3, Cold: true, Leased: true}},
			gathered: queue.Counts{"ns/a": {Concurrency: 1, RequestCount: 3, Cold: true, Leased: true}},
			removed:  true,
		},
		{name: "time is up", do: func() { c.pass(time.Hour) }, gathered: queue.Counts{"ns/a": {RequestCount: 3}}},
		{name: "a route comes back", do: func() { tracker.Route("ns/b") }, gathered: queue.Counts{"ns/b": {}}},
		{
			name:     "a route goes and comes back with its request",
			do:       func() { a.Acquire(); tracker.Forget("ns/a"); tracker.Route("ns/a") },
			removed:  true,
			gathered: queue.Counts{"ns/a": {Concurrency: 1, RequestCount: 4}},
		},
	}
	for i, step := range steps {
		step.do()
		readers := []queue.Feed{f, other}
		if i%2 == 1 { // what one takes stays with the other
			readers = []queue.Feed{other, f}
		}
		for _, f := range readers {
			removed := f.Round()
			got := []queue.Counts{take(f, queue.AtOnce), take(f, queue.Soon), take(f, queue.Gathered)}
			want := []queue.Counts{step.atOnce, step.soon, step.gathered}
			for u, w := range want {
				if w == nil {
					w = none
				}
				if diff := cmp.Diff(w, got[u]); diff != "" {
					t.Errorf("%s, urgency %d (-want +got):\n%s", step.name, u, diff)
				}
			}
			if removed != step.removed {
				t.Errorf("%s: removed is %v", step.name, removed)
			}
		}
	}
}

func TestFeedSignals(t *testing.T) {
	tracker := NewTracker(nil)
	f := tracker.Feed()
	soon, atOnce := f.Changed(queue.Soon), f.Changed(queue.AtOnce)
	expect := func(name string, wantSoon, wantAtOnce bool) {
		t.Helper()
		if a, b := signalled(soon), signalled(atOnce); a != wantSoon || b != wantAtOnce {
			t.Errorf("%s: soon %v, at once %v", name, a, b)
		}
	}
	if f.Changed(queue.Gathered) != nil {
		t.Error("gathered changes have a signal")
	}
	var routes []*Route
	for i := range 5 {
		routes = append(routes, tracker.Route(fmt.Sprint("ns/", i)))
	}
	expect("new routes", false, false)
	for _, r := range routes {
		r.Acquire()
	}
	expect("first requests", true, false)
	routes[0].Acquire()
	expect("second request", false, false)
	nothing := func(string, queue.Count) {}
	if !f.Take(queue.Soon, 3, nothing) {
		t.Error("3 of 5 are all")
	}
	expect("some are left", true, false)
	if f.Take(queue.Soon, 3, nothing) {
		t.Error("there is more than all")
	}
	expect("none are left", false, false)
	routes[0].Cold(time.Minute, nil)
	expect("cold hit", false, true)
	f.Close()
	routes[0].Cold(time.Minute, nil)
	expect("closed", false, false)
}

func TestAllLooksAtLeasesAgain(t *testing.T) {
	c := newClock()
	tracker := NewTracker(c.now)
	tracker.Route("ns/a").Cold(time.Minute, nil)
	f := tracker.Feed()
	defer f.Close()
	take(f, queue.Gathered) // recorded before; All is to be the only source
	f.Round()
	take(f, queue.Gathered)
	tracker.Route("ns/a").Cold(2*time.Minute, nil)
	g := tracker.Feed()
	defer g.Close()
	take(f, queue.Gathered)
	take(f, queue.AtOnce)
	take(g, queue.Gathered)
	take(g, queue.AtOnce)
	all := queue.Counts{}
	g.All(func(route string, c queue.Count) { all[route] = c })
	want := queue.Counts{"ns/a": {Concurrency: 1, Cold: true, Leased: true}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	c.pass(time.Hour)
	g.Round()
	if diff := cmp.Diff(queue.Counts{"ns/a": {}}, take(g, queue.Gathered)); diff != "" {
		t.Errorf("after the lease (-want +got):\n%s", diff)
	}
}

// held is how many routes the lists of the tracker hold.
func held(tracker *Tracker) (n int) {
	for u := range urgencies {
		c := &tracker.changes[u]
		for _, r := range []*Route{c.head.Load(), c.taken} {
			for ; r != nil; r = r.next[u] {
				n++
			}
		}
	}
	return n
}

// Routes come and go while no one listens, or a reader does not read.
func TestForgottenRoutesAreNotKept(t *testing.T) {
	for _, feeds := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(feeds, " feeds"), func(t *testing.T) {
			tracker := NewTracker(nil)
			var all []*feed
			for range feeds {
				f := tracker.Feed().(*feed)
				defer f.Close()
				all = append(all, f)
			}
			for i := range 10000 {
				key := fmt.Sprint("ns/", i)
				r := tracker.Route(key)
				release := r.Acquire()
				r.Cold(time.Hour, nil)
				if i%2 == 0 {
					release()
					tracker.Forget(key)
				} else {
					tracker.Forget(key)
					release()
				}
			}
			if n := held(tracker); n > 10 {
				t.Errorf("the tracker keeps %d", n)
			}
			for _, f := range all {
				for u := range f.pending {
					if n := len(f.pending[u].routes); n > 0 {
						t.Errorf("a feed keeps %d", n)
					}
				}
				if n := len(f.again.routes); n > 0 {
					t.Errorf("a feed keeps %d leases", n)
				}
			}
		})
	}
}

func TestASetShrinksAfterABurst(t *testing.T) {
	var s routeSet
	burst := make([]*Route, 100000)
	for i := range burst {
		burst[i] = new(Route)
	}
	fill := func(n int) {
		for _, r := range burst[:n] {
			s.add(r)
		}
		for _, r := range burst[:n] {
			s.remove(r)
		}
	}
	fill(len(burst))
	fill(len(burst) / 4)
	if s.routes == nil {
		t.Error("the space of a set that is used is thrown away")
	}
	fill(1)
	if s.routes != nil || s.size > smallSet {
		t.Error("one route walks over the space of 100,000")
	}
	fill(1)
	if s.routes == nil {
		t.Error("a small set is allocated each time")
	}
}

// In the end, every reader knows the current counts. No change is lost, whatever the order in
// which requests and readers run.
func TestNoChangeIsLost(t *testing.T) {
	const routes, clients, requests = 20, 8, 500
	tracker := NewTracker(nil)
	key := func(n int) string { return fmt.Sprint("ns/", n%routes) }
	var working, reading sync.WaitGroup
	done := make(chan struct{})
	var awake atomic.Bool
	for seed := range uint64(clients) {
		working.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range requests {
				r := tracker.Route(key(random.Int()))
				release := r.Acquire()
				switch random.IntN(30) {
				case 0:
					tracker.Forget(key(random.Int()))
				case 1, 2, 3:
					r.Cold(time.Hour, awake.Load)
				}
				release()
			}
		})
	}
	for u := range urgencies { // readers of one urgency, and the signals of it
		reading.Go(func() {
			f := tracker.Feed()
			defer f.Close()
			heard := queue.Counts{}
			hear := func(route string, c queue.Count) { heard[route] = c }
			f.All(hear) // what was before
			for over := false; !over; {
				select {
				case <-done:
					over = true
				case <-f.Changed(u):
				default:
				}
				if f.Round() {
					clear(heard)
					f.All(hear)
				}
				for f.Take(u, 3, hear) {
				}
				if over {
					for f.Take(queue.Gathered, 3, hear) {
					}
				}
			}
			if diff := cmp.Diff(tracker.Counts(), heard); diff != "" {
				t.Errorf("urgency %d (-is +heard):\n%s", u, diff)
			}
		})
	}
	working.Wait()
	awake.Store(true) // all leases end
	close(done)
	reading.Wait()
}

func BenchmarkFeed(b *testing.B) {
	for _, n := range []int{10, 10000, 100000} {
		tracker := NewTracker(nil)
		routes := make([]*Route, n)
		for i := range routes {
			routes[i] = tracker.Route(fmt.Sprint("some-namespace/route-", i))
		}
		f := tracker.Feed()
		known := queue.Counts{}
		hear := func(route string, c queue.Count) { known[route] = c }
		f.All(hear)
		for f.Take(queue.Gathered, 256, hear) {
		}
		b.Run(fmt.Sprint("one of ", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				routes[n/2].Acquire()()
				f.Take(queue.Soon, 256, hear)
			}
		})
		b.Run(fmt.Sprint("round of 10 of ", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i := range 10 {
					routes[i*n/10].Acquire()()
				}
				f.Round()
				f.Take(queue.Gathered, 256, hear)
			}
		})
		b.Run(fmt.Sprint("all of ", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				clear(known)
				f.All(hear)
			}
		})
		if len(known) != n {
			b.Errorf("%d of %d routes were reported", len(known), n)
		}
		f.Close()
	}
}
