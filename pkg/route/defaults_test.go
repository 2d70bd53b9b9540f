package route

import (
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kedacore/http-add-on/config/crd"
	api "github.com/kedacore/http-add-on/operator/apis/http"
)

// schemaDefault returns the default of a field in the schema of a kind, as JSON.
func schemaDefault(t *testing.T, kind, path string) string {
	t.Helper()
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range definitions {
		if definition.Spec.Names.Kind != kind {
			continue
		}
		at := apiextensionsv1.JSONSchemaProps{Properties: definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties}
		for _, name := range strings.Split(path, ".") {
			at = at.Properties[name]
		}
		if at.Default == nil {
			t.Fatalf("%s has no default of %s", kind, path)
		}
		return strings.Trim(string(at.Default.Raw), `"`)
	}
	t.Fatalf("there is no kind %s", kind)
	return ""
}

// Objects that no API server has seen get the defaults of the schemas.
func TestDefaultsAreThoseOfTheSchemas(t *testing.T) {
	duration := func(kind, path string, want time.Duration) {
		t.Helper()
		if got, err := time.ParseDuration(schemaDefault(t, kind, path)); err != nil || got != want {
			t.Errorf("%s: %s is %s (%v) in the schema, %s here", kind, path, got, err, want)
		}
	}
	for _, kind := range []string{api.KindInterceptorRoute, api.KindHTTPScaledObject} {
		duration(kind, "spec.scalingMetric.requestRate.window", defaultRateWindow)
		duration(kind, "spec.scalingMetric.requestRate.granularity", defaultRateGranularity)
	}
	duration(api.KindInterceptorRoute, "spec.coldStart.streamingCallback.interval", defaultCallbackInterval)
	for path, want := range map[string]string{
		"spec.coldStartTimeoutFailoverRef.timeoutSeconds": "30",
		"spec.coldStartStreamingCallback.intervalSeconds": "5",
		"spec.scalingMetric.concurrency.targetValue":      "100",
		"spec.scalingMetric.requestRate.targetValue":      "100",
	} {
		if got := schemaDefault(t, api.KindHTTPScaledObject, path); got != want {
			t.Errorf("%s is %s in the schema, %s here", path, got, want)
		}
	}
	if FallbackReadiness != 30*time.Second || defaultCallbackInterval != 5*time.Second || defaultMetricTarget != 100 {
		t.Error("the defaults here are not those that the schema of HTTPScaledObjects has")
	}
}
