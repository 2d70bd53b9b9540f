package api_test

import (
	"maps"
	"testing"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// Stored objects and users' manifests contain these names.
func TestNamesAreFrozen(t *testing.T) {
	got := map[string]string{
		"group": api.Group, "route": api.KindInterceptorRoute, "scaled object": api.KindHTTPScaledObject,
		"true": api.True, "body": api.LabelResponseBody,
		"skip": api.AnnotationSkipScaledObjectCreation, "orphan": api.AnnotationOrphanScaledObject, "finalizer": api.Finalizer,
		"ready": api.ConditionReady, "routed": api.ConditionRouted, "wakes": api.ConditionWakes, "trigger of a route": api.TriggerInterceptorRoute,
		"trigger of a scaled object": api.TriggerHTTPScaledObject, "trigger of the fleet": api.TriggerPendingRequests,
	}
	want := map[string]string{
		"group": "http.keda.sh", "route": "InterceptorRoute", "scaled object": "HTTPScaledObject",
		"true": "true", "body": "http.keda.sh/response-body",
		"skip":      "httpscaledobject.keda.sh/skip-scaledobject-creation",
		"orphan":    "httpscaledobject.keda.sh/orphan-scaledobject",
		"finalizer": "httpscaledobject.http.keda.sh",
		"ready":     "Ready", "routed": "Routed", "wakes": "Wakes", "trigger of a route": "interceptorRoute",
		"trigger of a scaled object": "httpScaledObject", "trigger of the fleet": "interceptorTargetPendingRequests",
	}
	if !maps.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
}
