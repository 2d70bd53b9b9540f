package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// ConditionTypeReady is the condition that reports whether the object is in effect.
const ConditionTypeReady = api.ConditionReady

// ScaleTargetRef names the workload to scale and the Service to route to.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.port) && has(self.portName))",message="must define either the 'portName' or the 'port', not both"
type ScaleTargetRef struct {
	// Name of the workload.
	// +optional
	Name string `json:"name,omitempty"`

	// APIVersion of the workload.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the workload.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Service to route to.
	Service string `json:"service"`

	// Port is the number of the Service's port. With neither a port nor a portName, the Service's
	// only port is used.
	// +optional
	Port int32 `json:"port,omitempty"`

	// PortName is the name of the Service's port.
	// +optional
	PortName string `json:"portName,omitempty"`
}

// ColdStartTimeoutFailoverRef names a Service that answers when the target did not become ready in time.
//
// +kubebuilder:validation:XValidation:rule="has(self.port) != has(self.portName)",message="must define either the 'portName' or the 'port'"
type ColdStartTimeoutFailoverRef struct {
	// Service to send the request to.
	Service string `json:"service"`

	// Port is the number of the Service's port.
	// +optional
	Port int32 `json:"port,omitempty"`

	// PortName is the name of the Service's port.
	// +optional
	PortName string `json:"portName,omitempty"`

	// TimeoutSeconds is how long to wait for the target.
	// +optional
	// +kubebuilder:default=30
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// ReplicaStruct bounds the number of replicas.
type ReplicaStruct struct {
	// Min is the least number of replicas; 0 lets the workload sleep. Unset means 0, KEDA's default.
	// +optional
	Min *int32 `json:"min,omitempty"`

	// Max is the greatest number of replicas. Unset means 100, KEDA's default.
	// +optional
	Max *int32 `json:"max,omitempty"`
}

// ConcurrencyMetricSpec scales on requests in flight.
type ConcurrencyMetricSpec struct {
	// TargetValue is the number of requests in flight for each replica.
	// +optional
	// +kubebuilder:default=100
	TargetValue int `json:"targetValue"`
}

// RateMetricSpec scales on requests per second.
type RateMetricSpec struct {
	// TargetValue is the number of requests per second for each replica.
	// +optional
	// +kubebuilder:default=100
	TargetValue int `json:"targetValue"`

	// Window over which the rate is averaged.
	// +optional
	// +kubebuilder:default="1m"
	Window metav1.Duration `json:"window"`

	// Granularity is the length of the window's buckets.
	// +optional
	// +kubebuilder:default="1s"
	Granularity metav1.Duration `json:"granularity"`
}

// ScalingMetricSpec defines the metric that KEDA scales on: one of the two.
type ScalingMetricSpec struct {
	// Concurrency scales on requests in flight.
	// +optional
	Concurrency *ConcurrencyMetricSpec `json:"concurrency,omitempty"`

	// RequestRate scales on requests per second.
	// +optional
	Rate *RateMetricSpec `json:"requestRate,omitempty"`
}

// HTTPScaledObjectTimeoutsSpec overrides the interceptor's timeouts; only values above zero count.
type HTTPScaledObjectTimeoutsSpec struct {
	// ConditionWait bounds the wait for a ready endpoint.
	// +optional
	ConditionWait metav1.Duration `json:"conditionWait,omitempty"`

	// ResponseHeader bounds the wait for the target's response header.
	// +optional
	ResponseHeader metav1.Duration `json:"responseHeader,omitempty"`
}

// Header matches a request header.
type Header struct {
	// Name of the header; case does not matter.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Value that the header must have, exactly. Without it any value matches.
	// +optional
	Value *string `json:"value,omitempty"`
}

// ColdStartStreamingCallbackSpec keeps a streaming client on the line while the
// target wakes: see StreamingCallbackSpec of v1beta1, which it is converted to.
type ColdStartStreamingCallbackSpec struct {
	// Message is the text of the first event; it may hold {elapsed}, {estimate}, {phase} and
	// {reason}, as that of a StreamingCallbackSpec.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`

	// IntervalSeconds between keepalives.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`

	// KeepaliveMessage is the text of each keepalive; an empty one shows nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	KeepaliveMessage string `json:"keepaliveMessage,omitempty"`
}

// HTTPScaledObjectSpec is the wanted state of an HTTPScaledObject.
type HTTPScaledObjectSpec struct {
	// Hosts to route, exact or wildcards; none is every host.
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// PathPrefixes to route, of whole segments; none is every path.
	// +optional
	PathPrefixes []string `json:"pathPrefixes,omitempty"`

	// Headers that must all match.
	// +optional
	// +listType=map
	// +listMapKey=name
	Headers []Header `json:"headers,omitempty"`

	// ScaleTargetRef names the workload to scale and the Service to route to.
	ScaleTargetRef ScaleTargetRef `json:"scaleTargetRef"`

	// ColdStartTimeoutFailoverRef answers when the target did not become ready in time.
	// +optional
	ColdStartTimeoutFailoverRef *ColdStartTimeoutFailoverRef `json:"coldStartTimeoutFailoverRef,omitempty"`

	// Replicas bounds the number of replicas.
	// +optional
	Replicas *ReplicaStruct `json:"replicas,omitempty"`

	// TargetPendingRequests is the old form of scalingMetric.concurrency.targetValue.
	//
	// Deprecated: use scalingMetric.
	// +optional
	TargetPendingRequests *int32 `json:"targetPendingRequests,omitempty"`

	// ScaledownPeriod is how many seconds without requests pass before the workload sleeps. Unset
	// means 300, KEDA's default.
	// +optional
	CooldownPeriod *int32 `json:"scaledownPeriod,omitempty"`

	// InitialCooldownPeriod is how many seconds pass before a new workload may sleep.
	// +optional
	InitialCooldownPeriod *int32 `json:"initialCooldownPeriod,omitempty"`

	// ScalingMetric is what KEDA scales on.
	// +optional
	ScalingMetric *ScalingMetricSpec `json:"scalingMetric,omitempty"`

	// Timeouts override the interceptor's.
	// +optional
	Timeouts *HTTPScaledObjectTimeoutsSpec `json:"timeouts,omitempty"`

	// ColdStartStreamingCallback keeps streaming clients on the line while the target wakes.
	// +optional
	ColdStartStreamingCallback *ColdStartStreamingCallbackSpec `json:"coldStartStreamingCallback,omitempty"`

	// ColdStartMessage is the text of the page for browsers while the target wakes. Empty means
	// the default text, unset means no page. It may hold {elapsed}, {estimate}, {phase} and
	// {reason}.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ColdStartMessage *string `json:"coldStartMessage,omitempty"`
}

// HTTPScaledObjectStatus is the observed state of an HTTPScaledObject.
type HTTPScaledObjectStatus struct {
	// TargetWorkload is "apiVersion/kind/name".
	// +optional
	TargetWorkload string `json:"targetWorkload,omitempty"`

	// TargetService is "service:port".
	// +optional
	TargetService string `json:"targetService,omitempty"`

	// Conditions of the object. Ready is True if there is a ScaledObject, Routed reports whether
	// requests reach the target, Wakes whether demand wakes it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Wake is how far the target's wake is; absent while it is ready or asleep.
	// +optional
	Wake *v1beta1.WakeStatus `json:"wake,omitempty"`
}

// HTTPScaledObject routes requests to a Service and has a ScaledObject made for
// the workload behind it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=httpso
// +kubebuilder:printcolumn:name="TargetWorkload",type="string",JSONPath=".status.targetWorkload"
// +kubebuilder:printcolumn:name="TargetService",type="string",JSONPath=".status.targetService"
// +kubebuilder:printcolumn:name="MinReplicas",type="integer",JSONPath=".spec.replicas.min"
// +kubebuilder:printcolumn:name="MaxReplicas",type="integer",JSONPath=".spec.replicas.max"
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status"
// +kubebuilder:printcolumn:name="Routed",type="string",JSONPath=".status.conditions[?(@.type==\"Routed\")].status"
// +kubebuilder:printcolumn:name="Wakes",type="string",JSONPath=".status.conditions[?(@.type==\"Wakes\")].status"
// +kubebuilder:printcolumn:name="Phase",type="string",JSONPath=".status.wake.phase"
// +kubebuilder:printcolumn:name="Reason",type="string",JSONPath=".status.wake.reason"
type HTTPScaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   HTTPScaledObjectSpec   `json:"spec,omitempty"`
	Status HTTPScaledObjectStatus `json:"status,omitempty"`
}

// HTTPScaledObjectList is a list of HTTPScaledObjects.
//
// +kubebuilder:object:root=true
type HTTPScaledObjectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []HTTPScaledObject `json:"items"`
}
