// Package api holds the names of the group http.keda.sh that are written into
// objects: kinds, labels, annotations and the keys of trigger metadata. All of
// them are frozen: stored objects and users' manifests contain them.
package api

// Group is the API group of both kinds.
const Group = "http.keda.sh"

// The kinds of the group.
const (
	KindInterceptorRoute = "InterceptorRoute"
	KindHTTPScaledObject = "HTTPScaledObject"
)

// True is the value that switches on a label or an annotation of the group.
const True = "true"

// LabelResponseBody set to True allows responses to be taken from a ConfigMap.
const LabelResponseBody = "http.keda.sh/response-body"

// Annotations and the finalizer of an HTTPScaledObject.
const (
	// AnnotationSkipScaledObjectCreation set to True creates no ScaledObject, and deletes the one
	// that the operator created.
	AnnotationSkipScaledObjectCreation = "httpscaledobject.keda.sh/skip-scaledobject-creation"
	// AnnotationOrphanScaledObject set to True drops the owner reference and keeps the ScaledObject.
	AnnotationOrphanScaledObject = "httpscaledobject.keda.sh/orphan-scaledobject"
	// Finalizer is found on objects that older versions created.
	Finalizer = "httpscaledobject.http.keda.sh"
)

// The types of the conditions of both kinds.
const (
	// ConditionReady reports that the operator has looked at an object and did what the
	// object asks of it. It does not wait for other objects.
	ConditionReady = "Ready"
	// ConditionRouted reports whether requests reach the target.
	ConditionRouted = "Routed"
	// ConditionWakes reports whether demand wakes the target.
	ConditionWakes = "Wakes"
)

// The types of conditions that an HTTPScaledObject has only while they are True.
const (
	// ConditionContested reports that an install of the add-on leaves the ScaledObject to another one.
	ConditionContested = "Contested"
	// ConditionWorkloadChanged reports that the object named another workload before, which keeps
	// its replicas.
	ConditionWorkloadChanged = "WorkloadChanged"
)

// Keys of the metadata of a KEDA trigger that calls the external scaler.
const (
	// TriggerInterceptorRoute names the InterceptorRoute to measure. It wins over the keys below.
	TriggerInterceptorRoute = "interceptorRoute"
	// TriggerHTTPScaledObject names the HTTPScaledObject to measure.
	TriggerHTTPScaledObject = "httpScaledObject"
	// TriggerPendingRequests, without one of the keys above, measures all routes
	// together: its value is how many requests one interceptor may have in flight.
	TriggerPendingRequests = "interceptorTargetPendingRequests"
)
