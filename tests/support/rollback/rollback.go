// Package rollback has the CustomResourceDefinitions of 0.16 as far as a rollback goes: which fields of
// our objects they drop. It must not know how definitions are installed.
package rollback

import (
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/config/crd"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// pruned are the fields that 0.16's definitions drop, as docs/migrate.md says.
var pruned = map[string][]string{
	"InterceptorRoute": {
		"spec.coldStart.activationLease", "spec.coldStart.failAfter", "spec.coldStart.onFailure", "spec.coldStart.releaseConcurrency",
		"spec.coldStart.streamingCallback", "spec.coldStart.waitingPage", "spec.coldStart.wakes", "spec.coldStart.warmUp",
		"spec.rules[].clientCIDRs", "spec.rules[].headers[].type", "spec.rules[].headers[].values", "spec.rules[].methods", "spec.rules[].userAgents",
		"spec.sessionPersistence",
		"spec.staticRoutes[].name", "spec.staticRoutes[].rules[].clientCIDRs", "spec.staticRoutes[].rules[].headers[].type",
		"spec.staticRoutes[].rules[].headers[].values", "spec.staticRoutes[].rules[].methods", "spec.staticRoutes[].rules[].userAgents",
	},
	"HTTPScaledObject": {"spec.coldStartMessage", "spec.coldStartStreamingCallback"},
}

// Pruned returns the fields of a kind that 0.16's definitions drop, sorted. The caller owns them.
func Pruned(kind string) []string { return slices.Clone(pruned[kind]) }

// Lost returns the fields of an applied object that the stored one lacks or has another value of, sorted.
// Both must come from the same decoder, because some decode numbers as floating-point ones.
func Lost(applied, stored *unstructured.Unstructured) []string {
	all := missing(applied.Object["spec"], stored.Object["spec"], "spec")
	slices.Sort(all)
	return slices.Compact(all)
}

// missing returns the fields of an applied value that the stored one lacks. Defaults may be in the
// stored value alone.
func missing(applied, stored any, path string) []string {
	var lost []string
	switch want := applied.(type) {
	case map[string]any:
		have, _ := stored.(map[string]any)
		for name, value := range want {
			if _, ok := have[name]; !ok {
				lost = append(lost, path+"."+name)
				continue
			}
			lost = append(lost, missing(value, have[name], path+"."+name)...)
		}
	case []any:
		have, _ := stored.([]any)
		if len(have) != len(want) {
			return []string{path}
		}
		for i, value := range want {
			lost = append(lost, missing(value, have[i], path+"[]")...)
		}
	default:
		if want != stored {
			lost = append(lost, path)
		}
	}
	return lost
}

// Definitions returns definitions of 0.16, as far as fields go: they have those that the old objects
// use. Rules are left out, which may be about other fields. The caller owns them.
func Definitions() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	for _, definition := range definitions {
		if err := age(definition); err != nil {
			return nil, err
		}
	}
	return definitions, nil
}

// age makes a definition one of 0.16.
func age(definition *apiextensionsv1.CustomResourceDefinition) error {
	var old unstructured.Unstructured
	text := objects.OldInterceptorRoute
	if definition.Spec.Names.Kind == "HTTPScaledObject" {
		text = objects.OldHTTPScaledObject
	}
	if err := yaml.Unmarshal([]byte(text), &old.Object); err != nil {
		return fmt.Errorf("decoding an old object: %w", err)
	}
	// The rules of static routes are like those of the route.
	spec, _ := old.Object["spec"].(map[string]any)
	routes, _ := spec["staticRoutes"].([]any)
	for _, route := range routes {
		if route, ok := route.(map[string]any); ok {
			route["rules"] = spec["rules"]
		}
	}
	version := &definition.Spec.Versions[0]
	version.AdditionalPrinterColumns = nil
	schema := version.Schema.OpenAPIV3Schema
	schema.Properties["spec"] = prune(schema.Properties["spec"], spec)
	status := schema.Properties["status"]
	delete(status.Properties, "wake")
	return nil
}

// prune returns a schema that has the fields of a value.
func prune(s apiextensionsv1.JSONSchemaProps, value any) apiextensionsv1.JSONSchemaProps {
	s.XValidations = nil
	switch value := value.(type) {
	case map[string]any:
		for name, field := range s.Properties {
			part, found := value[name]
			switch {
			case found:
				s.Properties[name] = prune(field, part)
			case name == "port" && value["portName"] != nil, name == "portName" && value["port"] != nil:
			case strings.HasPrefix(name, "body") && value["body"] != nil, name == "body" && value["bodyFromConfigMap"] != nil:
			case (name == "statusCode" || name == "headers") && value["bodyFromConfigMap"] != nil:
			default:
				delete(s.Properties, name)
			}
		}
	case []any:
		all := map[string]any{}
		for _, item := range value {
			merge(all, item)
		}
		if s.Items != nil && s.Items.Schema.Type == "object" {
			items := prune(*s.Items.Schema, all)
			s.Items.Schema = &items
		}
	}
	return s
}

// merge adds the fields of an item of a list to those of the others.
func merge(all map[string]any, item any) {
	fields, _ := item.(map[string]any)
	for name, value := range fields {
		switch before := all[name].(type) {
		case []any:
			more, _ := value.([]any)
			all[name] = append(slices.Clone(before), more...)
		case map[string]any:
			merge(before, value)
		default:
			all[name] = value
		}
	}
}
