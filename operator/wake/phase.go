package wake

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// ready is the phase of a pod that is ready. It is never written: a target that is ready
// has no wake.
const ready v1beta1.WakePhase = "Ready"

// phases in the order in which a pod goes through them.
var phases = []v1beta1.WakePhase{v1beta1.WakeScheduling, v1beta1.WakePulling, v1beta1.WakeStarting, v1beta1.WakeLoading, ready}

// verdict is how far a wake is.
type verdict struct {
	phase  v1beta1.WakePhase
	reason v1beta1.WakeReason
	// message explains the reason, or what the pod waits for, to users who may read the pod.
	message string
	// pod that is furthest, or nil.
	pod *corev1.Pod
	// restarts of the container that the reason is about.
	restarts int32
	// backsOff means that the kubelet delays the next restart, as it does for a container that
	// ends again and again. One that ran for 10 minutes is restarted at once.
	backsOff bool
	// sandboxed means that the volumes and the network of the pod are there. Older kubelets
	// report that only after the images.
	sandboxed bool
	// probe is the one that the container must pass, which runs since a time. Nil means no probe.
	probe     *corev1.Probe
	container string
	running   time.Time
	// vague means that events may have a better message.
	vague bool
}

// judge returns the verdict about the pods of a target, which is that about the pod that is
// furthest. Of two equally far ones it prefers one that nothing delays, then one that waits for
// its image and no longer for its sandbox. Pods that are going or over do not count.
func judge(pods []*corev1.Pod) verdict {
	furthest := verdict{phase: v1beta1.WakeScheduling}
	for _, pod := range pods {
		if !counts(pod) {
			continue
		}
		if v := judgePod(pod); furthest.pod == nil || further(v, furthest) {
			furthest = v
		}
	}
	return furthest
}

// counts reports whether a pod may become ready.
func counts(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// further reports whether a is further than b. Names decide in the end, so that the
// verdict does not depend on the order of the pods.
func further(a, b verdict) bool {
	if c := cmp.Compare(rank(a.phase), rank(b.phase)); c != 0 {
		return c > 0
	}
	if stuck := a.reason != ""; stuck != (b.reason != "") {
		return !stuck
	}
	if a.sandboxed != b.sandboxed {
		return a.sandboxed
	}
	return a.pod.Name < b.pod.Name
}

func rank(phase v1beta1.WakePhase) int { return slices.Index(phases, phase) }

func judgePod(pod *corev1.Pod) verdict {
	v := verdict{phase: v1beta1.WakeScheduling, pod: pod}
	if status(pod, corev1.PodReady).Status == corev1.ConditionTrue {
		v.phase = ready
		return v
	}
	if pod.Spec.NodeName == "" {
		if c := status(pod, corev1.PodScheduled); c.Reason == corev1.PodReasonUnschedulable {
			v.reason, v.message = v1beta1.WakeUnschedulable, c.Message
		}
		return v
	}
	sandbox := status(pod, corev1.PodReadyToStartContainers).Status
	v.sandboxed = sandbox == corev1.ConditionTrue
	if len(pod.Status.ContainerStatuses) == 0 {
		v.phase = v1beta1.WakePulling // the kubelet has not looked yet
		return v
	}
	v = judgeContainers(v)
	switch {
	case v.phase != v1beta1.WakePulling || v.reason != "" || sandbox == "":
	case v.sandboxed:
		v.message = "waiting for its image"
	default:
		v.message = "waiting for its volumes, its network or its image"
	}
	return v
}

// judgeContainers fills in what the containers of a pod say: the init container that the
// others wait for, else the one that is least far.
func judgeContainers(v verdict) verdict {
	pod := v.pod
	if init, under := initializing(pod); under {
		return judgeContainer(v, init, true)
	}
	v.phase = v1beta1.WakeLoading
	least := v
	for i := range pod.Status.ContainerStatuses {
		c := judgeContainer(v, &pod.Status.ContainerStatuses[i], false)
		if rank(c.phase) < rank(least.phase) || c.phase == least.phase && least.reason == "" && (c.reason != "" || least.probe == nil) {
			least = c
		}
	}
	return least
}

// initializing returns the init container that the others wait for.
func initializing(pod *corev1.Pod) (*corev1.ContainerStatus, bool) {
	for i := range pod.Status.InitContainerStatuses {
		c := &pod.Status.InitContainerStatuses[i]
		switch done := c.State.Terminated; {
		case done != nil && done.ExitCode == 0:
		case c.State.Running != nil && started(c) && sidecar(pod, c.Name):
		default:
			return c, true
		}
	}
	return nil, false
}

// sidecar reports whether the others do not wait for the end of an init container.
func sidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// probeOf returns the probe that a container which runs must pass next; nil if it has none, or has
// passed it.
func probeOf(pod *corev1.Pod, status *corev1.ContainerStatus) *corev1.Probe {
	for _, containers := range [...][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			switch c := &containers[i]; {
			case c.Name != status.Name || status.Ready:
			case started(status):
				return c.ReadinessProbe
			default:
				return c.StartupProbe
			}
		}
	}
	return nil
}

