package crd_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kedacore/http-add-on/config/crd"
)

// The surface of a definition is what manifests, scripts and other programs depend on: names,
// types, defaults and bounds. testdata lists it, by hand on purpose. A new field adds lines;
// changing or removing one breaks users. Fields that 0.16 had may not even get tighter.
func TestSurface(t *testing.T) {
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	if len(definitions) != 2 {
		t.Fatalf("%d definitions, want 2", len(definitions))
	}
	for _, definition := range definitions {
		t.Run(definition.Name, func(t *testing.T) {
			want, err := os.ReadFile("testdata/" + definition.Spec.Names.Plural + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), surface(definition)); diff != "" {
				t.Errorf("the public surface has changed (-want +got):\n%s", diff)
			}
		})
	}
}

// surface describes a definition, one line for each name that it exposes.
func surface(definition *apiextensionsv1.CustomResourceDefinition) []string {
	names := definition.Spec.Names
	lines := []string{fmt.Sprintf("%s/%s %s %s %v %v", definition.Spec.Group, definition.Spec.Versions[0].Name,
		definition.Spec.Scope, names.Kind, names.Plural, names.ShortNames)}
	for _, version := range definition.Spec.Versions {
		lines = append(lines, fmt.Sprintf("version %s served=%t storage=%t status=%t",
			version.Name, version.Served, version.Storage, version.Subresources.Status != nil))
		for _, column := range version.AdditionalPrinterColumns {
			lines = append(lines, fmt.Sprintf("column %s %s %s", column.Name, column.Type, column.JSONPath))
		}
		root := version.Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			lines = append(lines, fields(part, root.Properties[part], slices.Contains(root.Required, part))...)
		}
	}
	return lines
}

// fields describes a field and all below it.
func fields(path string, s apiextensionsv1.JSONSchemaProps, required bool) []string {
	var words []string
	add := func(when bool, format string, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(true, "%s %s", path, s.Type)
	add(required, "required")
	if s.Default != nil {
		add(true, "default=%s", s.Default.Raw)
	}
	add(s.Format != "", "format=%s", s.Format)
	for _, value := range s.Enum {
		add(true, "enum=%s", value.Raw)
	}
	if s.Minimum != nil {
		add(true, "min=%v", *s.Minimum)
	}
	if s.Maximum != nil {
		add(true, "max=%v", *s.Maximum)
	}
	if s.MinLength != nil {
		add(true, "minLength=%d", *s.MinLength)
	}
	if s.MaxLength != nil {
		add(true, "maxLength=%d", *s.MaxLength)
	}
	if s.MinItems != nil {
		add(true, "minItems=%d", *s.MinItems)
	}
	if s.XListType != nil {
		add(true, "list=%s%v", *s.XListType, s.XListMapKeys)
	}
	for _, rule := range s.XValidations {
		add(true, "rule=%q", rule.Message)
	}
	lines := []string{strings.Join(words, " ")}
	if s.Items != nil {
		lines = append(lines, fields(path+"[]", *s.Items.Schema, false)...)
	}
	if s.AdditionalProperties != nil {
		lines = append(lines, fields(path+"{}", *s.AdditionalProperties.Schema, false)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		lines = append(lines, fields(path+"."+name, s.Properties[name], slices.Contains(s.Required, name))...)
	}
	return lines
}
