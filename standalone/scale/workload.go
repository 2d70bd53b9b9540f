package scale

import (
	"math"
	"time"

	"github.com/kedacore/http-add-on/pkg/demand"
)

// stabilization is how long fewer replicas must be enough before there are
// fewer. HPA waits 5 minutes for it; a local process is soon back.
const stabilization = 15 * time.Second

// workload is one Target over time. The scaler's goroutine owns it.
type workload struct {
	target     Target
	created    time.Time
	lastActive time.Time // zero: never
	replicas   int
	advice     []advice // oldest first, none older than stabilization
}

type advice struct {
	at       time.Time
	replicas int
}

func newWorkload(t Target, now time.Time) *workload {
	return &workload{target: t, created: now, replicas: t.Min}
}

// decide returns how many replicas the workload should have now. hits are those
// since the last decision.
func (w *workload) decide(now time.Time, all *demand.Aggregate, hits map[string]demand.Hit) int {
	active, wanted := w.demand(all, hits)
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
	w.replicas = min(max(w.stabilize(now, wanted), t.Min), t.Max)
	return w.replicas
}

// asleep reports whether a workload without demand may have no replicas.
func (w *workload) asleep(now time.Time) bool {
	if w.lastActive.IsZero() {
		return now.Sub(w.created) >= w.target.InitialCooldown
	}
	return now.Sub(w.lastActive) >= w.target.Cooldown
}

// demand is HPA's arithmetic: for each metric its value divided by what one
// replica takes, rounded up; the greatest wins. A workload is active, in KEDA's
// terms, if any of its routes is.
func (w *workload) demand(all *demand.Aggregate, hits map[string]demand.Hit) (active bool, wanted int) {
	for _, m := range w.target.Metrics {
		state := all.State(m.Route)
		_, hit := hits[m.Route] // a request may have come and gone since
		active = active || hit || state.Active()
		if m.Concurrency > 0 {
			wanted = max(wanted, replicasFor(float64(state.Concurrency()), m.Concurrency))
		}
		if m.Rate > 0 {
			wanted = max(wanted, replicasFor(state.Rate, m.Rate))
		}
	}
	return active, wanted
}

func replicasFor(value float64, target int64) int {
	const tolerance = 1e-9 // keeps a number that is whole except for rounding errors
	return int(math.Ceil(value/float64(target) - tolerance))
}

// stabilize allows more replicas at once, and fewer only once they were enough for
// a while.
func (w *workload) stabilize(now time.Time, wanted int) int {
	for len(w.advice) > 0 && now.Sub(w.advice[0].at) >= stabilization {
		w.advice = w.advice[1:]
	}
	// An older and lower advice can no longer be the greatest.
	for len(w.advice) > 0 && w.advice[len(w.advice)-1].replicas <= wanted {
		w.advice = w.advice[:len(w.advice)-1]
	}
	w.advice = append(w.advice, advice{at: now, replicas: wanted})
	return w.advice[0].replicas
}
