package wake

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// pod is one on a node whose kubelet has looked at it.
func pod(name string, containers ...corev1.ContainerStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{NodeName: "node"},
		Status:     corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: containers},
	}
}

func with(p *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	change(p)
	return p
}

func unscheduled(p *corev1.Pod) *corev1.Pod {
	return with(p, func(p *corev1.Pod) {
		p.Spec.NodeName = ""
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes",
		}}
	})
}

func isReady(p *corev1.Pod) *corev1.Pod {
	return with(p, func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	})
}

func initialized(p *corev1.Pod, statuses ...corev1.ContainerStatus) *corev1.Pod {
	return with(p, func(p *corev1.Pod) { p.Status.InitContainerStatuses = statuses })
}

func waiting(reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}}}
}

func running(started bool) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "app", Started: &started, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func ended(code int32, reason string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}
}

func over(code int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Terminated: ended(code, "Error")}}
}

// again is a container that was restarted.
func again(c corev1.ContainerStatus, reason string) corev1.ContainerStatus {
	c.RestartCount, c.LastTerminationState.Terminated = 2, ended(137, reason)
	return c
}

func TestJudge(t *testing.T) {
	const scheduling, pulling, starting, loading = v1beta1.WakeScheduling, v1beta1.WakePulling, v1beta1.WakeStarting, v1beta1.WakeLoading
	created := waiting("ContainerCreating")
	sidecarOf := func(p *corev1.Pod) *corev1.Pod {
		return with(p, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "app", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
		})
	}
	for _, test := range []struct {
		why    string
		pods   []*corev1.Pod
		phase  v1beta1.WakePhase
		reason v1beta1.WakeReason
	}{
		{"no pod", nil, scheduling, ""},
		{"not scheduled yet", []*corev1.Pod{with(pod("a"), func(p *corev1.Pod) { p.Spec.NodeName = "" })}, scheduling, ""},
		{"no room", []*corev1.Pod{unscheduled(pod("a"))}, scheduling, v1beta1.WakeUnschedulable},
		{"the kubelet has not looked", []*corev1.Pod{pod("a")}, pulling, ""},
		{"a status without a state", []*corev1.Pod{pod("a", corev1.ContainerStatus{})}, pulling, ""},
		{"image or sandbox", []*corev1.Pod{pod("a", created)}, pulling, ""},
		{"no such image", []*corev1.Pod{pod("a", waiting("ErrImagePull"))}, pulling, v1beta1.WakeImagePullFailed},
		{"no such image, later", []*corev1.Pod{pod("a", waiting("ImagePullBackOff"))}, pulling, v1beta1.WakeImagePullFailed},
		{"no name of an image", []*corev1.Pod{pod("a", waiting("InvalidImageName"))}, pulling, v1beta1.WakeConfigError},
		{"no such ConfigMap", []*corev1.Pod{pod("a", waiting("CreateContainerConfigError"))}, starting, v1beta1.WakeConfigError},
		{"no such command", []*corev1.Pod{pod("a", waiting("RunContainerError"))}, starting, v1beta1.WakeConfigError},
		{"not started", []*corev1.Pod{pod("a", running(false))}, starting, ""},
		{"not ready", []*corev1.Pod{pod("a", running(true))}, loading, ""},
		{"ready", []*corev1.Pod{isReady(pod("a", running(true)))}, ready, ""},
		{"crashed once", []*corev1.Pod{pod("a", over(1))}, starting, v1beta1.WakeCrashLoop},
		{"a server that ends", []*corev1.Pod{pod("a", over(0))}, starting, v1beta1.WakeCrashLoop},
		{"waits to be restarted", []*corev1.Pod{pod("a", again(waiting("CrashLoopBackOff"), "Error"))}, starting, v1beta1.WakeCrashLoop},
		{"restarted", []*corev1.Pod{pod("a", again(running(true), "Error"))}, loading, v1beta1.WakeCrashLoop},
		{"restarted, not started", []*corev1.Pod{pod("a", again(running(false), "Error"))}, starting, v1beta1.WakeCrashLoop},
		{"out of memory", []*corev1.Pod{pod("a", again(waiting("CrashLoopBackOff"), "OOMKilled"))}, starting, v1beta1.WakeOOMKilled},
		{"the least far container counts", []*corev1.Pod{pod("a", running(true), created)}, pulling, ""},
		{"and what is wrong with it", []*corev1.Pod{pod("a", waiting("ErrImagePull"), created)}, pulling, v1beta1.WakeImagePullFailed},
		{"an image of an init container", []*corev1.Pod{initialized(pod("a", waiting("PodInitializing")), waiting("PodInitializing"))}, pulling, ""},
		{"an init container runs", []*corev1.Pod{initialized(pod("a", waiting("PodInitializing")), running(true))}, starting, ""},
		{"an init container fails", []*corev1.Pod{initialized(pod("a", waiting("PodInitializing")), over(1))}, starting, v1beta1.WakeCrashLoop},
		{"an init container is over", []*corev1.Pod{initialized(pod("a", created), over(0))}, pulling, ""},
		{"a sidecar has started", []*corev1.Pod{sidecarOf(initialized(pod("a", created), running(true)))}, pulling, ""},
		{"a sidecar starts", []*corev1.Pod{sidecarOf(initialized(pod("a", created), running(false)))}, starting, ""},
		{"the furthest pod", []*corev1.Pod{unscheduled(pod("a")), pod("b", running(true)), pod("c", created)}, loading, ""},
		{"of two the one without a problem", []*corev1.Pod{pod("a", waiting("ErrImagePull")), pod("b", created)}, pulling, ""},
		{"not one that goes", []*corev1.Pod{with(pod("a", running(true)), func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }), pod("b", created)}, pulling, ""},
		{"not one that was evicted", []*corev1.Pod{with(pod("a"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })}, scheduling, ""},
	} {
		for range 2 {
			trimmed := make([]*corev1.Pod, 0, len(test.pods))
			for _, p := range test.pods {
				p = p.DeepCopy()
				trim(p)
				trimmed = append(trimmed, p)
			}
			if got := judge(trimmed); got.phase != test.phase || got.reason != test.reason || (got.reason == "") != (got.message == "") {
				t.Errorf("%s: %s %q (%s), want %s %q", test.why, got.phase, got.reason, got.message, test.phase, test.reason)
			}
			slices.Reverse(test.pods)
		}
	}
}

