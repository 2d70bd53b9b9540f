package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// ConditionTypeReady is the condition that reports whether a route is in effect.
const ConditionTypeReady = api.ConditionReady

// TargetRef names a Service and one of its ports.
//
// +kubebuilder:validation:XValidation:rule="has(self.port) != has(self.portName)",message="exactly one of 'port' or 'portName' must be set"
type TargetRef struct {
	// Service is the name of the Service, in the namespace of the route.
	// +kubebuilder:validation:MinLength=1
	Service string `json:"service"`

	// Port is the number of the Service's port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// PortName is the name of the Service's port.
	// +optional
	// +kubebuilder:validation:MinLength=1
	PortName string `json:"portName,omitempty"`
}

// ConcurrencyTargetSpec scales on requests in flight.
type ConcurrencyTargetSpec struct {
	// TargetValue is the number of requests in flight for each replica.
	// +kubebuilder:validation:Minimum=1
	TargetValue int32 `json:"targetValue"`
}

// RequestRateTargetSpec scales on requests per second.
type RequestRateTargetSpec struct {
	// TargetValue is the number of requests per second for each replica.
	// +kubebuilder:validation:Minimum=1
	TargetValue int32 `json:"targetValue"`

	// Window over which the rate is averaged.
	// +optional
	// +kubebuilder:default="1m"
	Window metav1.Duration `json:"window,omitempty,omitzero"`

	// Granularity is the length of the window's buckets.
	// +optional
	// +kubebuilder:default="1s"
	Granularity metav1.Duration `json:"granularity,omitempty,omitzero"`
}

// ScalingMetricSpec defines the metrics that KEDA scales on. With both metrics set, KEDA uses the
// one that asks for more replicas.
//
// +kubebuilder:validation:XValidation:rule="has(self.concurrency) || has(self.requestRate)",message="at least one of 'concurrency' or 'requestRate' must be set"
type ScalingMetricSpec struct {
	// Concurrency scales on requests in flight.
	// +optional
	Concurrency *ConcurrencyTargetSpec `json:"concurrency,omitempty"`

	// RequestRate scales on requests per second.
	// +optional
	RequestRate *RequestRateTargetSpec `json:"requestRate,omitempty"`
}

// ConfigMapKeyRef names a ConfigMap, and perhaps one of its keys, in the
// namespace of the route. The ConfigMap must carry the label
// http.keda.sh/response-body: "true".
type ConfigMapKeyRef struct {
	// Name of the ConfigMap.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Key in the ConfigMap. Without it the key is the path of the request
	// without its leading slash, index.html for "/".
	// +optional
	Key string `json:"key,omitempty"`
}

// StaticResponse is a response that the interceptor gives by itself.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.body) && has(self.bodyFromConfigMap))",message="at most one of 'body' or 'bodyFromConfigMap' may be set"
type StaticResponse struct {
	// StatusCode of the response: by default 200 in a static route, 503 in a placeholder.
	// +optional
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=599
	StatusCode int32 `json:"statusCode,omitempty"`

	// Body of the response.
	// +optional
	// +kubebuilder:validation:MaxLength=32768
	Body *string `json:"body,omitempty"`

	// BodyFromConfigMap takes the body from a ConfigMap.
	// +optional
	BodyFromConfigMap *ConfigMapKeyRef `json:"bodyFromConfigMap,omitempty"`

	// Headers of the response. Content-Type defaults to the type of the
	// ConfigMap key's extension.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
}

// StaticResponseMode says when a static route answers by itself.
// +kubebuilder:validation:Enum=WhenUnavailable;Always
type StaticResponseMode string

const (
	// StaticResponseWhenUnavailable answers only while the target has no ready endpoint.
	StaticResponseWhenUnavailable StaticResponseMode = "WhenUnavailable"
	// StaticResponseAlways answers whatever the target's state.
	StaticResponseAlways StaticResponseMode = "Always"
)

