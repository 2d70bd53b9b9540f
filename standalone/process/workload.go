package process

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
)

// workload is a Deployment and its replicas. The node's lock guards it.
type workload struct {
	node       *Node
	key        types.NamespacedName
	deployment *appsv1.Deployment
	services   []*service // that select it
	slots      []*slot    // by index of the replica
	phase      string
	since      time.Time // when it began to wake
}

// slot is the place of one replica. Its replicas come one after the other: the
// next starts when the one before is gone, as its memory, GPU and address are
// needed again.
type slot struct {
	replica *replica        // nil while none is wanted
	gone    <-chan struct{} // closed when the last one is gone
}

func (s *slot) empty() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// scale starts or stops replicas, the youngest index last in, first out.
func (w *workload) scale(replicas int) {
	for len(w.slots) < replicas {
		gone := make(chan struct{})
		close(gone)
		w.slots = append(w.slots, &slot{gone: gone})
	}
	for i, s := range w.slots {
		switch {
		case i < replicas && s.replica == nil:
			w.start(i)
		case i >= replicas && s.replica != nil:
			s.replica.cancel()
			s.replica = nil
		}
	}
	w.tell()
}

// replace stops every replica and starts another in its place.
func (w *workload) replace() {
	for i, s := range w.slots {
		if s.replica != nil {
			s.replica.cancel()
			w.start(i)
		}
	}
}

func (w *workload) start(index int) {
	s := w.slots[index]
	ctx, cancel := context.WithCancel(w.node.ctx)
	gone := make(chan struct{})
	r := &replica{
		node: w.node, workload: w, deployment: w.deployment, cancel: cancel,
		name: fmt.Sprintf("%s-%d", w.key.Name, index),
	}
	before := s.gone
	s.replica, s.gone = r, gone
	w.node.running.Go(func() {
		defer func() {
			cancel()
			close(gone)
			w.node.settled(w)
		}()
		<-before
		r.run(ctx)
	})
}

func (w *workload) wanted() int {
	wanted := 0
	for _, s := range w.slots {
		if s.replica != nil {
			wanted++
		}
	}
	return wanted
}

// tell logs the workload's phase when it has changed.
func (w *workload) tell() {
	phase, ready, left := "sleeping", 0, 0
	for _, s := range w.slots {
		if s.replica != nil && s.replica.ready != nil {
			ready++
		}
		if !s.empty() {
			left++
		}
	}
	switch wanted := w.wanted(); {
	case ready > 0:
		phase = "ready"
	case wanted > 0:
		phase = "waking"
	case left > 0:
		phase = "stopping"
	}
	if phase == w.phase {
		return
	}
	w.phase = phase
	log := w.node.options.Log.WithValues("object", w.key.String())
	switch phase {
	case "sleeping":
		log.Info("workload is sleeping")
	case "waking":
		w.since = time.Now()
		log.Info("workload is waking", "replicas", w.wanted())
	case "ready":
		log.Info("workload is ready", "duration", time.Since(w.since).Round(time.Millisecond).String())
	case "stopping":
		log.Info("workload is stopping")
	}
}

// settled is called when a replica is gone for good.
func (n *Node) settled(w *workload) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.tell()
}

// setReady notes where a replica is ready; nil is not ready.
func (n *Node) setReady(r *replica, at *lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r.ready = at
	r.workload.tell()
	n.publish(r.workload.services...)
}
