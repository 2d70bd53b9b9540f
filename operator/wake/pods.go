package wake

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedacore/http-add-on/pkg/kubesource"
)

const (
	// maxNamespaces is how many namespaces are watched at a time.
	maxNamespaces = 100
	// linger is how long a namespace is watched after its last wake: a target that crashes
	// on its first requests wakes again at once.
	linger = 5 * time.Minute
)

// cluster is read by watches; it is a [kubesource.Source].
type cluster interface {
	Run(ctx context.Context, synced func(), watches ...kubesource.Watch) error
}

// pods are those of the namespaces with a target that wakes.
type pods struct {
	cluster cluster
	log     logr.Logger
	// changed is called when a pod is new, has changed or is gone, and with nil when all
	// pods of a namespace are known.
	changed func(namespace string, pod *corev1.Pod)

	group  sync.WaitGroup
	mu     sync.Mutex
	open   map[string]*podsOf
	closed bool
}

// podsOf are the pods of a namespace.
type podsOf struct {
	stop   context.CancelFunc
	users  map[string]bool // the routes whose targets wake
	idle   *time.Timer     // ends the watch; nil while there are users
	synced bool
	pods   map[string]*corev1.Pod
}

func newPods(cluster cluster, changed func(string, *corev1.Pod), log logr.Logger) *pods {
	return &pods{cluster: cluster, changed: changed, log: log, open: map[string]*podsOf{}}
}

// hold has the pods of a namespace watched for a route, until release. It reports whether
// there is room. The watch ends with ctx.
func (p *pods) hold(ctx context.Context, namespace, route string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.open[namespace]
	if n == nil {
		if p.closed || len(p.open) >= maxNamespaces && !p.evict() {
			return false
		}
		n = p.start(ctx, namespace)
	}
	if n.idle != nil {
		n.idle.Stop()
		n.idle = nil
	}
	n.users[route] = true
	return true
}

// evict ends a watch without users.
func (p *pods) evict() bool {
	for namespace, n := range p.open {
		if n.idle != nil {
			p.end(namespace, n)
			return true
		}
	}
	return false
}

// end ends a watch. The caller holds the lock.
func (p *pods) end(namespace string, n *podsOf) {
	if n.idle != nil {
		n.idle.Stop()
	}
	n.stop()
	delete(p.open, namespace)
}

// release gives up what hold got.
func (p *pods) release(namespace, route string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.open[namespace]
	if n == nil || !n.users[route] {
		return
	}
	if delete(n.users, route); len(n.users) == 0 {
		n.idle = time.AfterFunc(linger, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.open[namespace] == n && len(n.users) == 0 {
				p.end(namespace, n)
			}
		})
	}
}

// close ends all watches and waits for them. None can begin afterwards, although the controller
// may still be at work.
func (p *pods) close() {
	p.mu.Lock()
	p.closed = true
	for namespace, n := range p.open {
		p.end(namespace, n)
	}
	p.mu.Unlock()
	p.group.Wait()
}

// watched reports whether the pods of a namespace are known.
func (p *pods) watched(namespace string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.open[namespace]
	return n != nil && n.synced
}

// matching returns the pods of a namespace that a selector matches.
func (p *pods) matching(namespace string, selector labels.Selector) (matching []*corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.open[namespace]
	if n == nil {
		return nil
	}
	for _, pod := range n.pods {
		if selector.Matches(labels.Set(pod.Labels)) {
			matching = append(matching, pod)
		}
	}
	return matching
}

// start starts the watch of a namespace. The caller holds the lock.
func (p *pods) start(ctx context.Context, namespace string) *podsOf {
	ctx, stop := context.WithCancel(ctx)
	n := &podsOf{stop: stop, users: map[string]bool{}, pods: map[string]*corev1.Pod{}}
	p.open[namespace] = n
	set := func(pod, now *corev1.Pod) {
		p.mu.Lock()
		if now != nil {
			n.pods[pod.Name] = now
		} else {
			delete(n.pods, pod.Name)
		}
		synced := n.synced
		p.mu.Unlock()
		if synced {
			p.changed(namespace, pod)
		}
	}
	watch := kubesource.For(&corev1.Pod{}, kubesource.Handler[*corev1.Pod]{
		Namespace: namespace, Trim: trim,
		Set:    func(pod *corev1.Pod) { set(pod, pod) },
		Delete: func(pod *corev1.Pod) { set(pod, nil) },
	})
	p.group.Go(func() {
		err := p.cluster.Run(ctx, func() {
			p.mu.Lock()
			n.synced = true
			p.mu.Unlock()
			p.changed(namespace, nil)
		}, watch)
		if err != nil && ctx.Err() == nil {
			p.log.Error(err, "Watching the pods of a namespace failed", "namespace", namespace)
		}
	})
	return n
}

// trim drops what judge does not read.
func trim(pod *corev1.Pod) {
	kept := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Labels: pod.Labels, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec:   corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status: corev1.PodStatus{Phase: pod.Status.Phase},
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		kept.Spec.InitContainers = append(kept.Spec.InitContainers, corev1.Container{
			Name: c.Name, RestartPolicy: c.RestartPolicy, ReadinessProbe: trimProbe(c.ReadinessProbe), StartupProbe: trimProbe(c.StartupProbe),
		})
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.ReadinessProbe != nil || c.StartupProbe != nil {
			kept.Spec.Containers = append(kept.Spec.Containers, corev1.Container{
				Name: c.Name, ReadinessProbe: trimProbe(c.ReadinessProbe), StartupProbe: trimProbe(c.StartupProbe),
			})
		}
	}
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodReady, corev1.PodScheduled, corev1.PodReadyToStartContainers:
			kept.Status.Conditions = append(kept.Status.Conditions, corev1.PodCondition{
				Type: c.Type, Status: c.Status, Reason: c.Reason, Message: shorten(c.Message),
			})
		}
	}
	kept.Status.InitContainerStatuses = trimContainers(pod.Status.InitContainerStatuses)
	kept.Status.ContainerStatuses = trimContainers(pod.Status.ContainerStatuses)
	*pod = kept
}

// trimProbe keeps the times of a probe.
func trimProbe(p *corev1.Probe) *corev1.Probe {
	if p == nil {
		return nil
	}
	return &corev1.Probe{
		InitialDelaySeconds: p.InitialDelaySeconds, PeriodSeconds: p.PeriodSeconds, TimeoutSeconds: p.TimeoutSeconds, SuccessThreshold: p.SuccessThreshold,
	}
}

func trimContainers(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(statuses))
	for i := range statuses {
		s := &statuses[i]
		k := corev1.ContainerStatus{Name: s.Name, Ready: s.Ready, RestartCount: s.RestartCount, Started: s.Started, State: s.State}
		if w := s.State.Waiting; w != nil {
			k.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason, Message: shorten(w.Message)}
		}
		ended := func(t *corev1.ContainerStateTerminated) *corev1.ContainerStateTerminated {
			if t == nil {
				return nil
			}
			return &corev1.ContainerStateTerminated{Reason: t.Reason, ExitCode: t.ExitCode}
		}
		k.State.Terminated = ended(s.State.Terminated)
		k.LastTerminationState.Terminated = ended(s.LastTerminationState.Terminated)
		kept = append(kept, k)
	}
	return kept
}