// sandbox sets whether the kubelet reports the sandbox of a pod.
func sandbox(p *corev1.Pod, status corev1.ConditionStatus) *corev1.Pod {
	return with(p, func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: status})
	})
}

func TestTheSandboxTellsWhatAPodWaitsFor(t *testing.T) {
	const either, image = "waiting for its volumes, its network or its image", "waiting for its image"
	created := waiting("ContainerCreating")
	for _, test := range []struct {
		why     string
		pods    []*corev1.Pod
		message string
	}{
		{"a kubelet that does not say", []*corev1.Pod{pod("a", created)}, ""},
		{"no sandbox", []*corev1.Pod{sandbox(pod("a", created), corev1.ConditionFalse)}, either},
		{"a sandbox", []*corev1.Pod{sandbox(pod("a", created), corev1.ConditionTrue)}, image},
		{"a problem is worth more", []*corev1.Pod{sandbox(pod("a", waiting("ErrImagePull")), corev1.ConditionTrue)}, "container app: ErrImagePull: why"},
		{"the furthest of two", []*corev1.Pod{sandbox(pod("a", created), corev1.ConditionFalse), sandbox(pod("b", created), corev1.ConditionTrue)}, image},
		{"one that runs", []*corev1.Pod{sandbox(pod("a", running(false)), corev1.ConditionTrue)}, ""},
	} {
		for _, p := range test.pods {
			trim(p)
		}
		if got := judge(test.pods); got.message != test.message {
			t.Errorf("%s: %q, want %q", test.why, got.message, test.message)
		}
	}
}

