package demand

import (
	"fmt"
	"maps"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

func snapshot(counts queue.Counts) queue.Event {
	return queue.Event{Type: queue.Snapshot, Counts: counts}
}

func update(key string, c queue.Count) queue.Event {
	return queue.Event{Type: queue.Update, Counts: queue.Counts{key: c}}
}

const llm = "apps/llm"

func TestConcurrencyIsOfRequestsAndOneForAllLeases(t *testing.T) {
	lease := queue.Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true}
	for _, test := range []struct {
		reason      string
		reports     []queue.Count
		concurrency int64
		cold        bool
		active      bool
	}{
		{"nobody reports", nil, 0, false, false},
		{"idle", []queue.Count{{RequestCount: 3}, {}}, 0, false, false},
		{"requests add up", []queue.Count{{Concurrency: 2}, {Concurrency: 3}}, 5, false, true},
		{"three leases ask for one replica", []queue.Count{lease, lease, lease}, 1, true, true},
		{"a lease beside one request", []queue.Count{lease, {Concurrency: 1, Cold: true}}, 1, true, true},
		{"a lease beside many requests", []queue.Count{lease, {Concurrency: 7}}, 7, true, true},
		{"a cold route with requests held", []queue.Count{{Concurrency: 7, Cold: true}}, 7, true, true},
	} {
		d := New()
		for _, r := range test.reports {
			d.Interceptor().Apply(snapshot(queue.Counts{llm: r}))
		}
		got := d.State(llm)
		if got.Concurrency() != test.concurrency || got.Cold != test.cold || got.Active() != test.active {
			t.Errorf("%s: %+v, concurrency %d, active %v", test.reason, got, got.Concurrency(), got.Active())
		}
	}
}

func TestTheFleetIsAllThatIsReallyInFlight(t *testing.T) {
	d := New()
	one := d.Interceptor()
	one.Apply(snapshot(queue.Counts{"a/a": {Concurrency: 2}, "a/b": {Concurrency: 1, Leased: true, Cold: true}}))
	d.Interceptor().Apply(snapshot(queue.Counts{"a/a": {Concurrency: 3}, "b/b": {Concurrency: 1}}))
	if got := d.State(Fleet); got.Concurrency() != 6 || !got.Active() {
		t.Errorf("%+v", got)
	}
	one.Close()
	if got := d.State(Fleet).Concurrency(); got != 4 {
		t.Errorf("%d when one has gone, want 4", got)
	}
}

func TestHits(t *testing.T) {
	for _, test := range []struct {
		reason string
		events []queue.Event
		want   map[string]Hit
	}{
		{"nothing new", []queue.Event{snapshot(queue.Counts{llm: {RequestCount: 5}}), update(llm, queue.Count{RequestCount: 5})}, nil},
		{"a first request", []queue.Event{snapshot(nil), update(llm, queue.Count{Concurrency: 1, RequestCount: 1})},
			map[string]Hit{llm: Warm, Fleet: Warm}},
		{"a request that was over before it was seen", []queue.Event{snapshot(nil), update(llm, queue.Count{RequestCount: 1})},
			map[string]Hit{llm: Warm}},
		{"a request that a polled interceptor had between two looks",
			[]queue.Event{snapshot(queue.Counts{llm: {RequestCount: 1}}), snapshot(queue.Counts{llm: {RequestCount: 2}})},
			map[string]Hit{llm: Warm}},
		{"a cold request that was answered at once",
			[]queue.Event{snapshot(nil), update(llm, queue.Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true})},
			map[string]Hit{llm: Cold}},
		{"a cold request that waits",
			[]queue.Event{snapshot(nil), update(llm, queue.Count{Concurrency: 1, RequestCount: 1, Cold: true})},
			map[string]Hit{llm: Cold, Fleet: Warm}},
		{"cold at the start", []queue.Event{snapshot(queue.Counts{llm: {Concurrency: 1, RequestCount: 9, Cold: true, Leased: true}})},
			map[string]Hit{llm: Cold}},
		{"what the first report says was never heard of before is no hit", []queue.Event{snapshot(queue.Counts{llm: {RequestCount: 9}})}, nil},
		{"bookmarks", []queue.Event{snapshot(nil), {Type: queue.Bookmark}}, nil},
	} {
		d := New()
		i := d.Interceptor()
		for _, e := range test.events {
			i.Apply(e)
		}
		if got := d.Hits(); !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.reason, got, test.want)
		}
		if got := d.Hits(); len(got) > 0 {
			t.Errorf("%s: taken twice: %v", test.reason, got)
		}
	}
}

