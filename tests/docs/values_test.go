package docs

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/tests/support/markdown"
)

// Helm ignores a value that the chart does not have, so nobody who copies a misspelled one
// from a page would notice.
func TestValuesOfPagesExist(t *testing.T) {
	chart := map[string]any{}
	text, err := os.ReadFile(filepath.Join(root, "charts/keda-add-ons-http/values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	if got, want := missing(map[string]any{
		"interceptor": map[string]any{"drainTimout": "30s", "extraEnvs": map[string]any{"ANY": "name"}}, "scaler": nil, "intercepter": nil,
	}, chart, ""), []string{"intercepter", "interceptor.drainTimout"}; !slices.Equal(got, want) {
		t.Errorf("the values %q were found missing, want %q", got, want)
	}
	paths, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(root + "/docs/guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, path := range append(paths, more...) {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range markdown.Parse(string(page)).Blocks {
			var fields map[string]any
			if b.Language != "yaml" || yaml.Unmarshal([]byte(b.Text), &fields) != nil {
				continue
			}
			values := valuesIn(fields, chart)
			if values == nil {
				continue
			}
			blocks++
			for _, name := range missing(values, chart, "") {
				t.Errorf("%s:%d: the chart has no value %s", path, b.Line, name)
			}
		}
	}
	if blocks < 10 {
		t.Errorf("only %d blocks have values", blocks)
	}
}

// valuesIn returns the chart's values in a document: a file of values, an Application of Argo CD
// or a HelmRelease of Flux.
func valuesIn(fields, chart map[string]any) map[string]any {
	inner := func(path ...string) map[string]any {
		at := fields
		for _, key := range path {
			at, _ = at[key].(map[string]any)
		}
		return at
	}
	switch {
	case fields["kind"] == "Application":
		return inner("spec", "source", "helm", "valuesObject")
	case fields["kind"] == "HelmRelease":
		return inner("spec", "values")
	case fields["kind"] != nil:
		return nil
	}
	for key := range fields {
		if _, ok := chart[key]; ok {
			return fields
		}
	}
	return nil
}

// missing returns the paths of values that the chart does not have. Users choose the keys below a
// map that is empty in the chart.
func missing(values, chart map[string]any, path string) (names []string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		standard, ok := chart[key]
		if !ok {
			names = append(names, path+key)
			continue
		}
		given, _ := values[key].(map[string]any)
		if has, _ := standard.(map[string]any); len(has) > 0 {
			names = append(names, missing(given, has, path+key+".")...)
		}
	}
	return names
}
