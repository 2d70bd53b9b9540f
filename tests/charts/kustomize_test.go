//go:build charts

package charts_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// config/ is the chart's default, a file for each template.
func TestConfig(t *testing.T) {
	files := map[string][]byte{}
	for document := range strings.SplitSeq(string(withoutDefinitions(render(t, tool(t, "helm"), chart, releases()[0]))), "---\n") {
		line, body, _ := strings.Cut(document, "\n")
		template := strings.TrimPrefix(line, "# Source: keda-add-ons-http/templates/")
		if filepath.Dir(template) == "." {
			template = "operator/" + template
		}
		for _, object := range decode(t, []byte(body)) {
			text, err := sigsyaml.Marshal(kustomized(object).Object)
			if err != nil {
				t.Fatal(err)
			}
			if len(files[template]) == 0 {
				files[template] = []byte("# Derived from charts/keda-add-ons-http by the tests in tests/charts; change it there.\n")
			} else {
				files[template] = append(files[template], "---\n"...)
			}
			files[template] = append(files[template], text...)
		}
	}
	for name, text := range files {
		compare(t, filepath.Join(root, "config", name), text)
	}
}

// kustomized returns an object of the chart in the form that config has. There, 0.16 had other
// names for two Deployments, and its proxy Service had the port for TLS.
func kustomized(object *unstructured.Unstructured) *unstructured.Unstructured {
	object = plain(object)
	names := map[string]string{
		"Deployment/keda-add-ons-http-controller-manager": "keda-add-ons-http-operator",
		"Deployment/keda-add-ons-http-external-scaler":    "keda-add-ons-http-scaler",
	}
	key := object.GetKind() + "/" + object.GetName()
	if name, ok := names[key]; ok {
		object.SetName(name)
	}
	if key == "Service/keda-add-ons-http-interceptor-proxy" {
		ports, _, _ := unstructured.NestedSlice(object.Object, "spec", "ports")
		ports = append(ports, map[string]any{"name": "proxy-tls", "port": float64(8443), "targetPort": float64(8443)})
		_ = unstructured.SetNestedSlice(object.Object, ports, "spec", "ports") // they are there
	}
	return object
}

// plain takes away what only Helm's objects have.
func plain(object *unstructured.Unstructured) *unstructured.Unstructured {
	object = object.DeepCopy()
	for _, path := range [][]string{
		{"metadata", "labels"},
		{"spec", "selector"},
		{"spec", "selector", "matchLabels"},
		{"spec", "template", "metadata", "labels"},
	} {
		labels, found, err := unstructured.NestedStringMap(object.Object, path...)
		if err != nil || !found || labels["app.kubernetes.io/managed-by"] == "" {
			continue
		}
		delete(labels, "helm.sh/chart")
		labels["app.kubernetes.io/managed-by"] = "kustomize"
		if err := unstructured.SetNestedStringMap(object.Object, labels, path...); err != nil {
			return nil
		}
	}
	return object
}

// config/default builds to the same objects as the chart.
func TestKustomizeDefault(t *testing.T) {
	kustomize := tool(t, "kustomize")
	text, err := output(exec.CommandContext(t.Context(), kustomize, "build", root+"/config/default"))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, golden("kustomize.yaml"), withoutDefinitions(text))
	want, got := keyed(decode(t, render(t, tool(t, "helm"), chart, releases()[0])), kustomized), keyed(decode(t, text), plain)
	const metrics = "Service/keda/keda-add-ons-http-interceptor-metrics" // config's own, as in 0.16
	if got[metrics] == nil {
		t.Errorf("there is no %s", metrics)
	}
	delete(got, metrics)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-chart +config):\n%s", diff)
	}
	samples, err := output(exec.CommandContext(t.Context(), kustomize, "build", root+"/config/samples"))
	if err != nil || len(decode(t, samples)) != 3 {
		t.Errorf("the samples do not build: %v\n%s", err, samples)
	}
}

// keyed sorts objects by what they are; definitions are compared elsewhere.
func keyed(objects []*unstructured.Unstructured, as func(*unstructured.Unstructured) *unstructured.Unstructured) map[string]any {
	all := map[string]any{}
	for _, object := range objects {
		object = as(object)
		content := object.Object
		if object.GetKind() == "CustomResourceDefinition" {
			content = nil
		}
		all[strings.Join([]string{object.GetKind(), object.GetNamespace(), object.GetName()}, "/")] = content
	}
	return all
}
