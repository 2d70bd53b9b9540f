package objects_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kedacore/http-add-on/config/crd"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// Without a Rule, no test would refuse what a constraint forbids.
func TestRulesCoverEveryConstraint(t *testing.T) {
	rules, err := objects.Rules()
	if err != nil {
		t.Fatal(err)
	}
	index := regexp.MustCompile(`\[\d+\]`)
	covered := func(kind, field, message string) bool {
		for _, rule := range rules {
			if rule.Invalid.GetKind() == kind && index.ReplaceAllString(rule.Field, "[]") == field && strings.Contains(message, rule.Message) {
				return true
			}
		}
		return false
	}
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range definitions {
		kind := definition.Spec.Names.Kind
		spec := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		constraints(spec, "spec", func(field, message string) {
			if !covered(kind, field, message) {
				t.Errorf("no rule for %s of %s: %s", field, kind, message)
			}
		})
	}
}

// constraints yields every constraint at a field and below, with the API
// server's message for it.
func constraints(s apiextensionsv1.JSONSchemaProps, field string, yield func(field, message string)) {
	for _, c := range []struct {
		set     bool
		message string
	}{
		{s.MinLength != nil, "should be at least 1 chars long"},
		{s.MaxLength != nil, "Too long: may not be more than"},
		{s.Minimum != nil, "should be greater than or equal to"},
		{s.Maximum != nil, "should be less than or equal to"},
		{s.MinItems != nil, "should have at least 1 items"},
		{s.Enum != nil, "Unsupported value"},
	} {
		if c.set {
			yield(field, c.message)
		}
	}
	for _, rule := range s.XValidations {
		yield(field, rule.Message)
	}
	if s.XListType != nil && *s.XListType != "atomic" {
		yield(field+"[]", "Duplicate value")
	}
	for _, name := range s.Required {
		yield(field+"."+name, "Required value")
	}
	if s.Items != nil {
		constraints(*s.Items.Schema, field+"[]", yield)
	}
	for name, property := range s.Properties {
		constraints(property, field+"."+name, yield)
	}
}

// The Go types, their JSON names and their deep copies lose nothing.
func TestCompleteObjectsRoundTrip(t *testing.T) {
	for _, test := range []struct {
		kind   string
		object func() (*unstructured.Unstructured, error)
		typed  runtime.Object
		spec   func(runtime.Object) any
		unset  []string // by a choice of one of two
	}{
		{
			kind: "HTTPScaledObject", object: objects.CompleteHTTPScaledObject, typed: &v1alpha1.HTTPScaledObject{},
			spec: func(o runtime.Object) any {
				object, _ := o.(*v1alpha1.HTTPScaledObject)
				return object.Spec
			},
			unset: []string{"Spec.ScaleTargetRef.Port", "Spec.ColdStartTimeoutFailoverRef.PortName"},
		},
		{
			kind: "InterceptorRoute", object: objects.CompleteInterceptorRoute, typed: &v1beta1.InterceptorRoute{},
			spec: func(o runtime.Object) any {
				object, _ := o.(*v1beta1.InterceptorRoute)
				return object.Spec
			},
			unset: []string{
				"Spec.Target.PortName", "Spec.ColdStart.Fallback.Service.Port",
				"Spec.ColdStart.Placeholder.Response.BodyFromConfigMap", "Spec.SessionPersistence.Cookie",
			},
		},
	} {
		t.Run(test.kind, func(t *testing.T) {
			object, err := test.object()
			if err != nil {
				t.Fatal(err)
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, test.typed, true); err != nil {
				t.Fatal(err)
			}
			set := map[string]bool{}
			note(reflect.ValueOf(test.spec(test.typed)), "Spec", set)
			for field, ok := range set {
				if ok == slices.Contains(test.unset, field) {
					t.Errorf("%s is set: %t", field, ok)
				}
			}

			text, err := json.Marshal(test.typed.DeepCopyObject())
			if err != nil {
				t.Fatal(err)
			}
			again := &unstructured.Unstructured{}
			if err := again.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(object.Object["spec"], again.Object["spec"]); diff != "" {
				t.Errorf("spec after a round trip (-want +got):\n%s", diff)
			}
		})
	}
}

// note records for every field whether any occurrence of it is not zero.
func note(v reflect.Value, path string, set map[string]bool) {
	set[path] = set[path] || !v.IsZero()
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Struct && !v.IsNil() {
			note(v.Elem(), path, set)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			note(v.Field(i), path+"."+v.Type().Field(i).Name, set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			note(v.Index(i), path+"[]", set)
		}
	}
}
