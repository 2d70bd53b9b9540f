// Package scale decides how many replicas each local workload has, from the demand that the
// interceptor counts. KEDA and the HorizontalPodAutoscaler do that in a cluster. It must not know
// how replicas are run.
package scale

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
)

// tick is how often demand is looked at when nothing urgent happens.
const tick = time.Second

// Source is the demand that the interceptor counts.
type Source interface {
	// Counts returns the demand of every route. The map is the caller's.
	Counts() queue.Counts
	// Subscribe returns a signal for urgent changes, pending signals being one, and
	// a function that ends it.
	Subscribe() (changed <-chan struct{}, cancel func())
}

// Workloads are the local workloads. Scale sets how many replicas one has; it
// must not block.
type Workloads interface {
	Scale(workload types.NamespacedName, replicas int)
}

// Scaler keeps the replicas of its targets in line with demand.
type Scaler struct {
	source    Source
	workloads Workloads
	log       logr.Logger

	mu      sync.Mutex
	pending []Target
	applied chan struct{}
}

// New makes a Scaler without targets.
func New(source Source, workloads Workloads, log logr.Logger) *Scaler {
	return &Scaler{source: source, workloads: workloads, log: log, applied: make(chan struct{}, 1)}
}

// Apply replaces the targets. It does not block; Run takes them over.
func (s *Scaler) Apply(targets []Target) {
	s.mu.Lock()
	s.pending = targets
	s.mu.Unlock()
	select {
	case s.applied <- struct{}{}:
	default:
	}
}

// Run scales until ctx ends: at once when demand appears, otherwise each second.
func (s *Scaler) Run(ctx context.Context) {
	changed, cancel := s.source.Subscribe()
	defer cancel()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	all := demand.New()
	interceptor := all.Interceptor()
	interceptor.Apply(queue.Event{Type: queue.Snapshot}) // requests before the first look are not old ones
	workloads := make(map[types.NamespacedName]*workload)
	for {
		applied := false
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		case <-s.applied:
			applied = true
			workloads = s.take(workloads, all)
		}
		interceptor.Apply(queue.Event{Type: queue.Snapshot, Counts: s.source.Counts()})
		hits, now := all.Hits(), time.Now()
		for key, w := range workloads {
			before := w.replicas
			after := w.decide(now, all, hits)
			if before > 0 && after > 0 && after != before {
				s.log.Info("workload is scaled", "object", key.String(), "from", before, "to", after)
			}
			// With new targets processes may have been taken away and come back.
			if after != before || applied {
				s.workloads.Scale(key, after)
			}
		}
	}
}

// take makes the pending targets the current ones, and has their rates measured.
// A workload whose target merely changed keeps its history.
func (s *Scaler) take(old map[types.NamespacedName]*workload, all *demand.Aggregate) map[types.NamespacedName]*workload {
	s.mu.Lock()
	targets := s.pending
	s.mu.Unlock()
	forgotten := make(map[string]struct{})
	for _, w := range old {
		for _, m := range w.target.Metrics {
			forgotten[m.Route] = struct{}{}
		}
	}
	workloads := make(map[types.NamespacedName]*workload, len(targets))
	for _, t := range targets {
		w := old[t.Workload]
		if w == nil {
			w = newWorkload(t, time.Now())
		}
		w.target = t
		workloads[t.Workload] = w
		for _, m := range t.Metrics {
			if m.Rate > 0 {
				all.Measure(m.Route, m.Window, m.Granularity)
				delete(forgotten, m.Route)
			}
		}
	}
	for route := range forgotten {
		all.Forget(route)
	}
	return workloads
}
