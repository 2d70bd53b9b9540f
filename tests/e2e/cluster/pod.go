//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod is one pod that runs here. Its run goroutine owns everything but what mu guards.
type pod struct {
	kubelet *kubelet
	object  *corev1.Pod // as first seen
	address netip.Addr
	folder  string
	log     string

	terminating chan time.Duration // has the grace period
	asked       bool               // to terminate; guarded by the kubelet's lock, as grace
	grace       time.Duration

	status  corev1.PodStatus
	changed bool // status is not what the API server has
	failing bool // to write it, which was complained of

	mu       sync.Mutex
	network  *podNetwork // nil before and after its life
	process  *container  // nil while none runs
	peak     int64
	restarts int32
}

func newPod(k *kubelet, object *corev1.Pod, address netip.Addr) *pod {
	name := object.Namespace + "_" + object.Name
	now := metav1.Now()
	return &pod{
		kubelet: k, object: object, address: address,
		folder:      filepath.Join(k.folder, "pods", string(object.UID)),
		log:         filepath.Join(k.folder, "logs", name+".log"),
		terminating: make(chan time.Duration, 4),
		status:      corev1.PodStatus{Phase: corev1.PodPending, StartTime: &now},
	}
}

// terminate ends the pod; a later call can only shorten the time it has for that. The
// caller holds the kubelet's lock.
func (p *pod) terminate(grace time.Duration) {
	if p.asked && grace >= p.grace {
		return
	}
	p.asked, p.grace = true, grace
	select {
	case p.terminating <- grace:
	default: // four shorter periods wait already
	}
}

// run is the life of the pod.
func (p *pod) run(ctx context.Context) {
	network, err := newPodNetwork(p.address)
	if err != nil {
		p.kubelet.complain(p.object, "making the network of", err)
		return
	}
	p.setNetwork(network)
	backoff := 500 * time.Millisecond
	for {
		started := time.Now()
		ended, err := p.runContainer(ctx, network)
		if err != nil {
			p.setWaiting("CreateContainerError", err)
		}
		if ended {
			break
		}
		if time.Since(started) > time.Minute {
			backoff = 500 * time.Millisecond
		}
		p.publish(ctx)
		if !p.pause(ctx, backoff) {
			break
		}
		backoff = min(2*backoff, 10*time.Second)
	}
	p.setNetwork(nil)
	if err := network.close(); err != nil {
		p.kubelet.complain(p.object, "ending", err)
	}
	_ = os.RemoveAll(p.folder) // the rest is below the run's folder
	if !p.over() {
		p.kubelet.remove(p.object)
	}
	p.kubelet.drop(p)
}

// over says whether the pod has ended by itself and stays as an object.
func (p *pod) over() bool {
	return p.status.Phase == corev1.PodSucceeded || p.status.Phase == corev1.PodFailed
}

// pause waits before the next start and says whether there should be one.
func (p *pod) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.terminating:
	case <-ctx.Done():
	}
	return false
}

// runContainer runs the container once; ended says that it must not start again.
func (p *pod) runContainer(ctx context.Context, network *podNetwork) (ended bool, err error) {
	spec, err := p.kubelet.compiler.compile(ctx, p.object, p.address.String(), p.folder)
	if err != nil {
		return false, err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return false, fmt.Errorf("opening the log: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	process, err := startContainer(spec, network, log)
	if err != nil {
		return false, err
	}
	p.setProcess(process)
	defer p.setProcess(nil)
	p.setRunning(time.Now())

	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes := make(chan health)
	go watchHealth(watching, p.object.Spec.Containers[0], p.address, changes)
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	var kill <-chan time.Time
	end := ctx.Done()
	for {
		p.publish(ctx)
		select {
		case <-process.ended:
			p.setEnded(process.command.ProcessState)
			return ended || p.over(), nil
		case change := <-changes:
			if change.dead && kill == nil {
				kill = time.After(p.stop(process, seconds(int32(*p.object.Spec.TerminationGracePeriodSeconds), 0)))
			}
			p.setReady(change.ready)
		case grace := <-p.terminating:
			ended = true
			kill = time.After(p.stop(process, grace))
		case <-kill:
			_ = process.signal(syscall.SIGKILL)
		case <-end:
			ended, end = true, nil
			_ = process.signal(syscall.SIGKILL)
		case <-ticker.C:
			p.measure(process)
		}
	}
}

// stop asks the process to end and returns how long it may take.
func (p *pod) stop(process *container, grace time.Duration) time.Duration {
	p.measure(process)
	_ = process.signal(syscall.SIGTERM)
	return grace
}

func (p *pod) setProcess(process *container) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = process
}

func (p *pod) setNetwork(network *podNetwork) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.network = network
}

// onNetwork calls f with the network of the pod, which is there until f returns.
func (p *pod) onNetwork(f func(*podNetwork) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.network == nil {
		return errors.New("the pod has no network")
	}
	return f(p.network)
}

// measure looks at the memory that counts against a limit: not pages of the program's
// file, which the kernel can drop.
func (p *pod) measure(process *container) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.command.Process.Pid))
	if err != nil {
		return // it has just ended
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssAnon:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			p.mu.Lock()
			p.peak = max(p.peak, kilobytes<<10)
			p.mu.Unlock()
		}
	}
}

func (p *pod) usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Usage{
		Namespace: p.object.Namespace, Name: p.object.Name, Labels: p.object.Labels, Log: p.log,
		PeakMemory: p.peak, Restarts: p.restarts,
		MemoryLimit: p.object.Spec.Containers[0].Resources.Limits.Memory().Value(),
	}
}

// signal sends a signal to the pod's process.
func (p *pod) signal(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return errors.New("no process runs")
	}
	return p.process.signal(signal)
}
