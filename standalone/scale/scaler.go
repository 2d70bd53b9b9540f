// Package scale decides how many replicas each local workload has, as KEDA and
// the HorizontalPodAutoscaler do in a cluster: from the demand that the
// interceptor counts. It must not know how replicas are run.
package scale

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// tick is how often demand is looked at when nothing urgent happens.
const tick = time.Second

// Workloads are told how many replicas to have. Scale must not block.
type Workloads interface {
	Scale(workload types.NamespacedName, replicas int)
}

// Scaler keeps the replicas of its targets in line with demand.
type Scaler struct {
	source    queue.Source
	workloads Workloads
	log       logr.Logger

	mu      sync.Mutex
	pending []Target
	applied chan struct{}
}

// New makes a Scaler without targets.
func New(source queue.Source, workloads Workloads, log logr.Logger) *Scaler {
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
	var workloads map[types.NamespacedName]*workload
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		case <-s.applied:
			workloads = s.take(workloads)
		}
		counts, now := s.source.Counts(), time.Now()
		for key, w := range workloads {
			s.scale(key, w, now, counts)
		}
	}
}

// take makes the pending targets the current ones. A workload whose target
// merely changed keeps its history. All are scaled anew: their processes may
// have been taken away and come back.
func (s *Scaler) take(old map[types.NamespacedName]*workload) map[types.NamespacedName]*workload {
	s.mu.Lock()
	targets := s.pending
	s.mu.Unlock()
	counts, now := s.source.Counts(), time.Now()
	workloads := make(map[types.NamespacedName]*workload, len(targets))
	for _, t := range targets {
		w := old[t.Workload]
		switch {
		case w == nil:
			w = newWorkload(t, now, counts)
		case !reflect.DeepEqual(w.target.Metrics, t.Metrics):
			w.measure(t, counts)
		default:
			w.target = t
		}
		workloads[t.Workload] = w
		s.workloads.Scale(t.Workload, w.decide(now, counts))
	}
	return workloads
}

func (s *Scaler) scale(key types.NamespacedName, w *workload, now time.Time, counts queue.Counts) {
	before := w.replicas
	after := w.decide(now, counts)
	if after == before {
		return
	}
	if before > 0 && after > 0 {
		s.log.Info("workload is scaled", "object", key.String(), "from", before, "to", after)
	}
	s.workloads.Scale(key, after)
}
