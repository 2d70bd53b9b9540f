package schema

import (
	"context"
	"errors"
	"fmt"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Check prunes, defaults and validates an object of our API group in place, in the order of the
// API server's create handler. The error names every wrong and every unknown field in the words
// of kubectl apply. Check leaves objects of other groups alone and returns no error for them.
func (v *Validator) Check(object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	k, ok := v.kinds[gvk]
	if !ok {
		if v.groups[gvk.Group] {
			return fmt.Errorf("no matches for kind %q in version %q", gvk.Kind, gvk.GroupVersion())
		}
		return nil
	}
	unknown := pruning.PruneWithOptions(object.Object, k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, k.structural)
	defaulting.Default(object.Object, k.structural)
	malformed, unknownMeta := objectmeta.CoerceWithOptions(nil, object.Object, k.structural, true, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if malformed != nil {
		return malformed
	}
	var errs []error
	for _, path := range append(unknown, unknownMeta...) {
		errs = append(errs, fmt.Errorf("unknown field %q", path))
	}
	for _, err := range k.validate(object) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// validate checks a pruned and defaulted object.
func (k *kind) validate(object *unstructured.Unstructured) field.ErrorList {
	// A manifest may omit its namespace; kubectl apply sets it.
	namespaced := object.GetNamespace() != ""
	errs := apivalidation.ValidateObjectMetaAccessor(object, namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validation.ValidateCustomResource(nil, object.Object, k.values)...)
	errs = append(errs, objectmeta.Validate(nil, object.Object, k.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, object.Object)...)
	if blocksRules(errs) {
		return errs
	}
	failed, _ := k.rules.Validate(context.Background(), nil, k.structural, object.Object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, failed...)
}

// blocksRules reports whether CEL rules must not be evaluated: their costs and types hold only
// for objects that fit the schema.
func blocksRules(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid, field.ErrorTypeNotSupported:
			return true
		}
	}
	return false
}
