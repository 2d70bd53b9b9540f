package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/config/crd"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// specs are the Go types of the kinds: a schema does not tell a duration from
// another text.
var specs = map[string]reflect.Type{
	"InterceptorRoute": reflect.TypeFor[v1beta1.InterceptorRoute](),
	"HTTPScaledObject": reflect.TypeFor[v1alpha1.HTTPScaledObject](),
}

// durations notes the paths of the durations in a type.
func durations(t reflect.Type, path string, found map[string]bool) {
	switch {
	case t == reflect.TypeFor[metav1.Duration]():
		found[path] = true
	case t.Kind() == reflect.Pointer:
		durations(t.Elem(), path, found)
	case t.Kind() == reflect.Slice:
		durations(t.Elem(), path+"[]", found)
	case t.Kind() == reflect.Struct && (path == "" || !strings.HasPrefix(t.PkgPath(), "k8s.io/")):
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			durations(field.Type, strings.TrimPrefix(path+"."+name, "."), found)
		}
	}
}

// kinds returns a page for each definition.
func kinds() (map[string][]byte, error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	pages := map[string][]byte{}
	for _, definition := range definitions {
		pages[definition.Spec.Names.Singular+".md"] = kindPage(definition)
	}
	return pages, nil
}

func kindPage(definition *apiextensionsv1.CustomResourceDefinition) []byte {
	spec := definition.Spec
	b := generated(spec.Names.Kind)
	known := map[string]bool{}
	durations(specs[spec.Names.Kind], "", known)
	w := writer{Buffer: b, durations: known}
	for _, version := range spec.Versions {
		root := version.Schema.OpenAPIV3Schema
		fmt.Fprintf(b, "\n`apiVersion: %s/%s`, %s", spec.Group, version.Name, strings.ToLower(string(spec.Scope)))
		if len(spec.Names.ShortNames) > 0 {
			fmt.Fprintf(b, ", short name `%s`", strings.Join(spec.Names.ShortNames, "`, `"))
		}
		fmt.Fprintf(b, ".\n%s\n", oneLine(root.Description))
		fmt.Fprint(b, "\n`kubectl get` shows: ")
		for i, column := range version.AdditionalPrinterColumns {
			if i > 0 {
				fmt.Fprint(b, ", ")
			}
			fmt.Fprintf(b, "%s (`%s`)", column.Name, column.JSONPath)
		}
		fmt.Fprint(b, ".\n")
		for _, part := range []string{"spec", "status"} {
			if schema, ok := root.Properties[part]; ok {
				w.section(part, &schema)
			}
		}
	}
	return b.Bytes()
}

// writer writes the sections of one kind.
type writer struct {
	*bytes.Buffer
	// durations are the paths of those fields that are one.
	durations map[string]bool
}

// section is the table of an object's fields, followed by the sections of those
// that are objects.
func (b writer) section(path string, schema *apiextensionsv1.JSONSchemaProps) {
	fmt.Fprintf(b, "\n## %s\n", path)
	if text := oneLine(schema.Description); text != "" {
		fmt.Fprintf(b, "\n%s\n", text)
	}
	if rules := messages(schema.XValidations); len(rules) > 0 {
		fmt.Fprintf(b, "\nValidated: %s.\n", strings.Join(rules, "; "))
	}
	fmt.Fprint(b, "\n| Field | Type | Default | Bounds | |\n| --- | --- | --- | --- | --- |\n")
	fields := slices.SortedFunc(maps.Keys(schema.Properties), func(x, y string) int {
		// Those that must be there first.
		return cmp.Or(cmp.Compare(optional(schema, x), optional(schema, y)), cmp.Compare(x, y))
	})
	for _, name := range fields {
		field := schema.Properties[name]
		shown := "`" + name + "`"
		if inner := object(&field); inner != nil {
			shown = fmt.Sprintf("[`%s`](#%s)", name, slug(childPath(path, name, &field)))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", shown, b.typeOf(path+"."+name, &field), defaultOf(&field),
			cell(strings.Join(b.bounds(path+"."+name, &field, optional(schema, name) == 0), "; ")), cell(oneLine(field.Description)))
	}
	for _, name := range fields {
		field := schema.Properties[name]
		if inner := object(&field); inner != nil {
			b.section(childPath(path, name, &field), inner)
		}
	}
}

// optional is 0 for a required field and 1 for others.
func optional(schema *apiextensionsv1.JSONSchemaProps, name string) int {
	if slices.Contains(schema.Required, name) {
		return 0
	}
	return 1
}

func childPath(path, name string, field *apiextensionsv1.JSONSchemaProps) string {
	if field.Items != nil {
		return path + "." + name + "[]"
	}
	return path + "." + name
}

// object returns the schema of a field's own fields, nil if it has none.
func object(field *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if field.Items != nil {
		field = field.Items.Schema
	}
	if len(field.Properties) == 0 {
		return nil
	}
	return field
}

func (b writer) typeOf(path string, field *apiextensionsv1.JSONSchemaProps) string {
	switch {
	case b.durations[path]:
		return "duration"
	case field.Items != nil:
		return "list of " + b.typeOf(path+"[]", field.Items.Schema)
	case field.AdditionalProperties != nil:
		return "map of " + b.typeOf(path+"{}", field.AdditionalProperties.Schema)
	}
	return cmp.Or(field.Format, field.Type)
}

func defaultOf(field *apiextensionsv1.JSONSchemaProps) string {
	if field.Default == nil {
		return ""
	}
	return "`" + string(field.Default.Raw) + "`"
}

// bounds are what a value must be, in words.
func (b writer) bounds(path string, field *apiextensionsv1.JSONSchemaProps, required bool) []string {
	var all []string
	if required {
		all = append(all, "required")
	}
	number := func(format string, value *float64) {
		if value != nil {
			all = append(all, fmt.Sprintf(format, *value))
		}
	}
	length := func(format string, value *int64) {
		if value != nil {
			all = append(all, fmt.Sprintf(format, *value))
		}
	}
	number("at least %v", field.Minimum)
	number("at most %v", field.Maximum)
	length("length %d or more", field.MinLength)
	if !b.durations[path] { // there it only bounds the cost of the rule
		length("length at most %d", field.MaxLength)
	}
	length("%d items or more", field.MinItems)
	length("at most %d items", field.MaxItems)
	if field.Pattern != "" {
		all = append(all, "matches `"+field.Pattern+"`")
	}
	for i, value := range field.Enum {
		word := "`" + string(value.Raw) + "`"
		if i > 0 {
			all[len(all)-1] += ", " + word
			continue
		}
		all = append(all, "one of "+word)
	}
	if field.XListType != nil && *field.XListType == "set" {
		all = append(all, "no duplicates")
	}
	if field.XListType != nil && *field.XListType == "map" {
		all = append(all, "one item for each `"+strings.Join(field.XListMapKeys, "`, `")+"`")
	}
	if object(field) == nil { // an object's rules stand in its section
		all = append(all, messages(field.XValidations)...)
	}
	return all
}

func messages(rules apiextensionsv1.ValidationRules) []string {
	var all []string
	for _, rule := range rules {
		all = append(all, cmp.Or(rule.Message, "`"+rule.Rule+"`"))
	}
	return all
}

// oneLine joins the lines of a description.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// cell escapes a text for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
