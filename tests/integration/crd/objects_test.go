package crd_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/objects"
	"github.com/kedacore/http-add-on/tests/support/rollback"
)

var _ = Describe("objects of 0.16", func() {
	DescribeTable("are accepted, and nothing of them is lost", func(ctx SpecContext, text string) {
		_, err := cluster.Kubectl(ctx, text, "apply", "-f", "-")
		Expect(err).NotTo(HaveOccurred())

		var applied, stored unstructured.Unstructured
		Expect(yaml.Unmarshal([]byte(text), &applied.Object)).To(Succeed())
		answer, err := cluster.Kubectl(ctx, "", "get", applied.GetKind(), applied.GetName(), "-o", "json")
		Expect(err).NotTo(HaveOccurred())
		Expect(yaml.Unmarshal([]byte(answer), &stored.Object)).To(Succeed())
		Expect(rollback.Lost(&applied, &stored)).To(BeEmpty())

		_, err = cluster.Kubectl(ctx, text, "replace", "-f", "-")
		Expect(err).NotTo(HaveOccurred())
	},
		Entry("HTTPScaledObject", objects.OldHTTPScaledObject),
		Entry("HTTPScaledObject with odd values", objects.OddHTTPScaledObject),
		Entry("InterceptorRoute", objects.OldInterceptorRoute),
		Entry("InterceptorRoute with odd values", objects.OddInterceptorRoute),
	)
})

var _ = Describe("objects made in Go", func() {
	var api client.Client

	BeforeEach(func() {
		scheme := runtime.NewScheme()
		Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		Expect(v1beta1.AddToScheme(scheme)).To(Succeed())
		var err error
		api, err = client.New(cluster.Config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
	})

	It("get the schema's defaults for what they leave zero", func(ctx SpecContext) {
		route := objects.InterceptorRoute("default", "defaults", "a.example.com", func(r *v1beta1.InterceptorRoute) {
			r.Spec.ScalingMetric.RequestRate = &v1beta1.RequestRateTargetSpec{TargetValue: 5}
			r.Spec.ColdStart = &v1beta1.ColdStartSpec{
				StreamingCallback: &v1beta1.StreamingCallbackSpec{Message: "Waking"},
				WaitingPage:       &v1beta1.WaitingPageSpec{},
			}
		})
		Expect(api.Create(ctx, route)).To(Succeed())
		Expect(route.Spec.ScalingMetric.RequestRate.Window.Duration.String()).To(Equal("1m0s"))
		Expect(route.Spec.ScalingMetric.RequestRate.Granularity.Duration.String()).To(Equal("1s"))
		Expect(route.Spec.ColdStart.Overflow).To(Equal(v1beta1.OverflowReject))
		Expect(route.Spec.ColdStart.StreamingCallback.Interval.Duration.String()).To(Equal("5s"))
		Expect(route.Spec.ColdStart.StreamingCallback.Display).To(Equal(v1beta1.StreamingDisplayContent))
		Expect(route.Spec.ColdStart.WaitingPage.RefreshInterval.Duration.String()).To(Equal("5s"))
		Expect(route.Spec.ColdStart.WaitingPage.StatusCode).To(BeEquivalentTo(503))

		object := objects.HTTPScaledObject("default", "defaults", "a.example.com", func(o *v1alpha1.HTTPScaledObject) {
			o.Spec.ColdStartStreamingCallback = &v1alpha1.ColdStartStreamingCallbackSpec{Message: "Waking"}
			o.Spec.ColdStartTimeoutFailoverRef = &v1alpha1.ColdStartTimeoutFailoverRef{Service: "a", Port: 80}
		})
		Expect(api.Create(ctx, object)).To(Succeed())
		Expect(object.Spec.ColdStartStreamingCallback.IntervalSeconds).To(BeEquivalentTo(5))
		Expect(object.Spec.ColdStartTimeoutFailoverRef.TimeoutSeconds).To(BeEquivalentTo(30))
	})

	It("come back as they were, and their status is written apart", func(ctx SpecContext) {
		complete, err := objects.CompleteInterceptorRoute()
		Expect(err).NotTo(HaveOccurred())
		route := &v1beta1.InterceptorRoute{}
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(complete.Object, route, true)).To(Succeed())
		route.Namespace, route.Name = "default", "complete"
		spec := route.Spec.DeepCopy()
		route.Status.Conditions = []metav1.Condition{ready()}
		Expect(api.Create(ctx, route)).To(Succeed())
		Expect(route.Spec).To(Equal(*spec))
		Expect(route.Status.Conditions).To(BeEmpty(), "a create must not write the status")

		route.Status.Conditions = []metav1.Condition{ready()}
		route.Spec.Target.Service = "another"
		Expect(api.Status().Update(ctx, route)).To(Succeed())
		Expect(route.Spec).To(Equal(*spec), "a status update must not write the spec")
		Expect(route.Status.Conditions).To(HaveLen(1))
	})
})

var _ = Describe("kubectl get", func() {
	It("prints the columns of an InterceptorRoute", func(ctx SpecContext) {
		route := `{apiVersion: http.keda.sh/v1beta1, kind: InterceptorRoute, metadata: {name: columns},
			spec: {target: {service: shop, port: 80}, scalingMetric: {concurrency: {targetValue: 1}}}}`
		Expect(columns(ctx, route, "interceptorroute/columns", `{"status":{"conditions":[`+readyJSON+`],`+wakeJSON+`}}`)).To(HaveExactElements(
			[]string{"NAME", "TARGETSERVICE", "READY", "AGE", "ROUTED", "WAKES", "PHASE", "REASON"},
			HaveExactElements("columns", "shop", "True", Not(BeEmpty()), "Starting", "CrashLoop"),
		))
	})

	It("prints the columns of an HTTPScaledObject by its short name", func(ctx SpecContext) {
		object := `{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, metadata: {name: columns},
			spec: {scaleTargetRef: {service: shop}, replicas: {min: 0, max: 3}}}`
		status := `{"status":{"targetWorkload":"apps/v1/Deployment/shop","targetService":"shop:80","conditions":[` + readyJSON + `],` + wakeJSON + `}}`
		Expect(columns(ctx, object, "httpso/columns", status)).To(HaveExactElements(
			[]string{"NAME", "TARGETWORKLOAD", "TARGETSERVICE", "MINREPLICAS", "MAXREPLICAS", "AGE", "READY", "ROUTED", "WAKES", "PHASE", "REASON"},
			HaveExactElements("columns", "apps/v1/Deployment/shop", "shop:80", "0", "3", Not(BeEmpty()), "True", "Starting", "CrashLoop"),
		))
	})
})

const wakeJSON = `"wake":{"phase":"Starting","reason":"CrashLoop","startedAt":"2026-01-01T00:00:00Z","phaseSince":"2026-01-01T00:00:00Z"}`

const readyJSON = `{"type":"Ready","status":"True","reason":"Reconciled","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}`

func ready() metav1.Condition {
	return metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Reconciled", LastTransitionTime: metav1.Now()}
}

// columns applies an object, patches its status and returns the words of each
// line that kubectl get prints for it.
func columns(ctx SpecContext, object, name, status string) [][]string {
	GinkgoHelper()
	_, err := cluster.Kubectl(ctx, object, "apply", "-f", "-")
	Expect(err).NotTo(HaveOccurred())
	_, err = cluster.Kubectl(ctx, "", "patch", name, "--subresource=status", "--type=merge", "-p", status)
	Expect(err).NotTo(HaveOccurred())
	out, err := cluster.Kubectl(ctx, "", "get", name)
	Expect(err).NotTo(HaveOccurred())
	var lines [][]string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}
