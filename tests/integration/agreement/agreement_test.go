package agreement_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	names "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// conclusions are what the three say of some objects. NS stands for their namespace.
type conclusions struct {
	objects string
	// requests by "host" or "host header", to the route whose target they go to; empty means no
	// route.
	requests map[string]string
	// targets by "kind/name" of a trigger's route: what the scaler has KEDA scale on, or
	// the code of its error.
	targets map[string]string
	// conditions are parts of what verdicts returns, by "kind/name".
	conditions map[string][]string
	// logged are parts of the interceptor's log lines, by name.
	logged map[string]string
}

var _ = Describe("interceptor, scaler and operator", Ordered, func() {
	It("start while the API server is away", func(ctx SpecContext) {
		code := func() string { return target(ctx, "default", names.KindInterceptorRoute, "a") }
		Eventually(code, patience).Should(Equal("Unavailable"))
		Consistently(readyz, time.Second).Should(Equal(http.StatusServiceUnavailable))
		gate.Set(false)
		Eventually(readyz, patience).Should(Equal(http.StatusOK))
		Eventually(code, patience).Should(Equal("NotFound"))
	}, NodeTimeout(5*time.Minute))

	DescribeTable("agree on", func(ctx SpecContext, c conclusions) {
		ns := namespace(ctx)
		for _, object := range parse(ns, c.objects) {
			Expect(api.Create(ctx, object)).To(Succeed())
		}
		c.check(ctx, ns)
	},
		Entry("a route", conclusions{
			objects:    interceptorRoute("a", "hosts: [a.NS.test]", "") + service("a", "{port: 80}"),
			requests:   map[string]string{"a.NS.test": "a", "b.NS.test": ""},
			targets:    map[string]string{"InterceptorRoute/a": "3", "InterceptorRoute/b": "NotFound"},
			conditions: map[string][]string{"InterceptorRoute/a": {"False NoScaledObject: "}},
		}),
		Entry("a spec that does not decode", conclusions{
			// The scaler reads what a route is scaled on, and that decodes.
			objects:    interceptorRoute("a", "hosts: [a.NS.test]", `timeouts: {readiness: "30"}`) + service("a", "{port: 80}"),
			requests:   map[string]string{"a.NS.test": ""},
			targets:    map[string]string{"InterceptorRoute/a": "3"},
			conditions: map[string][]string{"InterceptorRoute/a": {"False Undecodable: "}},
			logged:     map[string]string{"a": "the object does not decode"},
		}),
		Entry("two objects of one name", conclusions{
			objects: interceptorRoute("a", "hosts: [new.NS.test]", "") + httpScaledObject("a", "old.NS.test") + service("a", "{port: 80}"),
			requests: map[string]string{
				"new.NS.test": "a", "old.NS.test": "",
			},
			targets: map[string]string{"InterceptorRoute/a": "3", "HTTPScaledObject/a": "5"},
			conditions: map[string][]string{
				"HTTPScaledObject/a": {"True Superseded: the InterceptorRoute of the same name takes the requests"},
			},
			logged: map[string]string{"a": "the InterceptorRoute of the same name wins"},
		}),
		Entry("two objects of one name, one of which does not decode", conclusions{
			objects: interceptorRoute("a", "hosts: [new.NS.test]", `timeouts: {readiness: "30"}`) + httpScaledObject("a", "old.NS.test") +
				service("a", "{port: 80}"),
			requests: map[string]string{"new.NS.test": "", "old.NS.test": "a"},
			targets:  map[string]string{"HTTPScaledObject/a": "5"},
			conditions: map[string][]string{
				"InterceptorRoute/a": {"False Undecodable: "}, "HTTPScaledObject/a": {"True Reconciled: the ScaledObject is up to date$"},
			},
		}),
		Entry("a header that a rule names twice", conclusions{
			// The first one is older, or its name is greater.
			objects: interceptorRoute("once", "hosts: [a.NS.test], headers: [{name: X-A}]", "") +
				interceptorRoute("a", "hosts: [a.NS.test], headers: [{name: X-A}, {name: x-a}]", "") + service("once", "{port: 80}") + service("a", "{port: 80}"),
			requests: map[string]string{"a.NS.test X-A": "once", "a.NS.test": ""},
			conditions: map[string][]string{
				"InterceptorRoute/a":    {"False RouteConflict: requests for a.NS.test/ with headers X-A go to the route NS/once"},
				"InterceptorRoute/once": {"False NoScaledObject: "},
			},
		}),
		Entry("hosts in other words", conclusions{
			objects: interceptorRoute("once", `hosts: ["bücher.NS.test"], paths: [{value: /a%20b}]`, "") +
				interceptorRoute("a", `hosts: ["xn--bcher-kva.NS.test:80"], paths: [{value: "/a b/"}]`, "") + service("once", "{port: 80}") + service("a", "{port: 80}"),
			requests:   map[string]string{"xn--bcher-kva.NS.test/a%20b/c": "once", "xn--bcher-kva.NS.test/c": ""},
			conditions: map[string][]string{"InterceptorRoute/a": {"False RouteConflict: requests for xn--bcher-kva.NS.test/a b go to the route NS/once"}},
		}),
		Entry("hosts that no request has", conclusions{
			objects:    interceptorRoute("a", "hosts: ['http://a.NS.test', b.NS.test]", "") + service("a", "{port: 80}"),
			requests:   map[string]string{"a.NS.test": "", "b.NS.test": "a"},
			conditions: map[string][]string{"InterceptorRoute/a": {`no request matches the host "http://a.NS.test": it is a URL`}},
			logged:     map[string]string{"a": `no request matches the host \"http://a.NS.test\": it is a URL`},
		}),
		Entry("wildcards that are none", conclusions{
			objects:  interceptorRoute("a", "hosts: ['a.*.NS.test', 'foo*.NS.test', b.NS.test]", "") + service("a", "{port: 80}"),
			requests: map[string]string{"a.x.NS.test": "", "foox.NS.test": "", "b.NS.test": "a"},
			conditions: map[string][]string{"InterceptorRoute/a": {
				`no request matches the host "a.*.NS.test": `, `no request matches the host "foo*.NS.test": `,
			}},
			logged: map[string]string{"a": `no request matches the host \"foo*.NS.test\": `},
		}),
		Entry("paths that no request has", conclusions{
			objects:  interceptorRoute("a", `hosts: [a.NS.test], paths: [{value: "/api/*"}, {value: "/a?x=1"}, {value: /caf%C3%A9}]`, "") + service("a", "{port: 80}"),
			requests: map[string]string{"a.NS.test/api/x": "", "a.NS.test/a?x=1": "", "a.NS.test/caf%c3%a9/b": "a"},
			conditions: map[string][]string{"InterceptorRoute/a": {
				`no request matches the path "/api/*": `, `no request matches the path "/a?x=1": `,
			}},
			logged: map[string]string{"a": `no request matches the path \"/a?x=1\": `},
		}),
		Entry("nothing but a path that no request has", conclusions{
			objects:    interceptorRoute("a", `hosts: [a.NS.test], paths: [{value: "/api/*"}]`, "") + service("a", "{port: 80}"),
			requests:   map[string]string{"a.NS.test/api/x": "", "a.NS.test": ""},
			conditions: map[string][]string{"InterceptorRoute/a": {`False InvalidRules: no request matches the path "/api/*": `}},
			logged:     map[string]string{"a": `no request matches the path \"/api/*\": `},
		}),
		Entry("a port of another protocol", conclusions{
			objects:    interceptorRoute("a", "hosts: [a.NS.test]", "") + service("a", "{name: quic, port: 80, protocol: UDP}"),
			requests:   map[string]string{"a.NS.test": "a"},
			conditions: map[string][]string{"InterceptorRoute/a": {`False PortNotFound: Service "a" has no TCP port 80`}},
			logged:     map[string]string{"a": `Service \"a\" has no TCP port 80`},
		}),
	)

	// A schema of older versions accepted such statuses. The operator must repair them; the route
	// is served before and after.
	It("agree on a stored status that does not decode", func(ctx SpecContext) {
		ns := namespace(ctx)
		created := parse(ns, interceptorRoute("a", "hosts: [a.NS.test]", "")+httpScaledObject("b", "b.NS.test")+service("a", "{port: 80}")+service("b", "{port: 80}"))
		for _, object := range created {
			Expect(api.Create(ctx, object)).To(Succeed())
		}
		c := conclusions{
			requests: map[string]string{"a.NS.test": "a", "b.NS.test": "b"},
			targets:  map[string]string{"InterceptorRoute/a": "3", "HTTPScaledObject/b": "5"},
			conditions: map[string][]string{
				"InterceptorRoute/a": {"False NoScaledObject: "}, "HTTPScaledObject/b": {"True Reconciled: the ScaledObject is up to date$"},
			},
		}
		c.check(ctx, ns)
		const odd = `{"status": {"conditions": "none", "targetService": {"name": "a"}}}`
		definitions := []string{"interceptorroutes.http.keda.sh", "httpscaledobjects.http.keda.sh"}
		restore := withAnyStatus(ctx, definitions...)
		for _, object := range created[:2] {
			Eventually(func() error {
				return api.Status().Patch(ctx, object.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(odd)))
			}, patience).Should(Succeed())
		}
		c.check(ctx, ns)
		restore()
		for _, object := range created[:2] {
			Eventually(func() bool {
				return apierrors.IsInvalid(api.Status().Patch(ctx, object.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(odd)), client.DryRunAll))
			}, patience).Should(BeTrue())
			// Watches end with a definition: a change shows that all have come back.
			Expect(api.Patch(ctx, object.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(
				`{"spec": {"scalingMetric": {"concurrency": {"targetValue": 7}}}}`)))).To(Succeed())
		}
		c.targets = map[string]string{"InterceptorRoute/a": "7", "HTTPScaledObject/b": "7"}
		c.check(ctx, ns)
	}, NodeTimeout(5*time.Minute))
})

