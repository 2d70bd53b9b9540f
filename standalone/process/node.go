// Package process runs Deployments as processes of this machine, one for each
// replica, and tells which of their ports are ready. It must not know why a
// workload has the replicas that it has.
package process

import (
	"context"
	"io"
	"maps"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Endpoints receives the ready addresses of each Service, by port name. They
// replace all earlier ones of that Service.
type Endpoints interface {
	Update(namespace, service string, ready map[string][]string)
}

// Options of a Node.
type Options struct {
	Endpoints Endpoints
	Log       logr.Logger
	// Output gets the lines that the processes write, each with the replica's
	// name before it.
	Output io.Writer
	// Backoff between the attempts of a process that exits: at first and at most; by
	// default 1s and 30s.
	Backoff, MaxBackoff time.Duration
}

// Node runs workloads, as the machine of that name does in a cluster. Only Close waits for
// processes. Its methods are safe for concurrent use.
type Node struct {
	options Options
	lease   leaser
	environ []string
	out     *output
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup // replicas

	mu        sync.Mutex
	workloads map[types.NamespacedName]*workload
	services  map[types.NamespacedName]*service
}

// NewNode makes a Node; the caller must Close it.
func NewNode(o Options) *Node {
	if o.Backoff == 0 {
		o.Backoff = time.Second
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 30 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Node{
		options: o, lease: leaserFor(runtime.GOOS), environ: os.Environ(), out: &output{to: o.Output},
		ctx: ctx, stop: stop,
		workloads: map[types.NamespacedName]*workload{},
		services:  map[types.NamespacedName]*service{},
	}
}

// Apply makes these the workloads and Services of the node. A new workload
// sleeps until it is scaled; the processes of one whose template changed are
// replaced, those of one that is gone are stopped. The objects must have
// passed the checks of package manifest, and must not be changed afterwards.
func (n *Node) Apply(deployments []*appsv1.Deployment, services []*corev1.Service) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return
	}
	kept := map[types.NamespacedName]bool{}
	for _, d := range deployments {
		key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
		kept[key] = true
		w, known := n.workloads[key]
		if !known {
			w = &workload{node: n, key: key}
			n.workloads[key] = w
		}
		changed := known && !reflect.DeepEqual(w.deployment.Spec.Template, d.Spec.Template)
		w.deployment = d
		if changed {
			w.replace()
		}
		w.tell()
	}
	for key, w := range n.workloads {
		if !kept[key] {
			w.scale(0)
			w.services = nil // its remains must not publish old addresses
			delete(n.workloads, key)
		}
	}
	n.applyServices(services)
}

// Scale sets the number of replicas of a workload; one that the node does not
// know is left alone.
func (n *Node) Scale(key types.NamespacedName, replicas int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.workloads[key]; w != nil && n.ctx.Err() == nil {
		w.scale(replicas)
		n.publish(w.services...)
	}
}

// Close stops all processes and waits until they are gone.
func (n *Node) Close() {
	n.mu.Lock()
	for _, w := range n.workloads {
		w.scale(0)
	}
	n.stop()
	for _, s := range n.services {
		n.publish(s)
	}
	n.mu.Unlock()
	n.running.Wait()
}

// applyServices makes these the Services, and finds out which workloads are behind each. A
// wake must not do that: with hundreds of both it took seconds. The lock is held.
func (n *Node) applyServices(services []*corev1.Service) {
	byNamespace := map[string][]*workload{}
	for _, key := range slices.SortedFunc(maps.Keys(n.workloads), byName) {
		w := n.workloads[key]
		w.services = nil
		byNamespace[key.Namespace] = append(byNamespace[key.Namespace], w)
	}
	before := n.services
	n.services = make(map[types.NamespacedName]*service, len(services))
	for _, object := range services {
		key := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
		s := &service{object: object}
		if old := before[key]; old != nil {
			s.published = old.published
			delete(before, key)
		}
		n.services[key] = s
		selector := selectorOf(object)
		for _, w := range byNamespace[object.Namespace] {
			if selector.Matches(labels.Set(w.deployment.Spec.Template.Labels)) {
				s.workloads = append(s.workloads, w)
				w.services = append(w.services, s)
			}
		}
		n.publish(s)
	}
	for key := range before {
		n.options.Endpoints.Update(key.Namespace, key.Name, nil)
	}
}

// publish sends the endpoints of those Services that changed. The caller holds the lock, so that
// a later readiness cannot be overtaken by an earlier one.
func (n *Node) publish(services ...*service) {
	for _, s := range services {
		ready := s.ready()
		if s.published == nil || !reflect.DeepEqual(s.published, ready) {
			s.published = ready
			n.options.Endpoints.Update(s.object.Namespace, s.object.Name, ready)
		}
	}
}
