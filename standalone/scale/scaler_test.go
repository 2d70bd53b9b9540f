package scale

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/pkg/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a Source that a test sets.
type source struct {
	mu      sync.Mutex
	counts  queue.Counts
	changed chan struct{}
}

func (d *source) Counts() queue.Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counts)
}

func (d *source) Subscribe() (<-chan struct{}, func()) { return d.changed, func() {} }

func (d *source) set(route string, concurrency int64) {
	d.mu.Lock()
	d.counts = queue.Counts{route: {Concurrency: concurrency}}
	d.mu.Unlock()
}

// node records each call and its time.
type node struct {
	mu       sync.Mutex
	replicas map[string]int
	at       map[string]time.Time
}

func (n *node) Scale(key types.NamespacedName, replicas int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replicas[key.Name], n.at[key.Name] = replicas, time.Now()
}

func (n *node) of(name string) (int, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.replicas[name], n.at[name]
}

func TestScaler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &source{changed: make(chan struct{}, 1)}
		n := &node{replicas: map[string]int{"a": -1}, at: map[string]time.Time{}}
		s := New(d, n, logr.Discard())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx)
		}()
		expect := func(name string, want int, reason string) {
			t.Helper()
			synctest.Wait()
			if got, _ := n.of(name); got != want {
				t.Errorf("%s has %d replicas, want %d: %s", name, got, want, reason)
			}
		}

		target := Target{Workload: types.NamespacedName{Namespace: "default", Name: "a"}, Metrics: []Metric{{Route: "default/r", Concurrency: 1}}, Max: 4, Cooldown: 10 * time.Second}
		s.Apply([]Target{target})
		expect("a", 0, "told to sleep at the start")

		<-time.After(500 * time.Millisecond)
		d.set("default/r", 1)
		asked := time.Now()
		d.changed <- struct{}{}
		expect("a", 1, "woken")
		if _, at := n.of("a"); !at.Equal(asked) {
			t.Errorf("woken %s after the demand", at.Sub(asked))
		}

		d.set("default/r", 3)
		<-time.After(tick)
		expect("a", 3, "more demand is seen within a tick")

		target.Max = 2
		s.Apply([]Target{target})
		expect("a", 2, "a changed target keeps its history")

		d.set("default/r", 0)
		<-time.After(9 * time.Second)
		expect("a", 2, "too early for fewer")
		<-time.After(3 * time.Second)
		expect("a", 0, "cooled down")

		cancel()
		<-done
	})
}
