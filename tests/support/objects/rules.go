package objects

import (
	"fmt"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Rule is one rule of the API, with an object that keeps it and one that breaks it.
type Rule struct {
	// Field that the rule is about, as errors name it.
	Field string
	// Reason why Invalid is refused, in a few words; a Field may have several.
	Reason string
	// Valid is accepted.
	Valid *unstructured.Unstructured
	// Invalid is refused.
	Invalid *unstructured.Unstructured
	// Message is a part of the error that names the rule.
	Message string
}

// Rules returns every rule of both kinds. The caller owns the objects; they have
// no namespace, and all of one kind have the same name.
func Rules() ([]Rule, error) {
	var all []Rule
	for _, kind := range []struct {
		base  string
		rules []patches
	}{
		{interceptorRoute, interceptorRouteRules()},
		{httpScaledObject, httpScaledObjectRules()},
	} {
		for _, p := range kind.rules {
			rule := Rule{Field: p.field, Reason: p.reason, Message: p.message}
			var err error
			if rule.Valid, err = patched(kind.base, p.valid); err != nil {
				return nil, err
			}
			if rule.Invalid, err = patched(kind.base, p.invalid); err != nil {
				return nil, err
			}
			all = append(all, rule)
		}
	}
	return all, nil
}

// patches make the two objects of a rule from the minimal valid object of a kind. They are JSON
// merge patches (RFC 7396) of its spec, written in YAML.
type patches struct {
	field, reason, valid, invalid, message string
}

// What the API server says of a value, whatever its field.
const (
	tooShort  = "should be at least 1 chars long"
	tooLong   = "may not be more than"
	tooLow    = "should be greater than or equal to"
	tooHigh   = "should be less than or equal to"
	tooFew    = "should have at least 1 items"
	required  = "Required value"
	duplicate = "Duplicate value"
	notOneOf  = "Unsupported value"
	noMatch   = "should match '"
	wrongType = "must be of type"
)

const interceptorRoute = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: rule}
spec:
  target: {service: app, port: 80}
  scalingMetric: {concurrency: {targetValue: 1}}
`

const httpScaledObject = `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: rule}
spec:
  scaleTargetRef: {name: app, service: app, port: 80}
`

// patched returns the base object with a patch applied to its spec.
func patched(base, patch string) (*unstructured.Unstructured, error) {
	original, err := yaml.YAMLToJSON([]byte(base))
	if err != nil {
		return nil, fmt.Errorf("decoding the base object: %w", err)
	}
	spec, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		return nil, fmt.Errorf("decoding patch %q: %w", patch, err)
	}
	merged, err := jsonpatch.MergePatch(original, fmt.Appendf(nil, `{"spec":%s}`, spec))
	if err != nil {
		return nil, fmt.Errorf("applying patch %q: %w", patch, err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(merged); err != nil {
		return nil, fmt.Errorf("decoding the patched object: %w", err)
	}
	return object, nil
}

// text is a YAML string of n characters, of more bytes than characters: lengths
// are counted in characters.
func text(n int) string {
	return `"` + strings.Repeat("é", n) + `"`
}
