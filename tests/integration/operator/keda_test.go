package operator_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/objects"
)

// The suite begins without KEDA, which all specs need: this is part of its setup.

func withoutKEDA(ctx SpecContext) {
	GinkgoHelper()
	By("running without KEDA")
	create(ctx, service("default", "shop"), objects.HTTPScaledObject("default", "shop", "shop.early"))
	create(ctx, service("default", "blog"), objects.InterceptorRoute("default", "blog", "blog.early"))
	Eventually(verdict(ctx, httpScaledObjectKind, "default", "shop"), patience).Should(
		Equal("False CreateError: KEDA is not installed: the API server knows no ScaledObjects"))
	Eventually(verdict(ctx, interceptorRouteKind, "default", "blog"), patience).Should(
		Equal("False NoScaledObject: nothing wakes the target: KEDA is not installed"))
}

func withKEDA(ctx SpecContext) {
	GinkgoHelper()
	By("noticing that KEDA was installed")
	Eventually(verdict(ctx, httpScaledObjectKind, "default", "shop"), patience).Should(Equal(upToDate))
	Eventually(verdict(ctx, interceptorRouteKind, "default", "blog"), patience).Should(
		HavePrefix("False NoScaledObject: nothing wakes the target: no ScaledObject of this namespace"))
	create(ctx, waking("default", "blog"))
	Eventually(verdict(ctx, interceptorRouteKind, "default", "blog"), patience).Should(Equal(routed))
	Expect(said.Count("kind is not available", `"kind"="ScaledObject"`)).To(Equal(1))
}