// StaticRoute answers requests without waking the target. They are never counted.
type StaticRoute struct {
	// Name of the static route, which metrics show.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// Rules of which one must match.
	// +kubebuilder:validation:MinItems=1
	// +listType=atomic
	Rules []RoutingRule `json:"rules"`

	// Response to give.
	// +required
	Response StaticResponse `json:"response"`

	// ResponseMode says when the response is given; else the request is forwarded.
	// +optional
	// +kubebuilder:default=WhenUnavailable
	ResponseMode StaticResponseMode `json:"responseMode,omitempty"`
}

// FallbackService is a Service that answers when the target did not become ready in time.
//
// +kubebuilder:validation:XValidation:rule="has(self.port) != has(self.portName)",message="exactly one of 'port' or 'portName' must be set"
type FallbackService struct {
	// Name of the Service, in the namespace of the route.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Port is the number of the Service's port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// PortName is the name of the Service's port.
	// +optional
	// +kubebuilder:validation:MinLength=1
	PortName string `json:"portName,omitempty"`
}

// FallbackSpec says who answers when the target did not become ready in time.
type FallbackSpec struct {
	// Service to send the request to.
	Service FallbackService `json:"service"`
}

// PlaceholderSpec is answered at once to every request while no endpoint is ready.
type PlaceholderSpec struct {
	// Response to give; its status defaults to 503.
	// +required
	Response StaticResponse `json:"response"`
}

// OverflowPolicy decides what a request over maxPendingRequests gets.
// +kubebuilder:validation:Enum=Reject;Placeholder
type OverflowPolicy string

const (
	// OverflowReject answers 503.
	OverflowReject OverflowPolicy = "Reject"
	// OverflowPlaceholder answers the placeholder.
	OverflowPlaceholder OverflowPolicy = "Placeholder"
)

// FailurePolicy says what requests get whose target cannot wake.
// +kubebuilder:validation:Enum=Wait;Fail
type FailurePolicy string

const (
	// OnFailureWait lets requests wait until their own time is over.
	OnFailureWait FailurePolicy = "Wait"
	// OnFailureFail answers requests with the fallback, else with 503.
	OnFailureFail FailurePolicy = "Fail"
)

// StreamingDisplay says where the text of a streaming callback goes.
// +kubebuilder:validation:Enum=Content;Reasoning;None
type StreamingDisplay string

const (
	// StreamingDisplayContent shows the text as part of the answer.
	StreamingDisplayContent StreamingDisplay = "Content"
	// StreamingDisplayReasoning shows the text as the model's reasoning.
	StreamingDisplayReasoning StreamingDisplay = "Reasoning"
	// StreamingDisplayNone shows nothing: the keepalives are invisible.
	StreamingDisplayNone StreamingDisplay = "None"
)

// StreamingCallbackSpec keeps a streaming client (an LLM SDK, a chat UI) on the line while the
// target wakes. The response begins at once, in the dialect that the client speaks, and the real
// answer follows in the same response.
//
// +kubebuilder:validation:XValidation:rule="has(self.message) || (has(self.display) && self.display == 'None')",message="'message' is required unless 'display' is None"
type StreamingCallbackSpec struct {
	// Message is the text of the first event. {elapsed} is how long the target has been waking,
	// and {estimate} how long that usually takes. {phase} is the current phase of the wake, and
	// {reason} what delays it. A part in [brackets] is left out while its estimate or reason is
	// unknown.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// Interval between keepalives, at least 100ms.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(0|([0-9]{1,5}([.][0-9]+)?[hm]|[0-9]{1,9}([.][0-9]+)?(s|ms|us|µs|ns))+)$') && duration(self) >= duration('100ms')`,message="must be a duration of 100ms or more, such as 5s"
	Interval metav1.Duration `json:"interval,omitempty,omitzero"`

	// KeepaliveMessage is the text of each keepalive, with the placeholders of
	// message; an empty one shows nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	KeepaliveMessage string `json:"keepaliveMessage,omitempty"`

	// Separator is written once between the waiting text and the real answer. Unset, it is a
	// horizontal rule, "\n\n---\n\n"; "" means no separator.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Separator *string `json:"separator,omitempty"`

	// Display says where the text goes.
	// +optional
	// +kubebuilder:default=Content
	Display StreamingDisplay `json:"display,omitempty"`

	// InitialDelay is how long to wait before the response begins, so that a
	// quick wake or a quick failure keeps its real status.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(0|([0-9]{1,5}([.][0-9]+)?[hm]|[0-9]{1,9}([.][0-9]+)?(s|ms|us|µs|ns))+)$') && duration(self) >= duration('0s')`,message="must be a duration of 0s or more, such as 500ms"
	InitialDelay metav1.Duration `json:"initialDelay,omitempty,omitzero"`
}

