package scale

import (
	"math"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// stabilisation is how long fewer replicas must be enough before there are
// fewer. HPA waits 5 minutes for it; a local process is soon back.
const stabilisation = 15 * time.Second

// workload is one Target over time. The scaler's goroutine owns it.
type workload struct {
	target     Target
	created    time.Time
	lastActive time.Time // zero: never
	replicas   int
	rates      []*rate  // by metric; nil for one without a rate
	requests   []int64  // by metric: how many there had been when it was last looked at
	advice     []advice // oldest first, none older than stabilisation
}

type advice struct {
	at       time.Time
	replicas int
}

func newWorkload(t Target, now time.Time, counts queue.Counts) *workload {
	w := &workload{target: t, created: now, replicas: t.Min}
	w.measure(t, counts)
	return w
}

// measure starts to measure the target's rates.
func (w *workload) measure(t Target, counts queue.Counts) {
	w.target = t
	w.rates, w.requests = make([]*rate, len(t.Metrics)), make([]int64, len(t.Metrics))
	for i, m := range t.Metrics {
		w.requests[i] = counts[m.Route].RequestCount
		if m.Rate > 0 {
			w.rates[i] = &rate{window: m.Window, granularity: m.Granularity, last: counts[m.Route].RequestCount}
		}
	}
}

// decide says how many replicas the workload should have now.
func (w *workload) decide(now time.Time, counts queue.Counts) int {
	active, wanted := w.demand(now, counts)
	t := w.target
	switch {
	case active:
		w.lastActive = now
		wanted = max(wanted, 1)
	case t.Min > 0 || len(t.Metrics) == 0:
		wanted = t.Min
	case w.asleep(now):
		w.replicas, w.advice = 0, nil
		return 0
	case w.lastActive.IsZero():
		w.replicas = t.Initial
		return w.replicas
	default: // cooling down
		wanted = min(w.replicas, 1)
	}
	w.replicas = min(max(w.stabilise(now, wanted), t.Min), t.Max)
	return w.replicas
}

// asleep says, of a workload without demand, that it may have no replicas.
func (w *workload) asleep(now time.Time) bool {
	if w.lastActive.IsZero() {
		return now.Sub(w.created) >= w.target.InitialCooldown
	}
	return now.Sub(w.lastActive) >= w.target.Cooldown
}

// demand is HPA's arithmetic: for each metric its value divided by what one
// replica takes, rounded up; the greatest wins. A workload is active, as KEDA
// says it, if anything at all asks for it.
func (w *workload) demand(now time.Time, counts queue.Counts) (active bool, wanted int) {
	for i, m := range w.target.Metrics {
		count := counts[m.Route]
		// A request that has come and gone since is activity too.
		active = active || count.Concurrency > 0 || count.Cold || count.Leased || count.RequestCount > w.requests[i]
		w.requests[i] = count.RequestCount
		if m.Concurrency > 0 {
			wanted = max(wanted, ceil(float64(count.Concurrency), m.Concurrency))
		}
		if r := w.rates[i]; r != nil {
			r.observe(now, count.RequestCount)
			perSecond := r.perSecond()
			active = active || perSecond > 0
			wanted = max(wanted, ceil(perSecond, m.Rate))
		}
	}
	return active, wanted
}

func ceil(value float64, target int64) int {
	return int(math.Ceil(value / float64(target)))
}

// stabilise gives more replicas at once, fewer only when they were enough for
// a while.
func (w *workload) stabilise(now time.Time, wanted int) int {
	for len(w.advice) > 0 && now.Sub(w.advice[0].at) >= stabilisation {
		w.advice = w.advice[1:]
	}
	// An older and lower advice can no longer be the greatest.
	for len(w.advice) > 0 && w.advice[len(w.advice)-1].replicas <= wanted {
		w.advice = w.advice[:len(w.advice)-1]
	}
	w.advice = append(w.advice, advice{at: now, replicas: wanted})
	return w.advice[0].replicas
}