func TestFurtherHitsOfAColdRoute(t *testing.T) {
	d := New()
	a, b := d.Interceptor(), d.Interceptor()
	step := func(i *Interceptor, c queue.Count, want Hit) {
		t.Helper()
		i.Apply(update(llm, c))
		if got := d.Hits()[llm]; got != want {
			t.Errorf("%+v is hit %d, want %d", c, got, want)
		}
	}
	a.Apply(snapshot(nil))
	b.Apply(snapshot(nil))
	step(a, queue.Count{Concurrency: 1, RequestCount: 1, Cold: true}, Cold)
	step(a, queue.Count{Concurrency: 2, RequestCount: 2, Cold: true}, StillCold)
	step(b, queue.Count{Concurrency: 1, RequestCount: 1, Cold: true}, StillCold) // at another interceptor
	step(a, queue.Count{Concurrency: 1, RequestCount: 2, Cold: true}, 0)         // a client has left
	step(a, queue.Count{Concurrency: 1, RequestCount: 2}, 0)                     // ready, as a sees it
	step(b, queue.Count{Concurrency: 0, RequestCount: 1}, 0)
	step(a, queue.Count{Concurrency: 2, RequestCount: 3}, 0) // it never was idle
	step(a, queue.Count{Concurrency: 0, RequestCount: 3}, 0)
	step(a, queue.Count{Concurrency: 1, RequestCount: 4, Cold: true, Leased: true}, Cold)
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New()
		d.Begin()
		d.Measure(llm, time.Minute, time.Second)
		a, b := d.Interceptor(), d.Interceptor()
		rate := func(reason string, want float64) {
			t.Helper()
			if got := d.State(llm).Rate; math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: %v, want %v", reason, got, want)
			}
		}
		a.Apply(snapshot(queue.Counts{llm: {RequestCount: 1_000_000}}))
		rate("requests of an unknown time", 0)
		a.Apply(update(llm, queue.Count{RequestCount: 1_000_060}))
		rate("60 in a minute", 1)
		b.Apply(snapshot(nil))
		b.Apply(update(llm, queue.Count{RequestCount: 60}))
		rate("interceptors add up, and a route that is new to one counts whole", 2)
		a.Apply(snapshot(queue.Counts{llm: {RequestCount: 30}}))
		rate("an interceptor that was restarted had 30 since", 2.5)
		b.Apply(snapshot(nil))
		b.Apply(update(llm, queue.Count{RequestCount: 30}))
		rate("a route that was made again", 3)
		b.Apply(snapshot(queue.Counts{llm: {RequestCount: 60}}))
		rate("a stream that was opened anew", 3.5)
		b.Close()
		rate("requests stay counted when their interceptor goes", 3.5)
		if !d.State(llm).Active() {
			t.Error("a rate alone does not make the route active")
		}
		<-time.After(62 * time.Second)
		rate("a minute later", 0)
		if d.State(llm).Active() {
			t.Error("stays active after the window")
		}
		d.Forget(llm)
		a.Apply(update(llm, queue.Count{RequestCount: 600}))
		rate("nobody measures", 0)
	})
}

// A scaler that was restarted has missed what was before, and must not take that
// for silence.
func TestRatesResumeAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New()
		d.Measure(llm, time.Minute, time.Second)
		d.Begin()
		d.Measure("apps/new", time.Minute, time.Second)
		i := d.Interceptor()
		i.Apply(snapshot(queue.Counts{llm: {RequestCount: 4711}}))
		for n := range int64(100) { // 100 a second
			<-time.After(10 * time.Millisecond)
			i.Apply(queue.Event{Type: queue.Update, Counts: queue.Counts{
				llm: {RequestCount: 4712 + n}, "apps/new": {RequestCount: 1 + n},
			}})
		}
		<-time.After(4 * time.Second)
		if got := d.State(llm).Rate; math.Abs(got-20) > 0.1 {
			t.Errorf("a route that was there: %v, want 100 requests in the 5 s that are known", got)
		}
		if got := d.State("apps/new").Rate; math.Abs(got-100.0/60) > 0.01 {
			t.Errorf("a route that is new: %v, want 100 requests in a minute", got)
		}
	})
}