// WaitingPageDelivery is how a browser gets the waiting page.
//
// +kubebuilder:validation:Enum=Live;Refresh
type WaitingPageDelivery string

const (
	// WaitingPageLive keeps the page open: the browser is on the application the
	// moment it is ready.
	WaitingPageLive WaitingPageDelivery = "Live"
	// WaitingPageRefresh sends a page that is complete, and that the browser asks
	// for again each refreshInterval.
	WaitingPageRefresh WaitingPageDelivery = "Refresh"
)

// CrossSiteNavigation is what a navigation gets that comes from another site.
//
// +kubebuilder:validation:Enum=Page;Hold
type CrossSiteNavigation string

const (
	// CrossSitePage shows the waiting page.
	CrossSitePage CrossSiteNavigation = "Page"
	// CrossSiteHold holds the navigation.
	CrossSiteHold CrossSiteNavigation = "Hold"
)

// WaitingPageSpec is the page that a browser shows until the application is ready.
type WaitingPageSpec struct {
	// Message of the page; by default "The application is starting." It may hold
	// {elapsed}, {estimate}, {phase} and {reason} as the message of a streaming callback.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// Title of the page; by default "Starting…"
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Title string `json:"title,omitempty"`

	// RefreshInterval after which the browser asks again, at least 1s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(0|([0-9]{1,5}([.][0-9]+)?[hm]|[0-9]{1,9}([.][0-9]+)?(s|ms|us|µs|ns))+)$') && duration(self) >= duration('1s')`,message="must be a duration of 1s or more, such as 5s"
	RefreshInterval metav1.Duration `json:"refreshInterval,omitempty,omitzero"`

	// StatusCode of the page. It must be a status that browsers show a page for.
	// +optional
	// +kubebuilder:default=503
	// +kubebuilder:validation:XValidation:rule="self >= 200 && self <= 599 && !(self in [204, 205]) && !(self >= 300 && self <= 399)",message="must be a status that a browser shows a page for: 200 to 599 but 204, 205 and 3xx"
	StatusCode int32 `json:"statusCode,omitempty"`

	// Delivery is how a browser gets the page. Live, the default, keeps it open and turns it into
	// the application when that is ready. Refresh sends the whole page, and the browser asks
	// again after each refreshInterval. Use it for a template whose scripts wait for
	// DOMContentLoaded or load.
	// +optional
	Delivery WaitingPageDelivery `json:"delivery,omitempty"`

	// CrossSite is what a navigation gets that comes from another site. After the
	// Page, the default, the browser asks again from the application's own site:
	// cookies with SameSite=Strict go along, and the referrer is lost. Hold makes it
	// wait for the application. Browsers name the site over TLS only.
	// +optional
	CrossSite CrossSiteNavigation `json:"crossSite,omitempty"`

	// BodyFromConfigMap takes the page from a ConfigMap: a template of Go's html/template.
	// Without a key, it is index.html. If the template is invalid, clients get the built-in page.
	// +optional
	BodyFromConfigMap *ConfigMapKeyRef `json:"bodyFromConfigMap,omitempty"`
}

// WarmUp is a time at which a target is kept awake.
type WarmUp struct {
	// Cron says when it begins, as in a CronJob: minute, hour, day of the month, month and day of
	// the week. A start in an hour that daylight saving time skips comes once, an hour
	// later by the clock. A start in an hour that comes twice comes in the first one.
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9*?A-Za-z][0-9*?,/A-Za-z-]*( +[0-9*?A-Za-z][0-9*?,/A-Za-z-]*){4})$`
	Cron string `json:"cron"`

	// TimeZone of the schedule, a name of the IANA database such as Europe/Berlin; by default
	// Etc/UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// For is how long the target is kept awake from then on: from 1m to 24h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,5}([.][0-9]{1,4})?[hm]|[0-9]{1,9}([.][0-9]{1,3})?s|[0-9]{1,9}ms)+$') && duration(self) >= duration('1m') && duration(self) <= duration('24h')`,message="must be a duration from 1m to 24h, such as 2h"
	For metav1.Duration `json:"for"`
}

