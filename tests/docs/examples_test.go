package docs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/pkg/waitingpage"
	"github.com/kedacore/http-add-on/standalone/schema"
)

// examples returns the errors of the documents in a block of YAML. It checks objects of this
// project against their schemas, rules included. It checks a part of an InterceptorRoute's spec
// as part of a route, and the templates of waiting pages. Other documents only have to be YAML.
func examples(validator *schema.Validator, text string) []error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var problems []error
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return problems
		}
		if err != nil {
			return append(problems, err)
		}
		encoded, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return append(problems, fmt.Errorf("not YAML: %w", err))
		}
		var content any
		if err := json.Unmarshal(encoded, &content); err != nil { // whole numbers are integers, unlike in encoding/json
			return append(problems, err)
		}
		fields, ok := content.(map[string]any)
		if !ok {
			continue
		}
		object := complete(fields)
		if err := validator.Check(object); err != nil {
			problems = append(problems, err)
		}
		for key, source := range templates(object) {
			if _, err := waitingpage.Parse(source, waitingpage.Fields{}); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", key, err))
			}
		}
	}
}

// templates returns the waiting pages in a ConfigMap, by key.
func templates(object *unstructured.Unstructured) map[string]string {
	if object.GetKind() != "ConfigMap" {
		return nil
	}
	found := map[string]string{}
	data, _, _ := unstructured.NestedStringMap(object.Object, "data")
	for key, text := range data {
		if strings.Contains(text, "{{") {
			found[key] = text
		}
	}
	return found
}

// complete returns an InterceptorRoute with the given part of a spec, or the object
// itself if fields are not such a part.
func complete(fields map[string]any) *unstructured.Unstructured {
	spec := map[string]any{
		"target":        map[string]any{"service": "app", "port": int64(80)},
		"scalingMetric": map[string]any{"concurrency": map[string]any{"targetValue": int64(1)}},
	}
	for name, value := range fields {
		switch name {
		case "target", "rules", "scalingMetric", "staticRoutes", "coldStart", "timeouts":
			spec[name] = value
		default:
			return &unstructured.Unstructured{Object: fields}
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "http.keda.sh/v1beta1", "kind": "InterceptorRoute",
		"metadata": map[string]any{"name": "part"}, "spec": spec,
	}}
}
