package scale

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
)

func TestDecide(t *testing.T) {
	concurrency := []Metric{{Route: "default/a", Concurrency: 10}}
	both := []Metric{{Route: "default/a", Concurrency: 10, Rate: 2, Window: time.Minute, Granularity: time.Second}}
	two := []Metric{{Route: "default/a", Concurrency: 10}, {Route: "default/b", Concurrency: 1}}
	base := Target{Metrics: concurrency, Max: 5, Cooldown: time.Minute}
	with := func(change func(*Target)) Target {
		target := base
		change(&target)
		return target
	}
	type step struct {
		at     time.Duration
		a, b   queue.Count
		want   int
		reason string
	}
	tests := map[string]struct {
		target Target
		steps  []step
	}{
		"arithmetic": {base, []step{
			{0, queue.Count{}, queue.Count{}, 0, "nobody asks"},
			{1 * time.Second, queue.Count{Concurrency: 1}, queue.Count{}, 1, "any demand wakes"},
			{2 * time.Second, queue.Count{Concurrency: 10}, queue.Count{}, 1, "10 of 10 fit on one"},
			{3 * time.Second, queue.Count{Concurrency: 11}, queue.Count{}, 2, "rounded up"},
			{4 * time.Second, queue.Count{Concurrency: 1000}, queue.Count{}, 5, "never above the maximum"},
		}},
		"lease": {base, []step{
			{0, queue.Count{Concurrency: 1, Cold: true, Leased: true}, queue.Count{}, 1, "a lease is demand"},
		}},
		"cooldown": {base, []step{
			{0, queue.Count{Concurrency: 1}, queue.Count{}, 1, "awake"},
			{59 * time.Second, queue.Count{}, queue.Count{}, 1, "cooling down"},
			{60 * time.Second, queue.Count{}, queue.Count{}, 0, "cooled down"},
			{61 * time.Second, queue.Count{Concurrency: 1}, queue.Count{}, 1, "awake again at once"},
			{100 * time.Second, queue.Count{Concurrency: 1}, queue.Count{}, 1, "still asked for"},
			{159 * time.Second, queue.Count{}, queue.Count{}, 1, "counted from the last demand"},
			{160 * time.Second, queue.Count{}, queue.Count{}, 0, "cooled down"},
		}},
		"fewer replicas only after a while": {base, []step{
			{0, queue.Count{Concurrency: 50}, queue.Count{}, 5, "all"},
			{10 * time.Second, queue.Count{Concurrency: 5}, queue.Count{}, 5, "too early"},
			{14 * time.Second, queue.Count{Concurrency: 25}, queue.Count{}, 5, "still"},
			{15 * time.Second, queue.Count{Concurrency: 5}, queue.Count{}, 3, "the most of the last 15 s"},
			{29 * time.Second, queue.Count{}, queue.Count{}, 1, "one is kept while cooling down"},
		}},
		"minimum": {with(func(t *Target) { t.Min = 2 }), []step{
			{0, queue.Count{}, queue.Count{}, 2, "never below the minimum"},
			{1 * time.Second, queue.Count{Concurrency: 21}, queue.Count{}, 3, "above it by demand"},
			{time.Hour, queue.Count{}, queue.Count{}, 2, "and back"},
		}},
		"initial cooldown": {with(func(t *Target) { t.Initial, t.InitialCooldown = 3, 10*time.Second }), []step{
			{0, queue.Count{}, queue.Count{}, 3, "as the Deployment says"},
			{9 * time.Second, queue.Count{}, queue.Count{}, 3, "still"},
			{10 * time.Second, queue.Count{}, queue.Count{}, 0, "over"},
		}},
		"fixed": {Target{Min: 2, Max: 2}, []step{
			{0, queue.Count{}, queue.Count{}, 2, "nobody scales it"},
			{time.Hour, queue.Count{Concurrency: 99}, queue.Count{}, 2, "not even demand"},
		}},
		"rate": {with(func(t *Target) { t.Metrics = both }), []step{
			{0, queue.Count{}, queue.Count{}, 0, "nobody asks"},
			{1 * time.Second, queue.Count{RequestCount: 240}, queue.Count{}, 2, "240 in a minute are 4 per second"},
			{2 * time.Second, queue.Count{RequestCount: 240, Concurrency: 30}, queue.Count{}, 3, "the metric that asks for more wins"},
			{60 * time.Second, queue.Count{RequestCount: 240}, queue.Count{}, 2, "still in the window"},
			{119 * time.Second, queue.Count{RequestCount: 240}, queue.Count{}, 1, "the window is over, cooling down"},
			{121 * time.Second, queue.Count{RequestCount: 240}, queue.Count{}, 0, "a minute after the rate was last above 0"},
			{122 * time.Second, queue.Count{RequestCount: 1}, queue.Count{}, 1, "the route was made anew"},
		}},
		"rate only, one long request": {with(func(t *Target) {
			t.Metrics = []Metric{{Route: "default/a", Rate: 100, Window: time.Second, Granularity: time.Second}}
		}), []step{
			{0, queue.Count{RequestCount: 1, Concurrency: 1}, queue.Count{}, 1, "it wakes"},
			{time.Hour, queue.Count{RequestCount: 1, Concurrency: 1}, queue.Count{}, 1, "and stays awake: it is in flight"},
		}},
		"two routes": {with(func(t *Target) { t.Metrics = two }), []step{
			{0, queue.Count{Concurrency: 1}, queue.Count{Concurrency: 3}, 3, "the one that asks for more"},
			{time.Minute, queue.Count{}, queue.Count{Cold: true}, 1, "either keeps it awake"},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				all := demand.New()
				for _, m := range test.target.Metrics {
					if m.Rate > 0 {
						all.Measure(m.Route, m.Window, m.Granularity)
					}
				}
				interceptor := all.Interceptor()
				interceptor.Apply(queue.Event{Type: queue.Snapshot})
				w := newWorkload(test.target, start)
				for _, s := range test.steps {
					<-time.After(time.Until(start.Add(s.at)))
					interceptor.Apply(queue.Event{Type: queue.Snapshot, Counts: queue.Counts{"default/a": s.a, "default/b": s.b}})
					if got := w.decide(time.Now(), all, all.Hits()); got != s.want {
						t.Errorf("at %s: %d replicas, want %d: %s", s.at, got, s.want, s.reason)
					}
				}
			})
		})
	}
}