// ColdStartSpec defines what clients get while the target has no ready endpoint.
//
// +kubebuilder:validation:XValidation:rule="has(self.fallback) || has(self.placeholder) || has(self.streamingCallback) || has(self.waitingPage) || has(self.maxPendingRequests) || has(self.activationLease) || has(self.releaseConcurrency) || has(self.onFailure) || has(self.warmUp) || has(self.wakes)",message="at least one of 'fallback', 'placeholder', 'streamingCallback', 'waitingPage', 'maxPendingRequests', 'activationLease', 'releaseConcurrency', 'onFailure', 'warmUp' or 'wakes' must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.overflow) || self.overflow != 'Placeholder' || has(self.placeholder)",message="'overflow' Placeholder needs 'placeholder' to be set"
// +kubebuilder:validation:XValidation:rule="!has(self.failAfter) || (has(self.onFailure) && self.onFailure == 'Fail')",message="'failAfter' needs 'onFailure' Fail"
type ColdStartSpec struct {
	// Fallback answers when the target did not become ready in time.
	// +optional
	Fallback *FallbackSpec `json:"fallback,omitempty"`

	// Placeholder is answered at once instead of holding requests.
	// +optional
	Placeholder *PlaceholderSpec `json:"placeholder,omitempty"`

	// MaxPendingRequests is how many requests each interceptor replica holds
	// for this route; the rest gets what Overflow says.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxPendingRequests *int32 `json:"maxPendingRequests,omitempty"`

	// Overflow decides what requests over MaxPendingRequests get.
	// +optional
	// +kubebuilder:default=Reject
	Overflow OverflowPolicy `json:"overflow,omitempty"`

	// ReleaseConcurrency caps the requests in flight per ready endpoint while held requests are
	// released, for backends that can only take so many. The release goes on until no request
	// waits and all that waited are over. Until then, new requests that find no room wait too, in
	// order. At other times there is no limit, and each interceptor replica counts by itself.
	// Unset, an endpoint gets more requests the faster it answers.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ReleaseConcurrency *int32 `json:"releaseConcurrency,omitempty"`

	// StreamingCallback keeps streaming clients on the line.
	// +optional
	StreamingCallback *StreamingCallbackSpec `json:"streamingCallback,omitempty"`

	// WaitingPage is what browsers get.
	// +optional
	WaitingPage *WaitingPageSpec `json:"waitingPage,omitempty"`

	// ActivationLease is how long a cold request asks for the target even
	// though its client was answered or has left. By default the readiness
	// timeout if there is one, else 10m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(0|([0-9]{1,5}([.][0-9]+)?[hm]|[0-9]{1,9}([.][0-9]+)?(s|ms|us|µs|ns))+)$') && duration(self) > duration('0s')`,message="must be a duration above 0s, such as 10m"
	ActivationLease *metav1.Duration `json:"activationLease,omitempty"`

	// OnFailure says what requests get while the target cannot wake as it is. The image
	// cannot be pulled, the configuration is not complete, the container ends again and
	// again, or there is no room. Wait, the default, lets them wait until their time
	// is over. Fail answers them with the fallback, else with 503; they ask for the target
	// nevertheless. It needs the phases that the operator writes.
	// +optional
	OnFailure FailurePolicy `json:"onFailure,omitempty"`

	// FailAfter is how long such a cause must last. By default it is 60s for an image, 10s
	// for the configuration, 10m for room, and three restarts for a container. While an
	// autoscaler adds a node, the target can wake; so room must be missing for 1m at least.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^(0|([0-9]{1,5}([.][0-9]+)?[hm]|[0-9]{1,9}([.][0-9]+)?(s|ms|us|µs|ns))+)$') && duration(self) > duration('0s')`,message="must be a duration above 0s, such as 2m"
	FailAfter *metav1.Duration `json:"failAfter,omitempty"`

	// WarmUp keeps the target awake at set times, before the first request comes. A warm-up
	// needs no request, and ends by itself.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	WarmUp []WarmUp `json:"warmUp,omitempty"`

	// Wakes names routes of the same namespace whose targets this target needs. A cold request
	// wakes them too, and what they wake in turn, and keeps them awake until this target is
	// ready. A warm-up keeps them awake until it ends. They may be five routes deep and 64 in
	// all. Routes that lead into a cycle wake only themselves.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Wakes []string `json:"wakes,omitempty"`
}