func TestExplain(t *testing.T) {
	none := verdict{phase: v1beta1.WakeScheduling}
	stuck := judge([]*corev1.Pod{unscheduled(pod("a"))})
	loading := judge([]*corev1.Pod{pod("a", running(true))})
	crashing := judge([]*corev1.Pod{pod("a", again(running(true), "Error"))})
	pulling := judge([]*corev1.Pod{pod("a", waiting("ContainerCreating"))})
	event := func(reason, message string) corev1.Event { return corev1.Event{Reason: reason, Message: message} }
	for _, test := range []struct {
		why    string
		of     verdict
		events []corev1.Event
		want   v1beta1.WakeReason
	}{
		{"nothing", none, nil, ""},
		{"a quota", none, []corev1.Event{event("FailedCreate", `pods "a" is forbidden: exceeded quota: q`)}, v1beta1.WakeQuotaExceeded},
		{"admission", none, []corev1.Event{event("FailedCreate", `admission webhook denied`)}, v1beta1.WakeConfigError},
		{"a quota is of no pod's business", loading, []corev1.Event{event("FailedCreate", `exceeded quota`)}, ""},
		{"cluster-autoscaler", stuck, []corev1.Event{event("FailedScheduling", ""), event("TriggeredScaleUp", "")}, v1beta1.WakeWaitingForNode},
		{"Karpenter", stuck, []corev1.Event{event("Nominated", "")}, v1beta1.WakeWaitingForNode},
		{"it has given up", stuck, []corev1.Event{event("TriggeredScaleUp", ""), event("NotTriggerScaleUp", "")}, v1beta1.WakeUnschedulable},
		{"it tries again", stuck, []corev1.Event{event("NotTriggerScaleUp", ""), event("TriggeredScaleUp", "")}, v1beta1.WakeWaitingForNode},
		{"no reason to be stuck", stuck, nil, v1beta1.WakeUnschedulable},
		{"a wrong probe", loading, []corev1.Event{event("Unhealthy", "Readiness probe failed")}, v1beta1.WakeProbeFailing},
		{"killed by a probe", crashing, []corev1.Event{event("Killing", "failed startup probe, will be restarted")}, v1beta1.WakeProbeFailing},
		{"a crash, and a probe that failed meanwhile", crashing, []corev1.Event{event("Unhealthy", "Readiness probe failed")}, v1beta1.WakeCrashLoop},
		{"no such volume", pulling, []corev1.Event{event("FailedMount", `configmap "c" not found`)}, v1beta1.WakeConfigError},
		{"a volume that was missing", judge([]*corev1.Pod{sandbox(pod("a", waiting("ContainerCreating")), corev1.ConditionTrue)}), []corev1.Event{event("FailedMount", `configmap "c" not found`)}, ""},
		{"a volume that is slow", pulling, []corev1.Event{event("FailedMount", `timed out`)}, ""},
	} {
		if got := explain(test.of, test.events); got.reason != test.want || got.phase != test.of.phase {
			t.Errorf("%s: %s %q (%s), want %q", test.why, got.phase, got.reason, got.message, test.want)
		}
	}
}

func TestTrimKeepsWhatIsJudgedAndNoMore(t *testing.T) {
	p := pod("a", waiting("ErrImagePull"))
	p.Labels = map[string]string{"app": "a"}
	env := []corev1.EnvVar{{Name: "TOKEN", Value: "secret"}}
	probe := &corev1.Probe{PeriodSeconds: 7, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/secret"}}}
	p.Spec.Containers = []corev1.Container{{Name: "a", Image: "image", Env: env}, {Name: "b", Env: env, ReadinessProbe: probe}}
	p.Status.ContainerStatuses[0].State.Waiting.Message = strings.Repeat("ä", 1000)
	trim(p)
	times := []corev1.Container{{Name: "b", ReadinessProbe: &corev1.Probe{PeriodSeconds: 7}}}
	if !equality.Semantic.DeepEqual(p.Spec.Containers, times) || p.Labels["app"] != "a" || len(p.Status.ContainerStatuses[0].State.Waiting.Message) > maxMessage {
		t.Errorf("kept %+v", p)
	}
}

func TestShorten(t *testing.T) {
	for _, text := range []string{"", strings.Repeat("a", 256), strings.Repeat("a", 257), strings.Repeat("ä", 400)} {
		got := shorten(text)
		if len(got) > maxMessage || len(text) <= maxMessage && got != text || strings.Contains(got, "\uFFFD") {
			t.Errorf("%d bytes are %q", len(text), got)
		}
	}
}

func TestMedianIsTheUpperOne(t *testing.T) {
	if got := median([]time.Duration{3, 1, 2, 4}); got != 3 || median(nil) != 0 {
		t.Errorf("median %v", got)
	}
}
