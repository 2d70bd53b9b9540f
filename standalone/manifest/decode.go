package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kubejson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/pkg/route"
)

// Kinds that manifests may hold in addition to InterceptorRoute and HTTPScaledObject.
const (
	KindScaledObject = "ScaledObject"
	KindDeployment   = "Deployment"
	KindService      = "Service"
	KindConfigMap    = "ConfigMap"
)

const understood = "InterceptorRoute, HTTPScaledObject, ScaledObject, Deployment, Service and ConfigMap"

// Checker validates routes as the API server of a cluster would.
type Checker struct {
	// Schema prunes, defaults and validates an InterceptorRoute or an
	// HTTPScaledObject in place. Its error may join several.
	Schema interface {
		Check(*unstructured.Unstructured) error
	}
	// Ports are taken on this machine, by the settings that they are named by: a
	// process that listens there would never start.
	Ports map[int32]string
}

// decode turns a document into an object. The object is nil if one of the
// problems refuses it; the reference is as complete as could be read.
func (c Checker) decode(d *document) (metav1.Object, Reference, []Problem) {
	if err := d.parse(); err != nil {
		line, reason := d.syntaxProblem(err)
		return nil, Reference{}, []Problem{{Line: line, Reason: reason, Refused: true}}
	}
	data, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		line, reason := d.syntaxProblem(err)
		return nil, Reference{}, []Problem{{Line: line, Reason: reason, Refused: true}}
	}
	var header metav1.PartialObjectMetadata
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(data, &header); err != nil {
		return nil, Reference{}, d.problems(err)
	}
	if header.Namespace == "" {
		header.Namespace = metav1.NamespaceDefault
	}
	reference := Reference{Kind: header.Kind, Namespace: header.Namespace, Name: header.Name}
	if err := checkHeader(header); err != nil {
		return nil, reference, d.problems(err)
	}

	var object metav1.Object
	var warnings []error
	switch kind := header.APIVersion + "/" + header.Kind; kind {
	case versionKind(route.InterceptorRouteKind()), versionKind(route.HTTPScaledObjectKind()):
		object, err = c.route(data)
	case "apps/v1/" + KindDeployment:
		deployment := &appsv1.Deployment{}
		if err = strict(data, deployment); err == nil {
			warnings, err = checkDeployment(deployment, c.Ports)
		}
		object = deployment
	case "v1/" + KindService:
		service := &corev1.Service{}
		if err = strict(data, service); err == nil {
			err = checkService(service)
		}
		object = service
	case "v1/" + KindConfigMap:
		configMap := &corev1.ConfigMap{}
		err = strict(data, configMap)
		object = configMap
	case "keda.sh/v1alpha1/" + KindScaledObject:
		scaled := &ScaledObject{}
		if err = kubejson.UnmarshalCaseSensitivePreserveInts(data, scaled); err == nil {
			err = checkScaledObject(scaled)
		}
		object = scaled
	default:
		return nil, reference, []Problem{{
			Line:    d.lineOf("kind"),
			Reason:  fmt.Sprintf("apiVersion %q, kind %q is not understood here: only %s are", header.APIVersion, header.Kind, understood),
			Refused: true,
		}}
	}
	if err != nil {
		return nil, reference, d.problems(err)
	}
	object.SetNamespace(header.Namespace)
	return object, reference, d.warnings(warnings)
}

// versionKind returns a kind as decode compares it.
func versionKind(kind schema.GroupVersionKind) string {
	return kind.GroupVersion().String() + "/" + kind.Kind
}

// route checks an InterceptorRoute or HTTPScaledObject by its schema, and refuses
// what the schema accepts and no component can decode.
func (c Checker) route(data []byte) (metav1.Object, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
	if err := c.Schema.Check(object); err != nil {
		return nil, err
	}
	if _, err := route.Decode(object); err != nil {
		return nil, err
	}
	return object, nil
}

// strict decodes and refuses unknown fields.
func strict(data []byte, into any) error {
	unknown, err := kubejson.UnmarshalStrict(data, into, kubejson.DisallowUnknownFields)
	if err != nil {
		return err
	}
	return errors.Join(unknown...)
}

func checkHeader(header metav1.PartialObjectMetadata) error {
	var errs []error
	if header.Kind == "" {
		errs = append(errs, field.Required(field.NewPath("kind"), "one of "+understood))
	}
	if header.APIVersion == "" {
		errs = append(errs, field.Required(field.NewPath("apiVersion"), ""))
	}
	metadata := field.NewPath("metadata")
	if header.Name == "" {
		errs = append(errs, field.Required(metadata.Child("name"), ""))
	} else if reasons := validation.IsDNS1123Subdomain(header.Name); len(reasons) > 0 {
		errs = append(errs, field.Invalid(metadata.Child("name"), header.Name, strings.Join(reasons, "; ")))
	}
	if reasons := validation.IsDNS1123Label(header.Namespace); len(reasons) > 0 {
		errs = append(errs, field.Invalid(metadata.Child("namespace"), header.Namespace, strings.Join(reasons, "; ")))
	}
	return errors.Join(errs...)
}

func (d *document) problems(err error) []Problem {
	var problems []Problem
	for _, e := range flatten(err) {
		line := d.lineOf(fieldOf(e))
		if m := quotedValue.FindStringSubmatch(e.Error()); m != nil && fieldOf(e) == "" {
			line = d.lineOfValue(m[1])
		}
		problems = append(problems, Problem{Line: line, Reason: e.Error(), Refused: true})
	}
	return problems
}

func (d *document) warnings(errs []error) []Problem {
	var problems []Problem
	for _, e := range errs {
		problems = append(problems, Problem{Line: d.lineOf(fieldOf(e)), Reason: e.Error()})
	}
	return problems
}

// quotedValue ends the errors of values that decode themselves, as durations
// do: they do not know the field that they are in.
var quotedValue = regexp.MustCompile(`"([^"]*)"$`)

// flatten takes joined errors and Kubernetes' aggregates apart.
func flatten(err error) []error {
	var (
		joined    interface{ Unwrap() []error }
		aggregate interface{ Errors() []error }
		parts     []error
	)
	switch {
	case errors.As(err, &joined):
		parts = joined.Unwrap()
	case errors.As(err, &aggregate):
		parts = aggregate.Errors()
	default:
		return []error{err}
	}
	var flat []error
	for _, part := range parts {
		flat = append(flat, flatten(part)...)
	}
	return flat
}

// unknownField is how both the schema and the JSON decoder word it.
var unknownField = regexp.MustCompile(`^unknown field "(.+)"$`)

// fieldOf is the path of the field that an error is about; "" if it is about
// the whole object.
func fieldOf(err error) string {
	var (
		invalid *field.Error
		typed   *json.UnmarshalTypeError
	)
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	switch {
	case errors.As(err, &invalid):
		return invalid.Field
	case errors.As(err, &typed):
		return typed.Field
	}
	return ""
}