// InterceptorRouteTimeouts bounds the phases of a request. Unset means the
// interceptor's default, 0s means no bound.
type InterceptorRouteTimeouts struct {
	// Readiness bounds the wait for a ready endpoint.
	// +optional
	Readiness *metav1.Duration `json:"readiness,omitempty"`

	// Request bounds the whole request, from its arrival to the last byte of the response:
	// streams and upgraded connections too.
	// +optional
	Request *metav1.Duration `json:"request,omitempty"`

	// ResponseHeader bounds the wait for the target's response header.
	// +optional
	ResponseHeader *metav1.Duration `json:"responseHeader,omitempty"`
}

// InterceptorRouteSpec is the wanted state of an InterceptorRoute.
type InterceptorRouteSpec struct {
	// Target is where the requests go.
	Target TargetRef `json:"target"`

	// Rules of which one must match; without any the route matches nothing.
	// +optional
	// +listType=atomic
	Rules []RoutingRule `json:"rules,omitempty"`

	// ScalingMetric is what KEDA scales on.
	ScalingMetric ScalingMetricSpec `json:"scalingMetric"`

	// StaticRoutes answer some requests without waking the target; the first match wins.
	// +optional
	// +listType=atomic
	StaticRoutes []StaticRoute `json:"staticRoutes,omitempty"`

	// ColdStart defines what clients get while no endpoint is ready.
	// +optional
	ColdStart *ColdStartSpec `json:"coldStart,omitempty"`

	// Timeouts of the requests.
	// +optional
	Timeouts InterceptorRouteTimeouts `json:"timeouts,omitempty"`

	// SessionPersistence keeps the requests of a session with one pod. It has no effect
	// where the interceptor does not route to pods directly.
	// +optional
	SessionPersistence *SessionPersistenceSpec `json:"sessionPersistence,omitempty"`
}

// InterceptorRouteStatus is the observed state of an InterceptorRoute.
type InterceptorRouteStatus struct {
	// Conditions of the route. Ready is True once the operator has looked at it, Routed reports
	// whether requests reach the target, Wakes whether demand wakes it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Wake is how far the target's wake is; absent while it is ready or asleep.
	// +optional
	Wake *WakeStatus `json:"wake,omitempty"`
}

// InterceptorRoute routes requests to a Service that may sleep at zero replicas,
// and measures the demand for it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
// +kubebuilder:printcolumn:name="TargetService",type="string",JSONPath=".spec.target.service"
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status"
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="Routed",type="string",JSONPath=".status.conditions[?(@.type==\"Routed\")].status"
// +kubebuilder:printcolumn:name="Wakes",type="string",JSONPath=".status.conditions[?(@.type==\"Wakes\")].status"
// +kubebuilder:printcolumn:name="Phase",type="string",JSONPath=".status.wake.phase"
// +kubebuilder:printcolumn:name="Reason",type="string",JSONPath=".status.wake.reason"
type InterceptorRoute struct {
	metav1.TypeMeta `json:",inline"`
	// +required
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   InterceptorRouteSpec   `json:"spec,omitempty"`
	Status InterceptorRouteStatus `json:"status,omitempty"`
}

// InterceptorRouteList is a list of InterceptorRoutes.
//
// +kubebuilder:object:root=true
type InterceptorRouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []InterceptorRoute `json:"items"`
}
