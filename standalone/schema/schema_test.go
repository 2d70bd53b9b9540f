package schema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/standalone/schema"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// The same rules are applied to a real kube-apiserver by tests/integration/crd.
func TestCheckKeepsEveryRule(t *testing.T) {
	validator := newValidator(t)
	rules, err := objects.Rules()
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		t.Run(rule.Invalid.GetKind()+" "+rule.Field+" "+rule.Reason, func(t *testing.T) {
			if err := validator.Check(rule.Valid); err != nil {
				t.Errorf("the valid object is refused: %v", err)
			}
			err := validator.Check(rule.Invalid)
			if err == nil {
				t.Fatal("the invalid object is accepted")
			}
			if !strings.Contains(err.Error(), rule.Field) || !strings.Contains(err.Error(), rule.Message) {
				t.Errorf("the error names not the field or the rule: %v\nwant: %s … %s", err, rule.Field, rule.Message)
			}
			if strings.Contains(err.Error(), "conversion error") {
				t.Errorf("the error comes from CEL, not from our schema: %v", err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		reason, manifest, want, err string
	}{
		{
			reason: "defaults are applied at every depth",
			manifest: `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: a}
spec:
  target: {service: a, port: 80}
  scalingMetric: {requestRate: {targetValue: 5}}
  staticRoutes: [{rules: [{}], response: {}}]
  coldStart: {streamingCallback: {message: Waking}, waitingPage: {}}`,
			want: `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: a}
spec:
  target: {service: a, port: 80}
  scalingMetric: {requestRate: {targetValue: 5, window: 1m, granularity: 1s}}
  staticRoutes: [{rules: [{}], response: {}, responseMode: WhenUnavailable}]
  coldStart:
    overflow: Reject
    streamingCallback: {message: Waking, interval: 5s, display: Content}
    waitingPage: {refreshInterval: 5s, statusCode: 503}`,
		},
		{
			reason:   "every error is reported, those of unknown fields too, and unknown fields are removed",
			manifest: "{apiVersion: http.keda.sh/v1beta1, kind: InterceptorRoute, metadata: {name: A_, shade: 1}, spec: {hue: 1}}",
			want:     "{apiVersion: http.keda.sh/v1beta1, kind: InterceptorRoute, metadata: {name: A_}, spec: {}}",
			err: `unknown field "spec.hue"
unknown field "metadata.shade"
metadata.name: Invalid value: "A_"
spec.scalingMetric: Required value
spec.target: Required value`,
		},
		{
			reason:   "an object without a name",
			manifest: "{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, spec: {scaleTargetRef: {service: a}}}",
			want:     "{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, spec: {scaleTargetRef: {service: a}}}",
			err:      "metadata.name: Required value: name or generateName is required",
		},
		{
			reason:   "metadata of the wrong type",
			manifest: "{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, metadata: {name: 1}, spec: {scaleTargetRef: {service: a}}}",
			want:     "{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, metadata: {name: 1}, spec: {scaleTargetRef: {service: a}}}",
			err:      "metadata: Invalid value",
		},
		{
			reason:   "a version that does not exist",
			manifest: "{apiVersion: http.keda.sh/v1, kind: InterceptorRoute, metadata: {name: a}}",
			want:     "{apiVersion: http.keda.sh/v1, kind: InterceptorRoute, metadata: {name: a}}",
			err:      `no matches for kind "InterceptorRoute" in version "http.keda.sh/v1"`,
		},
		{
			reason:   "somebody else's object is left alone",
			manifest: "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {x: 1}}",
			want:     "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {x: 1}}",
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			object := decode(t, test.manifest)
			err := newValidator(t).Check(object)
			if diff := cmp.Diff(decode(t, test.want), object); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
			if (test.err == "") != (err == nil) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			for _, line := range strings.Split(test.err, "\n") {
				if err != nil && !strings.Contains(err.Error(), line) {
					t.Errorf("error %v\nwant %s", err, line)
				}
			}
		})
	}
}

func newValidator(t *testing.T) *schema.Validator {
	t.Helper()
	validator, err := schema.New()
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

func decode(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	return object
}

// The text that a streaming client reads first must be there, in both versions.
func TestMessageHasAMinimumLengthInBothVersions(t *testing.T) {
	validator := newValidator(t)
	for name, manifest := range map[string]string{
		"v1alpha1": `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: a}
spec:
  scaleTargetRef: {service: a}
  coldStartStreamingCallback: {message: MESSAGE}`,
		"v1beta1": `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: a}
spec:
  target: {service: a, port: 80}
  scalingMetric: {concurrency: {targetValue: 1}}
  coldStart: {streamingCallback: {message: MESSAGE}}`,
	} {
		t.Run(name, func(t *testing.T) {
			for message, ok := range map[string]bool{`""`: false, `"W"`: true, `"` + strings.Repeat("W", 1024) + `"`: true, `"` + strings.Repeat("W", 1025) + `"`: false} {
				data, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(manifest, "MESSAGE", message)))
				if err != nil {
					t.Fatal(err)
				}
				u := &unstructured.Unstructured{}
				if err := u.UnmarshalJSON(data); err != nil {
					t.Fatal(err)
				}
				err = validator.Check(u)
				if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "message") {
					t.Errorf("a message of %d characters: %v", len(message)-2, err)
				}
			}
		})
	}
}