func TestChangedMeasures(t *testing.T) {
	d := New()
	d.Begin()
	i := d.Interceptor()
	i.Apply(snapshot(nil))
	d.Measure(llm, time.Minute, time.Second)
	i.Apply(update(llm, queue.Count{RequestCount: 120}))
	d.Measure(llm, 2*time.Minute, 10*time.Second)
	if got := d.State(llm).Rate; math.Abs(got-1) > 0.01 {
		t.Errorf("%v, want 120 requests in two minutes", got)
	}
}

// Whoever edits how a busy route is scaled sees its rate at once, not a part of it
// until the window has filled up.
func TestRatesAreRightWhenAMeasureChanges(t *testing.T) {
	for _, test := range []struct {
		reason        string
		before, after time.Duration // length of the window; 0 means no window
		known         time.Duration // before the change
	}{
		{"the rate was not measured", 0, time.Minute, time.Minute},
		{"the window becomes longer", 10 * time.Second, 5 * time.Minute, time.Minute},
		{"the window becomes longer twice", 10 * time.Second, 20 * time.Second, 15 * time.Second},
		{"the window becomes shorter", time.Minute, 10 * time.Second, 2 * time.Minute},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := New()
				d.Begin()
				i := d.Interceptor()
				i.Apply(snapshot(queue.Counts{llm: {}}))
				if test.before > 0 {
					d.Measure(llm, test.before, time.Second)
				}
				requests := int64(0)
				serve := func(length time.Duration) { // 100 a second
					for range length / (100 * time.Millisecond) {
						<-time.After(100 * time.Millisecond)
						requests += 10
						i.Apply(update(llm, queue.Count{RequestCount: requests}))
					}
				}
				serve(test.known)
				d.Measure(llm, test.after, time.Second)
				for range 10 {
					serve(2 * time.Second)
					if got := d.State(llm).Rate; math.Abs(got-100) > 11 {
						t.Fatalf("%v, want 100", got)
					}
				}
				d.Measure(llm, 2*test.after, time.Second)
				if got := d.State(llm).Rate; math.Abs(got-100) > 11 {
					t.Errorf("%v after another change, want 100", got)
				}
			})
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	d := New()
	i := d.Interceptor()
	for n := range 100 {
		key := fmt.Sprintf("apps/%d", n)
		d.Measure(key, time.Minute, time.Second)
		i.Apply(snapshot(queue.Counts{key: {Concurrency: 1, RequestCount: 1}}))
		d.Forget(key)
	}
	i.Close()
	if len(d.routes) > 0 || d.fleet.inFlight != 0 || len(d.Hits()) > 1 {
		t.Errorf("%d routes, %d in flight, hits %v", len(d.routes), d.fleet.inFlight, d.hits)
	}
}

// Every total against the sums of what was reported last.
func TestTotalsAreTheSums(t *testing.T) {
	d := New()
	var all []*Interceptor
	last := make([]queue.Counts, 5)
	for range last {
		all = append(all, d.Interceptor())
	}
	for n := range 5000 {
		who, key := n*7%5, fmt.Sprintf("apps/%d", n*13%11)
		c := queue.Count{Concurrency: int64(n * 31 % 4), RequestCount: int64(n)}
		c.Cold = n%3 == 0
		if c.Leased = c.Cold && c.Concurrency == 0; c.Leased {
			c.Concurrency = 1
		}
		if n%17 == 0 {
			last[who] = queue.Counts{key: c}
			all[who].Apply(snapshot(maps.Clone(last[who])))
		} else {
			if last[who] == nil {
				last[who] = queue.Counts{}
			}
			last[who][key] = c
			all[who].Apply(update(key, c))
		}
		var want State
		for _, counts := range last {
			c := counts[key]
			want.InFlight += requestsOf(c)
			want.Leased, want.Cold = want.Leased || c.Leased, want.Cold || c.Cold
		}
		if got := d.State(key); got != want {
			t.Fatalf("step %d: %+v, want %+v", n, got, want)
		}
	}
}
