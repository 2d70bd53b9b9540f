//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const nodeName = "node"

// kubelet is the node: it binds each pod to itself and runs it as a process.
type kubelet struct {
	ctx      context.Context // ends all pods
	client   kubernetes.Interface
	compiler *compiler
	folder   string // has logs and pods
	out      io.Writer

	running sync.WaitGroup
	mu      sync.Mutex
	pods    map[types.UID]*pod
	bound   map[types.UID]bool
	ended   []Usage
	next    netip.Addr
}

// Usage is what a pod used and did.
type Usage struct {
	Namespace, Name string
	Labels          map[string]string
	PeakMemory      int64 // bytes, without those of files; sampled four times a second
	MemoryLimit     int64 // of its container; 0 means no limit
	Restarts        int32
	Log             string // path of the file
}

func newKubelet(ctx context.Context, client kubernetes.Interface, compiler *compiler, folder string, out io.Writer) (*kubelet, error) {
	for _, name := range []string{"logs", "pods"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return nil, fmt.Errorf("making the folder of the node: %w", err)
		}
	}
	return &kubelet{
		ctx: ctx, client: client, compiler: compiler, folder: folder, out: out,
		pods: map[types.UID]*pod{}, bound: map[types.UID]bool{}, next: firstPodAddress(),
	}, nil
}

// register makes the Node.
func (k *kubelet) register() error {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("500"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/hostname": nodeName}},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: apiAddress}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(), Reason: "Simulated"}},
		},
	}
	made, err := k.client.CoreV1().Nodes().Create(k.ctx, node, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making the Node: %w", err)
	}
	made.Status = node.Status
	made.Spec.Taints = nil
	if _, err := k.client.CoreV1().Nodes().UpdateStatus(k.ctx, made, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("making the Node ready: %w", err)
	}
	return nil
}

// handler follows the pods of the cluster.
func (k *kubelet) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.observe(object) },
		UpdateFunc: func(_, object any) { k.observe(object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if deleted, ok := object.(*corev1.Pod); ok {
				k.forget(deleted.UID)
			}
		},
	}
}

func (k *kubelet) observe(object any) {
	seen, ok := object.(*corev1.Pod)
	if !ok || k.ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.pods[seen.UID]
	switch {
	case seen.DeletionTimestamp != nil && known != nil:
		known.terminate(seconds(int32(*seen.DeletionGracePeriodSeconds), 0))
	case seen.DeletionTimestamp != nil:
		go k.remove(seen)
	case seen.Spec.NodeName == "" && !k.bound[seen.UID]:
		k.bound[seen.UID] = true
		go k.bind(seen)
	case seen.Spec.NodeName == nodeName && known == nil && (seen.Status.Phase == "" || seen.Status.Phase == corev1.PodPending):
		p := newPod(k, seen.DeepCopy(), k.next)
		k.next = k.next.Next()
		k.pods[seen.UID] = p
		k.running.Go(func() { p.run(k.ctx) })
	}
}

// forget ends a pod whose object is gone.
func (k *kubelet) forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pods[uid]; p != nil {
		p.terminate(0)
	}
	delete(k.bound, uid)
}

// bind is the scheduler.
func (k *kubelet) bind(unbound *corev1.Pod) {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: unbound.Namespace, Name: unbound.Name, UID: unbound.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
	}
	for retry := 100 * time.Millisecond; ; retry *= 2 {
		err := k.client.CoreV1().Pods(unbound.Namespace).Bind(k.ctx, binding, metav1.CreateOptions{})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		k.complain(unbound, "binding", err)
		if !wait(k.ctx, min(retry, time.Second)) {
			return
		}
	}
}

// remove deletes a pod that has ended.
func (k *kubelet) remove(p *corev1.Pod) {
	now := int64(0)
	for retry := 100 * time.Millisecond; ; retry *= 2 {
		err := k.client.CoreV1().Pods(p.Namespace).Delete(k.ctx, p.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID},
		})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		k.complain(p, "removing", err)
		if !wait(k.ctx, min(retry, time.Second)) {
			return
		}
	}
}

func (k *kubelet) complain(p *corev1.Pod, doing string, err error) {
	if k.ctx.Err() == nil && !apierrors.IsNotFound(err) {
		_, _ = fmt.Fprintf(k.out, "  kubelet: %s %s/%s: %v\n", doing, p.Namespace, p.Name, err)
	}
}

// find returns the pod of a name, if it runs here.
func (k *kubelet) find(namespace, name string) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.object.Namespace == namespace && p.object.Name == name {
			return p
		}
	}
	return nil
}

// connections reads the connections of a pod's network.
func (k *kubelet) connections(of *corev1.Pod) (string, error) {
	p := k.find(of.Namespace, of.Name)
	if p == nil {
		return "", fmt.Errorf("reading connections: no pod %s/%s runs", of.Namespace, of.Name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return "", fmt.Errorf("reading connections: no process of %s/%s runs", of.Namespace, of.Name)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp6", p.process.command.Process.Pid))
	if err != nil {
		return "", fmt.Errorf("reading connections: %w", err)
	}
	return string(text), nil
}

// drop keeps of a pod that has ended what it used.
func (k *kubelet) drop(p *pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pods, p.object.UID)
	k.ended = append(k.ended, p.usage())
}

// usages are those of all pods, of ended ones too.
func (k *kubelet) usages() []Usage {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(k.ended)
	for _, p := range k.pods {
		all = append(all, p.usage())
	}
	return all
}