func started(c *corev1.ContainerStatus) bool { return c.Started != nil && *c.Started }

// judgeContainer fills in what the status of a container says. The reasons of the kubelet
// are those of pkg/kubelet/{images,kuberuntime} of Kubernetes 1.36.
func judgeContainer(v verdict, c *corev1.ContainerStatus, init bool) verdict {
	switch waiting := c.State.Waiting; {
	case waiting == nil && c.State.Running == nil && c.State.Terminated == nil:
		v.phase = v1beta1.WakePulling
	case waiting == nil && c.State.Running == nil:
		return crashed(v, c)
	case waiting == nil:
		if v.phase = v1beta1.WakeLoading; init || !started(c) {
			v.phase = v1beta1.WakeStarting
		}
		v.probe, v.container, v.running = probeOf(v.pod, c), c.Name, c.State.Running.StartedAt.Time
		if c.RestartCount > 0 && !c.Ready {
			phase := v.phase
			v = crashed(v, c)
			v.phase = phase
		}
	default:
		switch waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
			v.phase, v.reason = v1beta1.WakePulling, v1beta1.WakeImagePullFailed
		case "InvalidImageName":
			v.phase, v.reason = v1beta1.WakePulling, v1beta1.WakeConfigError
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError":
			v.phase, v.reason = v1beta1.WakeStarting, v1beta1.WakeConfigError
		default: // ContainerCreating, PodInitializing, CrashLoopBackOff
			if c.RestartCount > 0 || waiting.Reason == "CrashLoopBackOff" {
				return crashed(v, c)
			}
			v.phase = v1beta1.WakePulling
			return v
		}
		v.message = fmt.Sprintf("container %s: %s: %s", c.Name, waiting.Reason, waiting.Message)
	}
	return v
}

// crashed is the verdict about a container that has ended and is made again.
func crashed(v verdict, c *corev1.ContainerStatus) verdict {
	v.phase, v.reason, v.restarts = v1beta1.WakeStarting, v1beta1.WakeCrashLoop, c.RestartCount
	v.backsOff = c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
	end := cmp.Or(c.State.Terminated, c.LastTerminationState.Terminated)
	if end == nil {
		v.message = fmt.Sprintf("container %s has ended %d times", c.Name, c.RestartCount)
		return v
	}
	if end.Reason == "OOMKilled" {
		v.reason = v1beta1.WakeOOMKilled
	}
	v.message = fmt.Sprintf("container %s has ended with exit code %d (%s); restarts: %d", c.Name, end.ExitCode, end.Reason, c.RestartCount)
	return v
}

// status returns a condition of a pod, or the zero condition.
func status(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// Stuck pods show less than happens to them. These are the reasons of events that say more.
const (
	eventTriggeredScaleUp = "TriggeredScaleUp" // cluster-autoscaler
	eventNominated        = "Nominated"        // Karpenter
	eventNoScaleUp        = "NotTriggerScaleUp"
	eventFailedCreate     = "FailedCreate"
	eventFailedMount      = "FailedMount"
	eventUnhealthy        = "Unhealthy"
	eventKilling          = "Killing"
)

// explain adds to a verdict what events say: those of its pod, or those of the workload if there
// is no pod. They must be ordered by time; the last one with a message counts.
func explain(v verdict, events []corev1.Event) verdict {
	of := v
	for i := range events {
		e := &events[i]
		var reason v1beta1.WakeReason
		switch {
		case of.pod == nil && e.Reason == eventFailedCreate:
			if reason = v1beta1.WakeConfigError; strings.Contains(e.Message, "exceeded quota") {
				reason = v1beta1.WakeQuotaExceeded
			}
		case of.reason == v1beta1.WakeUnschedulable && (e.Reason == eventTriggeredScaleUp || e.Reason == eventNominated):
			reason = v1beta1.WakeWaitingForNode
		case of.reason == v1beta1.WakeUnschedulable && e.Reason == eventNoScaleUp:
			v = of
			continue
		case of.reason == "" && of.phase == v1beta1.WakePulling && !of.sandboxed && e.Reason == eventFailedMount && strings.Contains(e.Message, "not found"):
			reason = v1beta1.WakeConfigError
		case of.reason == "" && of.pod != nil && rank(of.phase) >= rank(v1beta1.WakeStarting) && e.Reason == eventUnhealthy,
			of.reason == v1beta1.WakeCrashLoop && e.Reason == eventKilling && strings.Contains(e.Message, "probe"):
			reason = v1beta1.WakeProbeFailing
		default:
			continue
		}
		v.reason, v.message = reason, e.Message
	}
	return v
}