func (c conclusions) check(ctx context.Context, ns string) {
	GinkgoHelper()
	named := func(text string) string { return strings.ReplaceAll(text, "NS", ns) }
	for key, want := range c.conditions {
		kind, name, _ := strings.Cut(key, "/")
		for _, part := range want {
			part = "(?sm)" + regexp.QuoteMeta(strings.TrimSuffix(named(part), "$")) + map[bool]string{true: "$"}[strings.HasSuffix(part, "$")]
			Eventually(func(g Gomega) string { return verdicts(ctx, g, ns, kind, name) }, patience).Should(MatchRegexp(part), "the operator says of "+key)
		}
	}
	for key, want := range c.targets {
		kind, name, _ := strings.Cut(key, "/")
		Eventually(func() string { return target(ctx, ns, kind, name) }, patience).Should(Equal(want), "the scaler says of "+key)
	}
	for request, want := range c.requests {
		Eventually(func() (string, error) { return answers(ctx, named(request)) }, patience).Should(Equal(want), "the interceptor sends "+request)
	}
	for name, part := range c.logged {
		Eventually(func() int { return said.Count("route only partly applied", ns+"/"+name, named(part)) }, patience).Should(
			BeNumerically(">", 0), "the interceptor says of "+name)
	}
}

// answers returns the route that answers a request, or nothing.
func answers(ctx context.Context, request string) (string, error) {
	place, header, _ := strings.Cut(request, " ")
	host, path, _ := strings.Cut(place, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, proxy+"/"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	r.Host = host
	r.Header.Set("Accept", "text/html")
	if header != "" {
		r.Header.Set(header, "x")
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusNotFound {
		return "", err
	}
	if found := regexp.MustCompile(`route-([a-z]+)`).FindSubmatch(body); found != nil {
		return string(found[1]), nil
	}
	return "", fmt.Errorf("status %d, %s", response.StatusCode, body)
}

// target returns the target value that the scaler gives KEDA for a trigger, or the code of
// its error.
func target(ctx context.Context, ns, kind, name string) string {
	response, err := keda.GetMetricSpec(ctx, &pb.ScaledObjectRef{
		Name: "a", Namespace: ns, ScalerMetadata: map[string]string{route.TriggerKey(kind): name},
	})
	if err != nil {
		return status.Code(err).String()
	}
	spec := response.GetMetricSpecs()[0]
	return fmt.Sprint(spec.GetTargetSizeFloat() + float64(spec.GetTargetSize()))
}

// verdicts returns the conditions of an object, a line of "status reason: message" each.
func verdicts(ctx context.Context, g Gomega, ns, kind, name string) string {
	object := route.NewObject(route.InterceptorRouteKind())
	if kind == names.KindHTTPScaledObject {
		object = route.NewObject(route.HTTPScaledObjectKind())
	}
	g.Expect(api.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, object)).To(Succeed())
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	var lines []string
	for _, item := range conditions {
		c, _ := item.(map[string]any)
		lines = append(lines, fmt.Sprintf("%v %v: %v", c["status"], c["reason"], c["message"]))
	}
	return strings.Join(lines, "\n")
}

func readyz() (int, error) {
	response, err := http.Get(admin + "/readyz")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}

// namespace creates a namespace for one spec. No controller removes it or its objects.
func namespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "agreement-"}}
	Expect(api.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

// withAnyStatus has the API server store any status of some kinds, until restore.
func withAnyStatus(ctx context.Context, definitions ...string) (restore func()) {
	GinkgoHelper()
	change := func(status func(name string, old apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps) {
		GinkgoHelper()
		for _, name := range definitions {
			Eventually(func() error {
				var definition apiextensionsv1.CustomResourceDefinition
				if err := api.Get(ctx, client.ObjectKey{Name: name}, &definition); err != nil {
					return err
				}
				properties := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
				properties["status"] = status(name, properties["status"])
				return api.Update(ctx, &definition)
			}, patience).Should(Succeed())
		}
	}
	before := map[string]apiextensionsv1.JSONSchemaProps{}
	change(func(name string, old apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
		if _, known := before[name]; !known {
			before[name] = old
		}
		return apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	})
	return func() {
		GinkgoHelper()
		change(func(name string, _ apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
			return before[name]
		})
	}
}

// parse returns the objects of a text in a namespace.
func parse(ns, text string) []*unstructured.Unstructured {
	GinkgoHelper()
	parsed, err := objects.Decode([]byte(strings.ReplaceAll(text, "NS", ns)))
	Expect(err).NotTo(HaveOccurred())
	for _, object := range parsed {
		object.SetNamespace(ns)
	}
	return parsed
}

func interceptorRoute(name, rule, more string) string {
	return fmt.Sprintf(`
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %[1]s}
spec:
  target: {service: %[1]s, port: 80}
  rules: [{%[2]s}]
  scalingMetric: {concurrency: {targetValue: 3}}
  coldStart: {placeholder: {response: {body: route-%[1]s}}}
  %[3]s
---`, name, rule, more)
}

func httpScaledObject(name, host string) string {
	return fmt.Sprintf(`
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: %[1]s}
spec:
  hosts: [%[2]s]
  scaleTargetRef: {name: %[1]s, service: %[1]s, port: 80}
  scalingMetric: {concurrency: {targetValue: 5}}
  coldStartMessage: route-%[1]s
---`, name, host)
}

func service(name, port string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s}
spec: {selector: {app: a}, ports: [%s]}
---`, name, port)
}
