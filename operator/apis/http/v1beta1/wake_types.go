package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WakePhase is the state of the target's most advanced pod.
// +kubebuilder:validation:Enum=Scheduling;Pulling;Starting;Loading
type WakePhase string

const (
	// WakeScheduling means that there is no pod, or that it has no node.
	WakeScheduling WakePhase = "Scheduling"
	// WakePulling means that a container waits for its image or its sandbox.
	WakePulling WakePhase = "Pulling"
	// WakeStarting means that an init container runs, or that a container has not started.
	WakeStarting WakePhase = "Starting"
	// WakeLoading means that the containers have started, and are not ready.
	WakeLoading WakePhase = "Loading"
)

// WakeReason is the cause that delays a wake.
// +kubebuilder:validation:Enum=Unschedulable;WaitingForNode;QuotaExceeded;ImagePullFailed;ConfigError;CrashLoop;OOMKilled;ProbeFailing;ScaledObjectPaused
type WakeReason string

const (
	// WakeUnschedulable means that no node has room for the pod.
	WakeUnschedulable WakeReason = "Unschedulable"
	// WakeWaitingForNode means that an autoscaler is bringing a node.
	WakeWaitingForNode WakeReason = "WaitingForNode"
	// WakeQuotaExceeded means that a ResourceQuota allows no pod.
	WakeQuotaExceeded WakeReason = "QuotaExceeded"
	// WakeImagePullFailed means that pulling an image failed.
	WakeImagePullFailed WakeReason = "ImagePullFailed"
	// WakeConfigError means that the pod cannot be created as specified.
	WakeConfigError WakeReason = "ConfigError"
	// WakeCrashLoop means that a container ends again and again.
	WakeCrashLoop WakeReason = "CrashLoop"
	// WakeOOMKilled means that a container ended because it used more memory than it may.
	WakeOOMKilled WakeReason = "OOMKilled"
	// WakeProbeFailing means that a container runs, and fails a probe.
	WakeProbeFailing WakeReason = "ProbeFailing"
	// WakeScaledObjectPaused means that an annotation keeps KEDA from waking the target.
	WakeScaledObjectPaused WakeReason = "ScaledObjectPaused"
)

// WakeStatus is how far the wake of a target is. It is absent while the target is ready or
// asleep.
type WakeStatus struct {
	// Phase of the most advanced pod.
	Phase WakePhase `json:"phase"`

	// Reason is the cause that delays the wake, if it is known.
	// +optional
	Reason WakeReason `json:"reason,omitempty"`

	// Message explains the reason. Clients never see it.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`

	// StartedAt is when the wake began.
	StartedAt metav1.Time `json:"startedAt"`

	// PhaseSince is when the phase began.
	PhaseSince metav1.Time `json:"phaseSince"`

	// ExpectedReadyTime is when the target was ready after the last wakes, counted from
	// the beginning of the phase.
	// +optional
	ExpectedReadyTime *metav1.Time `json:"expectedReadyTime,omitempty"`

	// FailedTime is when the operator last found that the wake cannot succeed as it is. It is
	// renewed every 30s while that lasts, for routes with onFailure Fail only. Interceptors
	// believe it for 60s.
	// +optional
	FailedTime *metav1.Time `json:"failedTime,omitempty"`
}
