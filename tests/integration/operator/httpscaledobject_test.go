package operator_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	names "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

const upToDate = "True Reconciled: the ScaledObject is up to date"

var _ = Describe("HTTPScaledObject", func() {
	var ns string

	BeforeEach(func(ctx SpecContext) {
		ns = namespace(ctx)
		create(ctx, service(ns, "shop"))
	}, NodeTimeout(5*time.Minute))

	// made creates an object and waits for its ScaledObject.
	made := func(ctx context.Context, changes ...func(*v1alpha1.HTTPScaledObject)) *unstructured.Unstructured {
		GinkgoHelper()
		create(ctx, objects.HTTPScaledObject(ns, "shop", ns+".test", changes...))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
		return get(ctx, Default, scaledObjectKind, ns, "shop")
	}
	annotated := func(name string) func(*v1alpha1.HTTPScaledObject) {
		return func(o *v1alpha1.HTTPScaledObject) { o.Annotations = map[string]string{name: "true"} }
	}

	It("makes a ScaledObject and tells of both in its status", func(ctx SpecContext) {
		scaledObject := made(ctx)
		object := get(ctx, Default, httpScaledObjectKind, ns, "shop")
		Expect(metav1.IsControlledBy(scaledObject, object)).To(BeTrue())
		Expect(field(object, "status", "targetWorkload")).To(Equal("apps/v1/Deployment/shop"))
		Expect(field(object, "status", "targetService")).To(Equal("shop:80"))
		Eventually(events(ctx, ns, "shop"), patience).Should(Equal([]string{"Normal Reconciled"}))
	}, NodeTimeout(5*time.Minute))

	It("follows changes, and writes nothing when nothing changes", func(ctx SpecContext) {
		scaledObject := made(ctx)
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {replicas: {max: 7}, scaledownPeriod: 30}, metadata: {labels: {team: blue}}}`)
		Eventually(func(g Gomega) {
			scaledObject = get(ctx, g, scaledObjectKind, ns, "shop")
			g.Expect(field(scaledObject, "spec", "maxReplicaCount")).To(Equal("7"))
			g.Expect(scaledObject.GetLabels()).To(HaveKeyWithValue("team", "blue"))
		}, patience).Should(Succeed())
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {replicas: null}}`)
		Eventually(func(g Gomega) {
			scaledObject = get(ctx, g, scaledObjectKind, ns, "shop")
			g.Expect(field(scaledObject, "spec", "maxReplicaCount")).To(BeEmpty())
		}, patience).Should(Succeed())

		// What KEDA writes stays, and causes no write.
		change(ctx, scaledObjectKind, ns, "shop", `{metadata: {labels: {scaledobject.keda.sh/name: shop}, finalizers: [finalizer.keda.sh]}}`, client.FieldOwner("keda"))
		Eventually(func(g Gomega) string {
			return field(get(ctx, g, httpScaledObjectKind, ns, "shop"), "status", "conditions")
		}, patience).Should(ContainSubstring("observedGeneration:3"))
		before := get(ctx, Default, scaledObjectKind, ns, "shop")
		status := get(ctx, Default, httpScaledObjectKind, ns, "shop")
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {finalizers: [example.com/theirs]}}`)
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {finalizers: null}}`)
		Consistently(func(g Gomega) {
			after := get(ctx, g, scaledObjectKind, ns, "shop")
			g.Expect(after.GetResourceVersion()).To(Equal(before.GetResourceVersion()))
			g.Expect(after.GetFinalizers()).To(Equal([]string{"finalizer.keda.sh"}))
			g.Expect(get(ctx, g, httpScaledObjectKind, ns, "shop").Object["status"]).To(Equal(status.Object["status"]))
		}, time.Second).Should(Succeed())
		Expect(events(ctx, ns, "shop")(Default)).To(HaveLen(1))

		// What others overwrite comes back.
		change(ctx, scaledObjectKind, ns, "shop", `{spec: {pollingInterval: 99}}`, client.FieldOwner("kubectl-edit"))
		Eventually(func(g Gomega) string {
			return field(get(ctx, g, scaledObjectKind, ns, "shop"), "spec", "pollingInterval")
		}, patience).Should(Equal("15"))
	}, NodeTimeout(5*time.Minute))

	It("adopts what an older version created and patched", func(ctx SpecContext) {
		// The owner is there first, but nothing is made for it yet.
		create(ctx, objects.HTTPScaledObject(ns, "shop", ns+".test", func(o *v1alpha1.HTTPScaledObject) { o.Spec.ScaleTargetRef.Name = "" }))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix("False CreateError"))
		owner := get(ctx, Default, httpScaledObjectKind, ns, "shop")
		old := parse(fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: shop
  labels: {stale: "true"}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
  ownerReferences:
  - {apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, name: shop, uid: %s, controller: true, blockOwnerDeletion: true}
spec:
  scaleTargetRef: {name: shop}
  minReplicaCount: 3
  triggers: [{type: external-push, metadata: {scalerAddress: "old.keda:9090", httpScaledObject: shop}}]
`, owner.GetUID()), ns)
		Expect(api.Create(ctx, old, client.FieldOwner("init"))).To(Succeed())
		change(ctx, scaledObjectKind, ns, "shop", `{spec: {cooldownPeriod: 9}}`, client.FieldOwner("init"))
		change(ctx, scaledObjectKind, ns, "shop", `{spec: {idleReplicaCount: 0}}`, client.FieldOwner("kubectl-edit"))

		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {scaleTargetRef: {name: shop}}}`)
		Eventually(func(g Gomega) {
			now := get(ctx, g, scaledObjectKind, ns, "shop")
			g.Expect(field(now, "spec", "minReplicaCount")).To(BeEmpty())
			g.Expect(field(now, "spec", "cooldownPeriod")).To(BeEmpty())
			g.Expect(now.GetLabels()).NotTo(HaveKey("stale"))
			g.Expect(now.GetAnnotations()).To(BeEmpty())
			g.Expect(field(now, "spec", "triggers")).To(ContainSubstring("scaler.keda:9090"))
			g.Expect(field(now, "spec", "idleReplicaCount")).To(Equal("0"), "what a user set stays")
			g.Expect(managers(now)).To(ConsistOf("keda-http-add-on:scaler.keda Apply", "kubectl-edit Update"))
		}, patience).Should(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("takes a ScaledObject that nobody controls only if it asks for the object", func(ctx SpecContext) {
		theirs := waking(ns, "elsewhere")
		theirs.SetName("shop")
		create(ctx, theirs)
		before := get(ctx, Default, scaledObjectKind, ns, "shop")
		create(ctx, objects.HTTPScaledObject(ns, "shop", ns+".test"))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			"False CreateError: a ScaledObject of this name exists and has no trigger with the metadata httpScaledObject: shop: it is somebody else's"))
		Expect(get(ctx, Default, scaledObjectKind, ns, "shop").GetResourceVersion()).To(Equal(before.GetResourceVersion()))

		change(ctx, scaledObjectKind, ns, "shop", `{spec: {triggers: [{type: external-push, metadata: {httpScaledObject: shop}}]}}`)
		Eventually(func(g Gomega) string {
			return field(get(ctx, g, scaledObjectKind, ns, "shop"), "metadata", "ownerReferences")
		}, patience).Should(ContainSubstring("kind:HTTPScaledObject name:shop"))
	}, NodeTimeout(5*time.Minute))

	It("never touches what somebody else controls", func(ctx SpecContext) {
		foreign := waking(ns, "shop")
		foreign.SetName("shop")
		yes := true
		foreign.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "Deployment", Name: "theirs", UID: "6a7c61c5-0000-0000-0000-000000000000", Controller: &yes,
		}})
		create(ctx, foreign)
		before := get(ctx, Default, scaledObjectKind, ns, "shop")
		create(ctx, objects.HTTPScaledObject(ns, "shop", ns+".test"))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			"False CreateError: a ScaledObject of this name exists and is controlled by Deployment theirs"))
		Eventually(events(ctx, ns, "shop"), patience).Should(Equal([]string{"Warning CreateError"}))
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: {httpscaledobject.keda.sh/skip-scaledobject-creation: "true"}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix("Unknown ScaledObjectSkipped"))
		Expect(get(ctx, Default, scaledObjectKind, ns, "shop").GetResourceVersion()).To(Equal(before.GetResourceVersion()))

		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: null}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix("False CreateError"))
		Expect(api.Delete(ctx, before)).To(Succeed())
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))

	It("deletes its ScaledObject when told to make none", func(ctx SpecContext) {
		made(ctx)
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: {httpscaledobject.keda.sh/skip-scaledobject-creation: "true"}}}`)
		Eventually(absent(ctx, scaledObjectKind, ns, "shop"), patience).Should(Succeed())
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix("Unknown ScaledObjectSkipped"))
		Eventually(func(g Gomega) string { return condition(get(ctx, g, httpScaledObjectKind, ns, "shop"), "Ready") }, patience).Should(HavePrefix("True Reconciled: an annotation disables the ScaledObject"))
	}, NodeTimeout(5*time.Minute))

	It("lets go of an orphan, and takes it back", func(ctx SpecContext) {
		made(ctx)
		owners := func(g Gomega) []metav1.OwnerReference {
			return get(ctx, g, scaledObjectKind, ns, "shop").GetOwnerReferences()
		}
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: {httpscaledobject.keda.sh/orphan-scaledobject: "true"}}}`)
		Eventually(owners, patience).Should(BeEmpty())
		change(ctx, scaledObjectKind, ns, "shop", `{spec: {pollingInterval: 99}}`)
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {replicas: {max: 5}}}`)
		Consistently(func(g Gomega) string {
			return field(get(ctx, g, scaledObjectKind, ns, "shop"), "spec", "pollingInterval")
		}, time.Second).Should(Equal("99"), "it is the user's")
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: null}}`)
		Eventually(owners, patience).Should(HaveLen(1))
		Expect(field(get(ctx, Default, scaledObjectKind, ns, "shop"), "spec", "pollingInterval")).To(Equal("15"))
	}, NodeTimeout(5*time.Minute))

	It("makes a ScaledObject without an owner for an object that is an orphan's from the start", func(ctx SpecContext) {
		Expect(made(ctx, annotated(names.AnnotationOrphanScaledObject)).GetOwnerReferences()).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))

	It("removes the finalizer of an older version when the object is deleted", func(ctx SpecContext) {
		made(ctx, func(o *v1alpha1.HTTPScaledObject) { o.Finalizers = []string{names.Finalizer} })
		object := get(ctx, Default, httpScaledObjectKind, ns, "shop")
		Expect(object.GetFinalizers()).To(HaveLen(1))
		Expect(api.Delete(ctx, object)).To(Succeed())
		Eventually(absent(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("says what is wrong with a spec, and tries nothing", func(ctx SpecContext) {
		create(ctx, objects.HTTPScaledObject(ns, "shop", ns+".test", func(o *v1alpha1.HTTPScaledObject) {
			o.Spec.ScalingMetric = &v1alpha1.ScalingMetricSpec{
				Concurrency: &v1alpha1.ConcurrencyMetricSpec{TargetValue: 1}, Rate: &v1alpha1.RateMetricSpec{TargetValue: 1},
			}
		}))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			"False CreateError: scalingMetric: concurrency and requestRate exclude each other"))
		Expect(absent(ctx, scaledObjectKind, ns, "shop")()).To(Succeed())
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {scalingMetric: null, scaledownPeriod: -1}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(And(
			HavePrefix("False CreateError: the ScaledObject was refused"), ContainSubstring("cooldownPeriod")))
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {scaledownPeriod: 1}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))

	It("says what KEDA would refuse", func(ctx SpecContext) {
		made(ctx)
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {replicas: {min: 5, max: 2}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			"False CreateError: replicas.min is 5, and replicas.max only 2"))
		Eventually(events(ctx, ns, "shop"), patience).Should(ContainElement("Warning CreateError"))
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {replicas: {min: 1, max: 2}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))

		long := strings.Repeat("long", 16)
		create(ctx, objects.HTTPScaledObject(ns, long, long+".test", func(o *v1alpha1.HTTPScaledObject) { o.Spec.ScaleTargetRef.Service = "shop" }))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, long), patience).Should(HavePrefix("False CreateError: the name has 64 characters"))
		Expect(absent(ctx, scaledObjectKind, ns, long)()).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("copies nothing that tools keep, and takes the instance off an orphan", func(ctx SpecContext) {
		made(ctx)
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {labels: {app.kubernetes.io/instance: shop, kustomize.toolkit.fluxcd.io/name: shop, team: a}}}`)
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: {argocd.argoproj.io/tracking-id: x, meta.helm.sh/release-name: shop, mine: x}}}`)
		metadata := func(g Gomega) map[string]string {
			object := get(ctx, g, scaledObjectKind, ns, "shop")
			both := map[string]string{}
			maps.Copy(both, object.GetLabels())
			maps.Copy(both, object.GetAnnotations())
			return both
		}
		Eventually(metadata, patience).Should(Equal(map[string]string{"app.kubernetes.io/instance": "shop", "team": "a", "mine": "x"}))
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: {httpscaledobject.keda.sh/orphan-scaledobject: "true"}}}`)
		Eventually(metadata, patience).Should(Equal(map[string]string{
			"team": "a", "mine": "x", "httpscaledobject.keda.sh/orphan-scaledobject": "true"}))
	}, NodeTimeout(5*time.Minute))

	It("says which Service port is missing, and when it is not clear", func(ctx SpecContext) {
		create(ctx, objects.Service(ns, "two", corev1.ServicePort{Name: "a", Port: 1}, corev1.ServicePort{Name: "b", Port: 2}))
		create(ctx, objects.HTTPScaledObject(ns, "shop", ns+".test", func(o *v1alpha1.HTTPScaledObject) { o.Spec.ScaleTargetRef.Service = "two" }))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			`False PortAmbiguous: Service "two" has 2 TCP ports: set 'port' or 'portName'`))
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {scaleTargetRef: {portName: b}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
		Expect(field(get(ctx, Default, httpScaledObjectKind, ns, "shop"), "status", "targetService")).To(Equal("two:2"))
	}, NodeTimeout(5*time.Minute))

	It("tells of an InterceptorRoute that takes its place", func(ctx SpecContext) {
		made(ctx)
		route := objects.InterceptorRoute(ns, "shop", ns+".test")
		create(ctx, route)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal("True Superseded: the InterceptorRoute of the same name takes the requests"))
		Eventually(events(ctx, ns, "shop"), patience).Should(ContainElement("Warning Superseded"))
		Expect(api.Delete(ctx, raw(route))).To(Succeed())
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))

	It("says which route owns its hosts and paths, of either kind", func(ctx SpecContext) {
		// Names decide between objects of one second: the later in the alphabet wins.
		route := objects.InterceptorRoute(ns, "z", ns+".test")
		create(ctx, service(ns, "a"), route, objects.HTTPScaledObject(ns, "shop", ns+".test"), objects.HTTPScaledObject(ns, "a", ns+".test"))
		takenBy := func(name string) string {
			return "True RouteConflict: requests for " + ns + ".test/ go to the route " + ns + "/" + name + ", which has the same rule and comes first"
		}
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "a"), patience).Should(Equal(takenBy("z")))
		Eventually(events(ctx, ns, "a"), patience).Should(ContainElement("Warning RouteConflict"))
		Expect(api.Delete(ctx, raw(route))).To(Succeed())
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "a"), patience).Should(Equal(takenBy("shop")))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {pathPrefixes: [/api]}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "a"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))

	It("says which hosts and paths no request matches", func(ctx SpecContext) {
		made(ctx)
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {hosts: [a.*.`+ns+`.test, `+ns+`.test]}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix(
			`True InvalidRules: no request matches the host "a.*.` + ns + `.test": `))
		Eventually(events(ctx, ns, "shop"), patience).Should(ContainElement("Warning InvalidRules"))
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {pathPrefixes: [/api/*]}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix("False InvalidRules: no request matches the host "))
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {hosts: [`+ns+`.test], pathPrefixes: [/api%20v1]}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))

	It("warns of a fallback without a Service", func(ctx SpecContext) {
		made(ctx)
		change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {coldStartTimeoutFailoverRef: {service: sorry, port: 80}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			`True ServiceNotFound: coldStartTimeoutFailoverRef: Service "sorry" does not exist`))
		Eventually(events(ctx, ns, "shop"), patience).Should(Equal([]string{"Normal Reconciled", "Warning ServiceNotFound"}))
		create(ctx, objects.Service(ns, "sorry", corev1.ServicePort{Name: "http", Port: 81}))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HaveSuffix(`Service "sorry" has no TCP port 80`))
		change(ctx, corev1.SchemeGroupVersion.WithKind("Service"), ns, "sorry", `{spec: {ports: [{name: http, port: 80}]}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
		Expect(api.Delete(ctx, service(ns, "shop"))).To(Succeed())
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(`False ServiceNotFound: Service "shop" does not exist`))
	}, NodeTimeout(5*time.Minute))

	It("says what KEDA says of its ScaledObject, and who paused it", func(ctx SpecContext) {
		made(ctx)
		kedaSays(ctx, ns, "shop", "False", "TriggerError", "not working")
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			`True ScaledObjectNotReady: KEDA does not wake the target: it says of the ScaledObject "shop": TriggerError: not working`))
		Eventually(events(ctx, ns, "shop"), patience).Should(ContainElement("Warning ScaledObjectNotReady"))
		kedaSays(ctx, ns, "shop", "False", "ScaledObjectCheckFailed", "no Deployment")
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(HavePrefix("False ScaledObjectNotReady: KEDA does not wake the target"))
		kedaSays(ctx, ns, "shop", "True", "ScaledObjectReady", "fine")
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: {autoscaling.keda.sh/paused: "true"}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			`True ScaledObjectPaused: KEDA does not wake the target: the annotation autoscaling.keda.sh/paused pauses the ScaledObject "shop"`))
		change(ctx, httpScaledObjectKind, ns, "shop", `{metadata: {annotations: null}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))

	It("tells of an object that does not decode, and serves the others", func(ctx SpecContext) {
		bad := raw(objects.HTTPScaledObject(ns, "bad", "bad."+ns+".test"))
		Expect(unstructured.SetNestedField(bad.Object, "30", "spec", "timeouts", "conditionWait")).To(Succeed())
		create(ctx, bad, parse(objects.OddHTTPScaledObject, ns))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "bad"), patience).Should(HavePrefix("False Undecodable: "))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "odd"), patience).Should(HavePrefix("False Undecodable: "))
		made(ctx)
		change(ctx, httpScaledObjectKind, ns, "bad", `{spec: {timeouts: {conditionWait: 30s}, scaleTargetRef: {service: shop}}}`)
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "bad"), patience).Should(Equal(upToDate))
	}, NodeTimeout(5*time.Minute))
})

// managers are who owns fields of an object, and by what.
func managers(object *unstructured.Unstructured) (names []string) {
	for _, entry := range object.GetManagedFields() {
		names = append(names, entry.Manager+" "+string(entry.Operation))
	}
	return names
}
