package operator_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// A stand-by takes over from the operator of all specs, and stays.
var _ = DescribeTable("An operator that leads", func(ctx SpecContext, leave func(*process)) {
	ns := namespace(ctx)
	create(ctx, service(ns, "shop"), service(ns, "blog"), waking(ns, "blog"),
		objects.HTTPScaledObject(ns, "shop", "shop."+ns+".test"), objects.InterceptorRoute(ns, "blog", "blog."+ns+".test"))
	Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
	Eventually(verdict(ctx, interceptorRouteKind, ns, "blog"), patience).Should(Equal(routed))
	Eventually(events(ctx, ns, "shop"), patience).Should(HaveLen(1))
	Eventually(events(ctx, ns, "blog"), patience).Should(ContainElement("Normal Reconciled"))
	shop, blog := get(ctx, Default, httpScaledObjectKind, ns, "shop"), get(ctx, Default, interceptorRouteKind, ns, "blog")
	told := events(ctx, ns, "blog")(Default)

	log := &capture.Log{}
	next, before := start(chartSettings(), log, account("keda", "keda-add-ons-http")), acting
	Eventually(next.requests.Count, patience).WithArguments("GET", leases).Should(BeNumerically(">", 1))
	acting = next
	leave(before)

	// Of these the new one learns when it begins.
	change(ctx, httpScaledObjectKind, ns, "shop", `{spec: {replicas: {max: 7}}}`)
	create(ctx, objects.InterceptorRoute(ns, "late", "late."+ns+".test"))
	Eventually(verdict(ctx, interceptorRouteKind, ns, "late"), 2*patience).Should(HavePrefix("False ServiceNotFound"))
	Eventually(func(g Gomega) {
		g.Expect(field(get(ctx, g, scaledObjectKind, ns, "shop"), "spec", "maxReplicaCount")).To(Equal("7"))
		g.Expect(field(get(ctx, g, httpScaledObjectKind, ns, "shop"), "status", "conditions")).To(ContainSubstring("observedGeneration:2"))
	}, patience).Should(Succeed())
	Eventually(events(ctx, ns, "late"), patience).Should(Equal([]string{"Normal Reconciled"}))

	// It looked at every object, and wrote what is new.
	Expect(log.Count("Starting workers")).To(Equal(3))
	// What a request has changed can be seen before its answer is noted.
	count := func(words ...string) func() int { return func() int { return next.requests.Count(words...) } }
	Eventually(count("PATCH", "/status", ns), patience).Should(Equal(2), "%q", next.requests.Lines())
	Eventually(count("POST", "/events", ns), patience).Should(Equal(1), "%q", next.requests.Lines())
	Expect(get(ctx, Default, interceptorRouteKind, ns, "blog").GetResourceVersion()).To(Equal(blog.GetResourceVersion()))
	Expect(events(ctx, ns, "blog")(Default)).To(Equal(told))
	Expect(events(ctx, ns, "shop")(Default)).To(HaveLen(1))
	Expect(before.requests.Count("PATCH", "/httpscaledobjects/shop/status", ns)).To(Equal(1), "%q", before.requests.Lines())
	Expect(shop.GetGeneration()).To(BeEquivalentTo(1))

	// And it goes on.
	create(ctx, service(ns, "late"), waking(ns, "late"))
	Eventually(verdict(ctx, interceptorRouteKind, ns, "late"), patience).Should(Equal(routed))
},
	Entry("and ends gives its lease to the next", (*process).end, NodeTimeout(5*time.Minute)),
	Entry("and is killed is replaced when its lease has run out", (*process).vanish, NodeTimeout(5*time.Minute)),
)

// An install that follows another one does not wait until the Lease has run out.
var _ = It("releases its Lease at shutdown", func(ctx SpecContext) {
	lease := &coordinationv1.Lease{}
	name := client.ObjectKey{Namespace: "keda", Name: "http-add-on-operator.keda.sh"}
	holder := func(g Gomega) string {
		g.Expect(api.Get(ctx, name, lease)).To(Succeed())
		if lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	Eventually(holder, 2*patience).ShouldNot(BeEmpty())
	acting.end()
	Expect(holder(Default)).To(BeEmpty())
	acting = start(chartSettings(), &capture.Log{}, account("keda", "keda-add-ons-http"))
	Eventually(holder, 2*patience).ShouldNot(BeEmpty())
}, NodeTimeout(5*time.Minute))
