// Package schema checks objects without an API server, and as it does. It prunes, defaults and
// validates them by the CustomResourceDefinitions of this project, CEL rules included. It must
// not know files, nor how the objects are used.
package schema

import (
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/kedacore/http-add-on/config/crd"
)

// Validator holds the compiled schema of each of our kinds. It is immutable and
// safe for concurrent use.
type Validator struct {
	groups map[string]bool
	kinds  map[runtimeschema.GroupVersionKind]*kind
}

// kind is one version of one kind.
type kind struct {
	structural *structuralschema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

// New compiles the embedded CustomResourceDefinitions.
func New() (*Validator, error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	v := &Validator{groups: map[string]bool{}, kinds: map[runtimeschema.GroupVersionKind]*kind{}}
	for _, definition := range definitions {
		v.groups[definition.Spec.Group] = true
		for _, version := range definition.Spec.Versions {
			gvk := runtimeschema.GroupVersionKind{Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind}
			if v.kinds[gvk], err = compile(version.Schema.OpenAPIV3Schema); err != nil {
				return nil, fmt.Errorf("compiling the schema of %s: %w", gvk, err)
			}
		}
	}
	return v, nil
}

// compile turns a schema into the three forms that the API server works with.
func compile(in *apiextensionsv1.JSONSchemaProps) (*kind, error) {
	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(in, internal, nil); err != nil {
		return nil, fmt.Errorf("converting it: %w", err)
	}
	structural, err := structuralschema.NewStructural(internal)
	if err != nil {
		return nil, fmt.Errorf("making it structural: %w", err)
	}
	if err := defaulting.PruneDefaults(structural); err != nil {
		return nil, fmt.Errorf("pruning its defaults: %w", err)
	}
	values, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return nil, fmt.Errorf("creating a validator: %w", err)
	}
	return &kind{
		structural: structural,
		values:     values,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}
