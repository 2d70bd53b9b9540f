package operator_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

var (
	httpScaledObjectKind = v1alpha1.GroupVersion.WithKind("HTTPScaledObject")
	interceptorRouteKind = v1beta1.GroupVersion.WithKind("InterceptorRoute")
	scaledObjectKind     = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}
)

// namespace creates a namespace for one spec. No controller removes it or its objects.
func namespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "operator-"}}
	Expect(api.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

// create creates typed or unstructured objects.
func create(ctx context.Context, all ...client.Object) {
	GinkgoHelper()
	for _, object := range all {
		Expect(api.Create(ctx, raw(object))).To(Succeed())
	}
}

func raw(object client.Object) *unstructured.Unstructured {
	GinkgoHelper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	Expect(err).NotTo(HaveOccurred())
	return &unstructured.Unstructured{Object: fields}
}

// parse reads an object from YAML.
func parse(text, namespace string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(text), object)).To(Succeed())
	object.SetNamespace(namespace)
	return object
}

// get reads an object; it fails the spec, or the attempt of an Eventually.
func get(ctx context.Context, g Gomega, kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	g.Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)).To(Succeed())
	return object
}

// field returns a field as text; without it nothing.
func field(object *unstructured.Unstructured, path ...string) string {
	value, found, _ := unstructured.NestedFieldNoCopy(object.Object, path...)
	if !found {
		return ""
	}
	return fmt.Sprint(value)
}

// verdict returns what condition says of the first condition that is not True, or that
// has a warning, else of Ready.
func verdict(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) func(Gomega) string {
	return func(g Gomega) string {
		object := get(ctx, g, kind, namespace, name)
		ready, routed, wakes := condition(object, "Ready"), condition(object, "Routed"), condition(object, "Wakes")
		for _, fine := range []string{"True ", "True Reconciled: "} {
			for _, c := range []string{ready, routed, wakes} {
				if !strings.HasPrefix(c, fine) {
					return c
				}
			}
		}
		return ready
	}
}

// condition returns "status reason: message" of a condition.
func condition(object *unstructured.Unstructured, kind string) string {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range conditions {
		if c, _ := item.(map[string]any); c["type"] == kind {
			return fmt.Sprintf("%v %v: %v", c["status"], c["reason"], c["message"])
		}
	}
	return ""
}

// absent checks that there is no such object.
func absent(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) func() error {
	return func() error {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind)
		err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
		if err == nil {
			return fmt.Errorf("%s %s exists", kind.Kind, name)
		}
		return client.IgnoreNotFound(err)
	}
}

// change applies a JSON merge patch.
func change(ctx context.Context, kind schema.GroupVersionKind, namespace, name, patch string, options ...client.PatchOption) {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	data, err := yaml.YAMLToJSON([]byte(patch))
	Expect(err).NotTo(HaveOccurred())
	Expect(api.Patch(ctx, object, client.RawPatch("application/merge-patch+json", data), options...)).To(Succeed())
}

// events returns "type reason" of each event of one of our objects. A Service of its name has
// events too: the API server's.
func events(ctx context.Context, namespace, name string) func(Gomega) []string {
	return func(g Gomega) []string {
		var list eventsv1.EventList
		g.Expect(api.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		var found []string
		for _, e := range list.Items {
			if e.Regarding.Name == name && strings.HasPrefix(e.Regarding.APIVersion, v1beta1.GroupVersion.Group+"/") {
				found = append(found, e.Type+" "+e.Reason)
			}
		}
		return found
	}
}

// service is one of one port.
func service(namespace, name string) *corev1.Service {
	return objects.Service(namespace, name, corev1.ServicePort{Name: "http", Port: 80})
}

// kedaSays writes the Ready condition of a ScaledObject as KEDA does.
func kedaSays(ctx context.Context, namespace, name, status, reason, message string) {
	GinkgoHelper()
	changeStatus(ctx, namespace, name, fmt.Sprintf(
		`{status: {conditions: [{type: Ready, status: "%s", reason: %s, message: %q}, {type: Active, status: "False"}]}}`, status, reason, message))
}

// active writes that a ScaledObject was active.
func active(ctx context.Context, namespace, name string, at time.Time) {
	GinkgoHelper()
	changeStatus(ctx, namespace, name, fmt.Sprintf(`{status: {lastActiveTime: "%s"}}`, at.UTC().Format(time.RFC3339)))
}

func changeStatus(ctx context.Context, namespace, name, patch string) {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(scaledObjectKind)
	object.SetNamespace(namespace)
	object.SetName(name)
	data, err := yaml.YAMLToJSON([]byte(patch))
	Expect(err).NotTo(HaveOccurred())
	Expect(api.Status().Patch(ctx, object, client.RawPatch("application/merge-patch+json", data))).To(Succeed())
}

func named(object *unstructured.Unstructured, name string) *unstructured.Unstructured {
	object.SetName(name)
	return object
}

// waking is a ScaledObject as users write it for a route.
func waking(namespace, route string) *unstructured.Unstructured {
	return parse(fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: wakes-%[1]s}
spec:
  scaleTargetRef: {name: %[1]s}
  triggers: [{type: external-push, metadata: {scalerAddress: "scaler.keda:9090", interceptorRoute: %[1]s}}]
`, route), namespace)
}
