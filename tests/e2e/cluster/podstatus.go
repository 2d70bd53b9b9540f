//go:build e2e

package cluster

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// containerStatus is the status of the one container, to be changed.
func (p *pod) containerStatus() *corev1.ContainerStatus {
	c := p.object.Spec.Containers[0]
	if len(p.status.ContainerStatuses) == 0 {
		p.status.ContainerStatuses = []corev1.ContainerStatus{{Name: c.Name, Image: c.Image, ImageID: c.Image}}
	}
	p.changed = true
	return &p.status.ContainerStatuses[0]
}

func (p *pod) setWaiting(reason string, err error) {
	p.kubelet.complain(p.object, "starting", err)
	p.containerStatus().State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: err.Error()}}
}

func (p *pod) setRunning(at time.Time) {
	started := true
	status := p.containerStatus()
	status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
	status.Started = &started
	p.status.Phase = corev1.PodRunning
}

func (p *pod) setReady(ready bool) { p.containerStatus().Ready = ready }

func (p *pod) setEnded(state *os.ProcessState) {
	code, reason := int32(state.ExitCode()), "Completed"
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		code = 128 + int32(wait.Signal())
	}
	if code != 0 {
		reason = "Error"
	}
	status := p.containerStatus()
	terminated := &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.Now()}
	if status.State.Running != nil {
		terminated.StartedAt = status.State.Running.StartedAt
	}
	status.Ready = false
	status.State = corev1.ContainerState{Terminated: terminated}
	switch policy := p.object.Spec.RestartPolicy; {
	case policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && code != 0:
		status.LastTerminationState = status.State
		status.RestartCount++
		p.mu.Lock()
		p.restarts = status.RestartCount
		p.mu.Unlock()
	case code == 0:
		p.status.Phase = corev1.PodSucceeded
	default:
		p.status.Phase = corev1.PodFailed
	}
}

// publish writes the status if it has changed; if that fails, the next call tries again.
func (p *pod) publish(ctx context.Context) {
	if !p.changed {
		return
	}
	p.status.HostIP, p.status.HostIPs = apiAddress, []corev1.HostIP{{IP: apiAddress}}
	p.status.PodIP, p.status.PodIPs = p.address.String(), []corev1.PodIP{{IP: p.address.String()}}
	ready := p.containerStatus().Ready
	for kind, is := range map[corev1.PodConditionType]bool{
		corev1.PodScheduled: true, corev1.PodInitialized: true, corev1.ContainersReady: ready, corev1.PodReady: ready,
	} {
		p.setCondition(kind, is)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.object.UID}, "status": p.status})
	if err == nil {
		_, err = p.kubelet.client.CoreV1().Pods(p.object.Namespace).Patch(ctx, p.object.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		if !p.failing {
			p.kubelet.complain(p.object, "writing the status of", err)
		}
		p.failing = true
		return
	}
	p.changed, p.failing = false, false
}

func (p *pod) setCondition(kind corev1.PodConditionType, is bool) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	for i := range p.status.Conditions {
		if condition := &p.status.Conditions[i]; condition.Type == kind {
			if condition.Status != status {
				condition.Status, condition.LastTransitionTime = status, metav1.Now()
			}
			return
		}
	}
	p.status.Conditions = append(p.status.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.Now()})
}
