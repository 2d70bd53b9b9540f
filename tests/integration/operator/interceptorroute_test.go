package operator_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

const routed = "True Reconciled: InterceptorRoute reconciled"

var _ = Describe("InterceptorRoute", func() {
	var ns string

	BeforeEach(func(ctx SpecContext) {
		ns = namespace(ctx)
		create(ctx, waking(ns, "shop"))
	}, NodeTimeout(5*time.Minute))

	state := func(ctx SpecContext, name string) func(Gomega) string {
		return verdict(ctx, interceptorRouteKind, ns, name)
	}

	// Whoever applies a route first and the rest later waits for Ready, as 0.16 has it.
	It("is ready before its Service and ScaledObject exist", func(ctx SpecContext) {
		route := objects.InterceptorRoute(ns, "early", ns+".test")
		create(ctx, route)
		now := func(kind string) func(Gomega) string {
			return func(g Gomega) string { return condition(get(ctx, g, interceptorRouteKind, ns, "early"), kind) }
		}
		Eventually(now("Ready"), patience).Should(Equal("True Reconciled: InterceptorRoute reconciled"))
		Expect(now("Routed")(Default)).To(Equal(`False ServiceNotFound: Service "early" does not exist`))
		Expect(now("Wakes")(Default)).To(HavePrefix("False NoScaledObject: nothing wakes the target: "))
		create(ctx, service(ns, "early"), waking(ns, "early"))
		Eventually(now("Routed"), patience).Should(Equal("True Reconciled: requests are routed to the target"))
		Eventually(now("Wakes"), patience).Should(Equal("True Reconciled: demand wakes the target"))
		Expect(events(ctx, ns, "early")(Default)).To(Equal([]string{"Normal Reconciled"}), "nothing was missing for long")
	}, NodeTimeout(5*time.Minute))

	It("says that its Service or port is missing, and heals", func(ctx SpecContext) {
		create(ctx, objects.InterceptorRoute(ns, "shop", ns+".test"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(`False ServiceNotFound: Service "shop" does not exist`))
		create(ctx, objects.Service(ns, "shop", corev1.ServicePort{Name: "admin", Port: 9090}))
		Eventually(state(ctx, "shop"), patience).Should(Equal(`False PortNotFound: Service "shop" has no TCP port 80`))
		change(ctx, corev1.SchemeGroupVersion.WithKind("Service"), ns, "shop", `{spec: {ports: [{name: http, port: 80}]}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
		Expect(api.Delete(ctx, service(ns, "shop"))).To(Succeed())
		Eventually(state(ctx, "shop"), patience).Should(HavePrefix("False ServiceNotFound"))
	}, NodeTimeout(5*time.Minute))

	It("writes nothing when nothing changes", func(ctx SpecContext) {
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
		before := get(ctx, Default, interceptorRouteKind, ns, "shop").GetResourceVersion()
		change(ctx, corev1.SchemeGroupVersion.WithKind("Service"), ns, "shop", `{metadata: {labels: {a: b}}}`)
		change(ctx, scaledObjectKind, ns, "wakes-shop", `{spec: {maxReplicaCount: 3}}`)
		Consistently(func(g Gomega) string {
			return get(ctx, g, interceptorRouteKind, ns, "shop").GetResourceVersion()
		}, time.Second).Should(Equal(before))
	}, NodeTimeout(5*time.Minute))

	It("tells when no ScaledObject refers to it", func(ctx SpecContext) {
		create(ctx, service(ns, "blog"), objects.InterceptorRoute(ns, "blog", ns+".test"))
		Eventually(state(ctx, "blog"), patience).Should(Equal("False NoScaledObject: nothing wakes the target: " +
			"no ScaledObject of this namespace has an external-push trigger with interceptorRoute: blog"))
		create(ctx, waking(ns, "blog"))
		Eventually(state(ctx, "blog"), patience).Should(Equal(routed))
		Expect(api.Delete(ctx, waking(ns, "blog"))).To(Succeed())
		Eventually(state(ctx, "blog"), patience).Should(HavePrefix("False NoScaledObject"))
	}, NodeTimeout(5*time.Minute))

	It("says what is wrong with its warm-ups, and with what it wakes", func(ctx SpecContext) {
		other := func(name, wakes string) *unstructured.Unstructured {
			return parse(fmt.Sprintf(`
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %s}
spec:
  target: {service: %[1]s, port: 80}
  scalingMetric: {concurrency: {targetValue: 1}}
  coldStart: {wakes: [%s]}
`, name, wakes), ns)
		}
		wakes := func(name string) func(Gomega) string {
			return func(g Gomega) string { return condition(get(ctx, g, interceptorRouteKind, ns, name), "Wakes") }
		}
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test", func(r *v1beta1.InterceptorRoute) {
			r.Spec.ColdStart = &v1beta1.ColdStartSpec{
				WarmUp: []v1beta1.WarmUp{{Cron: "0 8 * * *", TimeZone: "Europe/Atlantis", For: metav1.Duration{Duration: time.Hour}}},
				Wakes:  []string{"cart"},
			}
		}))
		const zone = `coldStart.warmUp[0]: there is no time zone "Europe/Atlantis"; coldStart.wakes: `
		Eventually(wakes("shop"), patience).Should(Equal("True InvalidWarmUp: " + zone + `this namespace has no route "cart"`))
		create(ctx, other("cart", "db"))
		Eventually(wakes("shop"), patience).Should(Equal("True InvalidWarmUp: " + zone + `this namespace has no route "db"`))
		create(ctx, other("db", "shop"))
		Eventually(wakes("shop"), patience).Should(Equal("True InvalidWarmUp: " + zone + "it leads into a cycle: shop wakes cart wakes db wakes shop"))
		Eventually(wakes("cart"), patience).Should(HaveSuffix("it leads into a cycle: cart wakes db wakes shop wakes cart"))
		Expect(api.Delete(ctx, other("db", "shop"))).To(Succeed())
		create(ctx, objects.HTTPScaledObject(ns, "db", "db."+ns+".test"))
		change(ctx, interceptorRouteKind, ns, "shop", `{spec: {coldStart: {warmUp: [{cron: "@daily", for: 1h}]}}}`)
		Eventually(wakes("shop"), patience).Should(Equal("True Reconciled: demand wakes the target"))
	}, NodeTimeout(time.Minute))

	It("is woken by the ScaledObject of an HTTPScaledObject whose place it takes", func(ctx SpecContext) {
		create(ctx, service(ns, "moves"), objects.HTTPScaledObject(ns, "moves", ns+".test"))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "moves"), patience).Should(Equal(upToDate))
		create(ctx, objects.InterceptorRoute(ns, "moves", ns+".test"))
		Eventually(state(ctx, "moves"), patience).Should(Equal(routed))
		Eventually(func(g Gomega) string { return condition(get(ctx, g, interceptorRouteKind, ns, "moves"), "Wakes") }, patience).Should(HaveSuffix(", as long as there is an HTTPScaledObject of the same name"))

		// Without an owner, the ScaledObject outlives the route, but its trigger asks for it in
		// vain.
		change(ctx, httpScaledObjectKind, ns, "moves", `{metadata: {annotations: {httpscaledobject.keda.sh/orphan-scaledobject: "true"}}}`)
		Eventually(func(g Gomega) []metav1.OwnerReference {
			return get(ctx, g, scaledObjectKind, ns, "moves").GetOwnerReferences()
		}, patience).Should(BeEmpty())
		Expect(api.Delete(ctx, get(ctx, Default, httpScaledObjectKind, ns, "moves"))).To(Succeed())
		Eventually(state(ctx, "moves"), patience).Should(Equal(`False NoScaledObject: nothing wakes the target: ` +
			`the trigger of the ScaledObject "moves" has httpScaledObject in place of interceptorRoute: moves`))
		change(ctx, scaledObjectKind, ns, "moves", `{spec: {triggers: [{type: external-push, metadata: {scalerAddress: "scaler.keda:9090", interceptorRoute: moves}}]}}`)
		Eventually(state(ctx, "moves"), patience).Should(Equal(routed))
	}, NodeTimeout(5*time.Minute))

	It("says what KEDA says of the ScaledObject, and who paused it", func(ctx SpecContext) {
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
		kedaSays(ctx, ns, "wakes-shop", "False", "ScaledObjectCheckFailed", "no Deployment")
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`False ScaledObjectNotReady: KEDA does not wake the target: it says of the ScaledObject "wakes-shop": ScaledObjectCheckFailed: no Deployment`))
		kedaSays(ctx, ns, "wakes-shop", "False", "TriggerError", "not working")
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`True ScaledObjectNotReady: KEDA does not wake the target: it says of the ScaledObject "wakes-shop": TriggerError: not working`))
		kedaSays(ctx, ns, "wakes-shop", "True", "ScaledObjectReady", "fine")
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
		change(ctx, scaledObjectKind, ns, "wakes-shop", `{metadata: {annotations: {autoscaling.keda.sh/paused-replicas: "0"}}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`True ScaledObjectPaused: KEDA does not wake the target: the annotation autoscaling.keda.sh/paused-replicas pauses the ScaledObject "wakes-shop"`))
		create(ctx, named(waking(ns, "shop"), "another"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed), "one that works is enough")
	}, NodeTimeout(5*time.Minute))

	It("warns of ConfigMaps that responses cannot be taken from", func(ctx SpecContext) {
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test", func(r *v1beta1.InterceptorRoute) {
			r.Spec.StaticRoutes = []v1beta1.StaticRoute{{
				Rules:    []v1beta1.RoutingRule{{Paths: []v1beta1.PathMatch{{Value: "/down"}}}},
				Response: v1beta1.StaticResponse{BodyFromConfigMap: &v1beta1.ConfigMapKeyRef{Name: "pages", Key: "down.html"}},
			}}
		}))
		const missing = `True ConfigMapNotFound: staticRoutes[0]: ConfigMap "pages" does not exist or has no label http.keda.sh/response-body: "true"`
		Eventually(state(ctx, "shop"), patience).Should(Equal(missing))
		create(ctx, &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pages"},
			Data:       map[string]string{"up.html": "up"},
		})
		configMap := corev1.SchemeGroupVersion.WithKind("ConfigMap")
		change(ctx, configMap, ns, "pages", `{metadata: {labels: {http.keda.sh/response-body: "true"}}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(`True ConfigMapKeyNotFound: staticRoutes[0]: ConfigMap "pages" has no key "down.html"`))
		change(ctx, configMap, ns, "pages", `{data: {down.html: down}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
		change(ctx, configMap, ns, "pages", `{metadata: {labels: null}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(missing))
	}, NodeTimeout(5*time.Minute))

	It("warns of a waiting page that cannot be used", func(ctx SpecContext) {
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test", func(r *v1beta1.InterceptorRoute) {
			r.Spec.ColdStart = &v1beta1.ColdStartSpec{WaitingPage: &v1beta1.WaitingPageSpec{BodyFromConfigMap: &v1beta1.ConfigMapKeyRef{Name: "wait"}}}
		}))
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`True ConfigMapNotFound: coldStart.waitingPage: ConfigMap "wait" does not exist or has no label http.keda.sh/response-body: "true"`))
		create(ctx, &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "wait", Labels: map[string]string{"http.keda.sh/response-body": "true"}},
			Data:       map[string]string{"other.html": "x"},
		})
		Eventually(state(ctx, "shop"), patience).Should(Equal(`True ConfigMapKeyNotFound: coldStart.waitingPage: ConfigMap "wait" has no key "index.html"`))
		configMap := corev1.SchemeGroupVersion.WithKind("ConfigMap")
		change(ctx, configMap, ns, "wait", `{data: {index.html: "{{if}}"}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`True InvalidTemplate: coldStart.waitingPage: ConfigMap "wait": parsing the template: template: page:1: missing value for if`))
		change(ctx, configMap, ns, "wait", `{data: {index.html: "{{range 9}}{{end}}"}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`True InvalidTemplate: coldStart.waitingPage: ConfigMap "wait": page:1:8: range may not be used in a waiting page`))
		change(ctx, configMap, ns, "wait", `{data: {index.html: "{{.Elapsed}}"}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
	}, NodeTimeout(5*time.Minute))

	It("warns of a fallback without a Service", func(ctx SpecContext) {
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test", func(r *v1beta1.InterceptorRoute) {
			r.Spec.ColdStart = &v1beta1.ColdStartSpec{Fallback: &v1beta1.FallbackSpec{Service: v1beta1.FallbackService{Name: "sorry", Port: 80}}}
		}))
		Eventually(state(ctx, "shop"), patience).Should(Equal(`True ServiceNotFound: coldStart.fallback: Service "sorry" does not exist`))
		create(ctx, service(ns, "sorry"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
	}, NodeTimeout(5*time.Minute))

	It("says which route owns its hosts and paths", func(ctx SpecContext) {
		// Names decide between objects of one second: the later in the alphabet wins.
		create(ctx, service(ns, "shop"), service(ns, "a"), waking(ns, "a"),
			objects.InterceptorRoute(ns, "shop", ns+".test"), objects.InterceptorRoute(ns, "a", ns+".test"))
		taken := "False RouteConflict: requests for " + ns + ".test/ go to the route " + ns + "/shop, which has the same rule and comes first"
		Eventually(state(ctx, "a"), patience).Should(Equal(taken))
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))

		change(ctx, interceptorRouteKind, ns, "a", `{spec: {rules: [{hosts: [`+ns+`.test, other.`+ns+`.test]}]}}`)
		Eventually(state(ctx, "a"), patience).Should(HavePrefix("True RouteConflict"))
		change(ctx, interceptorRouteKind, ns, "shop", `{spec: {rules: [{hosts: [`+ns+`.test], paths: [{value: /api}]}]}}`)
		Eventually(state(ctx, "a"), patience).Should(Equal(routed))

		change(ctx, interceptorRouteKind, ns, "shop", `{spec: {rules: []}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal("False NoRules: no request matches: spec.rules is empty"))
	}, NodeTimeout(5*time.Minute))

	It("says which hosts and paths no request matches", func(ctx SpecContext) {
		create(ctx, service(ns, "shop"), objects.InterceptorRoute(ns, "shop", "http://"+ns+".test"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(
			`False InvalidRules: no request matches the host "http://` + ns + `.test": it is a URL; write its host alone`))
		change(ctx, interceptorRouteKind, ns, "shop", `{spec: {rules: [{hosts: [`+ns+`.test], paths: [{value: /api/*}, {value: /cart}]}]}}`)
		Eventually(state(ctx, "shop"), patience).Should(HavePrefix(`True InvalidRules: no request matches the path "/api/*": `))
		Eventually(events(ctx, ns, "shop"), patience).Should(ContainElement("Warning InvalidRules"))
		change(ctx, interceptorRouteKind, ns, "shop", `{spec: {rules: [{hosts: [ü.`+ns+`.test]}]}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
		change(ctx, interceptorRouteKind, ns, "shop", `{spec: {staticRoutes: [{rules: [{paths: [{value: "/a?b"}]}], response: {body: a}}]}}`)
		Eventually(state(ctx, "shop"), patience).Should(HavePrefix(`True InvalidRules: staticRoutes[0]: no request matches the path "/a?b": `))
	}, NodeTimeout(5*time.Minute))

	It("says when older objects have taken the bound of its namespace, and heals", func(ctx SpecContext) {
		many := make([]string, namespaceLimit)
		for i := range many {
			many[i] = fmt.Sprintf("h%d.%s.test", i, ns)
		}
		// Names decide between objects of one second: the later in the alphabet wins.
		create(ctx, service(ns, "shop"), service(ns, "z"), waking(ns, "z"), objects.InterceptorRoute(ns, "z", many[0], func(r *v1beta1.InterceptorRoute) {
			r.Spec.Rules[0].Hosts = many
		}))
		Eventually(state(ctx, "z"), patience).Should(Equal(routed))
		create(ctx, objects.InterceptorRoute(ns, "shop", ns+".test"))
		Eventually(state(ctx, "shop"), patience).Should(Equal(fmt.Sprintf(
			"False NamespaceFull: the object is not served: older objects have taken the %d hosts, paths, headers and other matches that all objects of namespace %q may have", namespaceLimit, ns)))
		Expect(state(ctx, "z")(Default)).To(Equal(routed))
		change(ctx, interceptorRouteKind, ns, "z", `{spec: {rules: [{hosts: [z.`+ns+`.test]}]}}`)
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
	}, NodeTimeout(5*time.Minute))

	It("tells of an object that does not decode, and of the others", func(ctx SpecContext) {
		create(ctx, parse(objects.OddInterceptorRoute, ns), service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"))
		Eventually(state(ctx, "odd"), patience).Should(HavePrefix("False Undecodable: the object cannot be read and is not in effect: "))
		Eventually(state(ctx, "shop"), patience).Should(Equal(routed))
	}, NodeTimeout(5*time.Minute))
})
