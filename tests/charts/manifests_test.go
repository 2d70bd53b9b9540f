package charts_test

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/tests/support/objects"
)

const root = "../.."

// release is one way to render the chart.
type release struct {
	golden    string // a file of testdata/golden
	values    string // a file of testdata/values; empty is the chart's own
	name      string
	namespace string
}

func releases() []release {
	return []release{
		// The release that config/default is the same as.
		{golden: "default.yaml", name: "keda-add-ons-http", namespace: "keda"},
		{golden: "full.yaml", values: "full.yaml", name: "edge", namespace: "traffic"},
		{golden: "snake-case-tls.yaml", values: "snake-case-tls.yaml", name: "http-add-on", namespace: "keda"},
	}
}

func golden(name string) string { return filepath.Join("testdata", "golden", name) }

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// decode returns the objects of a stream of YAML documents.
func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	all, err := objects.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// convert decodes an object into its Go type and fails on fields that it lacks.
func convert[T any](t *testing.T, object *unstructured.Unstructured) T {
	t.Helper()
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return typed
}

// settings reads a values file.
func settings(t *testing.T, name string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := sigsyaml.Unmarshal(read(t, name), &values); err != nil {
		t.Fatal(err)
	}
	return values
}
