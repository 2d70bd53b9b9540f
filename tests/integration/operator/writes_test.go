package operator_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

var _ = Describe("What the operator writes", func() {
	// Both objects have something to complain of, of each kind of place that the
	// operator looks at; the ScaledObjects are listed in no order.
	It("is written once, however often it looks", func(ctx SpecContext) {
		ns := namespace(ctx)
		create(ctx, service(ns, "shop"), service(ns, "blog"), waking(ns, "blog"), named(waking(ns, "blog"), "again"),
			objects.HTTPScaledObject(ns, "shop", ns+".test", func(o *v1alpha1.HTTPScaledObject) {
				o.Spec.ColdStartTimeoutFailoverRef = &v1alpha1.ColdStartTimeoutFailoverRef{Service: "sorry", Port: 80}
				o.Annotations = map[string]string{"autoscaling.keda.sh/paused": "true"}
			}),
			objects.InterceptorRoute(ns, "blog", ns+".test", func(r *v1beta1.InterceptorRoute) {
				r.Spec.ColdStart = &v1beta1.ColdStartSpec{Fallback: &v1beta1.FallbackSpec{Service: v1beta1.FallbackService{Name: "sorry", Port: 80}}}
			}))
		for _, name := range []string{"again", "wakes-blog"} {
			kedaSays(ctx, ns, name, "False", "TriggerError", "Triggers are not working")
		}
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			`True ServiceNotFound: coldStartTimeoutFailoverRef: Service "sorry" does not exist`))
		Eventually(func(g Gomega) string { return condition(get(ctx, g, httpScaledObjectKind, ns, "shop"), "Wakes") }, patience).Should(Equal(
			`True ScaledObjectPaused: KEDA does not wake the target: the annotation autoscaling.keda.sh/paused pauses the ScaledObject "shop"`))
		Eventually(verdict(ctx, interceptorRouteKind, ns, "blog"), patience).Should(And(
			HavePrefix("False RouteConflict"), HaveSuffix(`coldStart.fallback: Service "sorry" does not exist`)))
		Eventually(func(g Gomega) string { return condition(get(ctx, g, interceptorRouteKind, ns, "blog"), "Wakes") }, patience).Should(
			ContainSubstring(`of the ScaledObject "again": TriggerError`))
		settled := func() string {
			return fmt.Sprint(acting.requests.Count("PATCH", "/status", ns), acting.requests.Count("/events", ns),
				get(ctx, Default, httpScaledObjectKind, ns, "shop").GetResourceVersion(),
				get(ctx, Default, interceptorRouteKind, ns, "blog").GetResourceVersion())
		}
		before := settled()
		Eventually(func() bool { last := before; before = settled(); return before == last }, patience, 500*time.Millisecond).Should(BeTrue())

		for i := range 10 {
			looked := reconciliations()
			for _, name := range []string{"shop", "blog"} {
				change(ctx, corev1.SchemeGroupVersion.WithKind("Service"), ns, name, fmt.Sprintf(`{metadata: {labels: {touched: "%d"}}}`, i))
			}
			Eventually(func(g Gomega) {
				now := reconciliations()
				g.Expect(now["httpscaledobject"]).To(BeNumerically(">", looked["httpscaledobject"]))
				g.Expect(now["interceptorroute"]).To(BeNumerically(">", looked["interceptorroute"]))
			}, patience).Should(Succeed())
		}
		Consistently(settled, time.Second).Should(Equal(before))

		// KEDA's writes with every activation must not cause a reconciliation. Objects of other
		// tests may be due meanwhile, for the event of a condition that is False for a minute.
		const due = 4
		looked := reconciliations()
		for i := range 10 {
			for _, name := range []string{"shop", "again", "wakes-blog"} {
				active(ctx, ns, name, time.Unix(int64(i), 0))
			}
		}
		Consistently(func(g Gomega) {
			for controller, n := range reconciliations() {
				g.Expect(n).To(BeNumerically("<=", looked[controller]+due), controller)
			}
		}, time.Second).Should(Succeed())
		Expect(settled()).To(Equal(before))
	}, NodeTimeout(5*time.Minute))

	// Each write of a status makes another version of the object, so that no event repeats an
	// earlier one. The role needs no right to change events.
	It("is told again when it comes again", func(ctx SpecContext) {
		ns := namespace(ctx)
		create(ctx, waking(ns, "shop"), service(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"))
		for range 2 {
			kedaSays(ctx, ns, "wakes-shop", "False", "TriggerError", "not working")
			Eventually(verdict(ctx, interceptorRouteKind, ns, "shop"), patience).Should(HavePrefix("True ScaledObjectNotReady"))
			kedaSays(ctx, ns, "wakes-shop", "True", "ScaledObjectReady", "fine")
			Eventually(verdict(ctx, interceptorRouteKind, ns, "shop"), patience).Should(Equal(routed))
		}
		Eventually(events(ctx, ns, "shop"), patience).Should(ConsistOf("Normal Reconciled",
			"Warning ScaledObjectNotReady", "Normal Reconciled", "Warning ScaledObjectNotReady", "Normal Reconciled"))
	}, NodeTimeout(5*time.Minute))
})
