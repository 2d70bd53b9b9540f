package operator_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// shown returns "phase reason: message" of the wake of a route, or an empty text.
func shown(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) func(Gomega) string {
	return func(g Gomega) string {
		object := get(ctx, g, kind, namespace, name)
		if field(object, "status", "wake") == "" {
			return ""
		}
		text := field(object, "status", "wake", "phase")
		if reason := field(object, "status", "wake", "reason"); reason != "" {
			text += " " + reason + ": " + field(object, "status", "wake", "message")
		}
		return text
	}
}

// kedaIs writes whether KEDA sees demand.
func kedaIs(ctx context.Context, namespace, name, active string) {
	GinkgoHelper()
	changeStatus(ctx, namespace, name, fmt.Sprintf(`{status: {conditions: [{type: Ready, status: "True"}, {type: Active, status: "%s"}]}}`, active))
}

// selecting is a Service of the pods with a label.
func selecting(namespace, name string) *corev1.Service {
	s := service(namespace, name)
	s.Spec.Selector = map[string]string{"app": name}
	return s
}

// podOf is a pod of a Service. No controller and no kubelet looks at it.
func podOf(namespace, service, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": service}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example/app"}}},
	}
}

func podStatus(ctx context.Context, namespace, name, patch string) {
	GinkgoHelper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(api.Status().Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

func bind(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(api.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node"}})).To(Succeed())
}

const (
	notPulled  = `{"status":{"containerStatuses":[{"name":"app","image":"","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}}]}}`
	loading    = `{"status":{"containerStatuses":[{"name":"app","image":"","imageID":"","ready":false,"started":true,"restartCount":0,"state":{"running":{}}}]}}`
	isReadyNow = `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`
)

var _ = Describe("A wake", func() {
	It("shows how far its pods are, until one is ready", func(ctx SpecContext) {
		ns := namespace(ctx)
		create(ctx, selecting(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"), waking(ns, "shop"))
		wake := shown(ctx, interceptorRouteKind, ns, "shop")
		kedaIs(ctx, ns, "wakes-shop", "False")
		Consistently(wake, time.Second).Should(BeEmpty())
		kedaIs(ctx, ns, "wakes-shop", "True")
		Eventually(wake, patience).Should(Equal("Scheduling"))
		started := field(get(ctx, Default, interceptorRouteKind, ns, "shop"), "status", "wake", "startedAt")

		Expect(api.Create(ctx, podOf(ns, "shop", "shop-1"))).To(Succeed())
		bind(ctx, ns, "shop-1")
		Eventually(wake, patience).Should(Equal("Pulling"))
		podStatus(ctx, ns, "shop-1", notPulled)
		Eventually(wake, patience).Should(Equal("Pulling ImagePullFailed: pod shop-1: container app: ImagePullBackOff: not found"))
		podStatus(ctx, ns, "shop-1", loading)
		Eventually(wake, patience).Should(Equal("Loading"))
		Expect(field(get(ctx, Default, interceptorRouteKind, ns, "shop"), "status", "wake", "startedAt")).To(Equal(started))
		podStatus(ctx, ns, "shop-1", isReadyNow)
		Eventually(wake, patience).Should(BeEmpty())
		Expect(api.Delete(ctx, podOf(ns, "shop", "shop-1"), client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(wake, patience).Should(Equal("Scheduling"), "a target that crashes while there is demand wakes again")
		expected := field(get(ctx, Default, interceptorRouteKind, ns, "shop"), "status", "wake", "expectedReadyTime")
		Expect(expected).NotTo(BeEmpty(), "one wake has shown how long it takes")

		kedaIs(ctx, ns, "wakes-shop", "False")
		Eventually(wake, patience).Should(BeEmpty(), "nobody asks for it, and there is no pod")
	}, NodeTimeout(5*time.Minute))

	It("has failed once its reason has lasted, where the route asks for that", func(ctx SpecContext) {
		ns := namespace(ctx)
		create(ctx, selecting(ns, "shop"), waking(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test", func(r *v1beta1.InterceptorRoute) {
			r.Spec.ColdStart = &v1beta1.ColdStartSpec{OnFailure: v1beta1.OnFailureFail, FailAfter: &metav1.Duration{Duration: time.Second}}
		}))
		failedTime := func(g Gomega) string {
			return field(get(ctx, g, interceptorRouteKind, ns, "shop"), "status", "wake", "failedTime")
		}
		kedaIs(ctx, ns, "wakes-shop", "True")
		Expect(api.Create(ctx, podOf(ns, "shop", "shop-1"))).To(Succeed())
		bind(ctx, ns, "shop-1")
		podStatus(ctx, ns, "shop-1", notPulled)
		Eventually(failedTime, patience).ShouldNot(BeEmpty())
		podStatus(ctx, ns, "shop-1", loading)
		Eventually(failedTime, patience).Should(BeEmpty(), "it gets on")
	}, NodeTimeout(5*time.Minute))

	It("says what events know of a target that is stuck", func(ctx SpecContext) {
		ns := namespace(ctx)
		create(ctx, selecting(ns, "shop"), objects.HTTPScaledObject(ns, "shop", ns+".test"))
		Eventually(verdict(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(upToDate))
		Expect(api.Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: ns, Name: "refused"},
			InvolvedObject: corev1.ObjectReference{Kind: "ReplicaSet", Namespace: ns, Name: "shop-5d8"},
			Type:           corev1.EventTypeWarning, Reason: "FailedCreate", Message: `pods "shop-5d8-" is forbidden: exceeded quota: small`,
			LastTimestamp: metav1.Now(),
		})).To(Succeed())
		kedaIs(ctx, ns, "shop", "True")
		Eventually(shown(ctx, httpScaledObjectKind, ns, "shop"), patience).Should(Equal(
			`Scheduling QuotaExceeded: pods "shop-5d8-" is forbidden: exceeded quota: small`))
		Eventually(events(ctx, ns, "shop"), patience).Should(ContainElement("Warning QuotaExceeded"))
	}, NodeTimeout(5*time.Minute))

	It("says that a ScaledObject is paused, whether anybody asks or not", func(ctx SpecContext) {
		ns := namespace(ctx)
		paused := waking(ns, "shop")
		paused.SetAnnotations(map[string]string{"autoscaling.keda.sh/paused": "true"})
		create(ctx, selecting(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"), paused)
		Eventually(shown(ctx, interceptorRouteKind, ns, "shop"), patience).Should(HavePrefix("Scheduling ScaledObjectPaused: "))
		change(ctx, scaledObjectKind, ns, "wakes-shop", `{metadata: {annotations: {autoscaling.keda.sh/paused: null}}}`)
		Eventually(shown(ctx, interceptorRouteKind, ns, "shop"), patience).Should(BeEmpty())
	}, NodeTimeout(5*time.Minute))

	It("is removed by an operator that writes none", func(ctx SpecContext) {
		ns := namespace(ctx)
		create(ctx, selecting(ns, "shop"), objects.InterceptorRoute(ns, "shop", ns+".test"), waking(ns, "shop"))
		kedaIs(ctx, ns, "wakes-shop", "True")
		Eventually(shown(ctx, interceptorRouteKind, ns, "shop"), patience).Should(Equal("Scheduling"))
		cfg := chartSettings()
		cfg.Flags.LeaderElect, cfg.WatchNamespace, cfg.WakePhases = false, ns, false
		run(cfg, &capture.Log{}, account("keda", "keda-add-ons-http"))
		Eventually(shown(ctx, interceptorRouteKind, ns, "shop"), patience).Should(BeEmpty())
	}, NodeTimeout(5*time.Minute))
})
