package scaler_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/scaler/app"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

const namespace, service = "default", "interceptor-admin"

// interceptor is the counting part of a real one.
type interceptor struct {
	*inflight.Tracker
	address string // as the EndpointSlice has it, which refuses loopback
}

var _ = Describe("the scaler", Ordered, func() {
	var (
		api          client.Client
		interceptors []interceptor
		keda         pb.ExternalScalerClient
		apiServer    controlplane.Gate
		stop         context.CancelFunc
		stopped      chan error
	)

	BeforeAll(func() {
		scheme := runtime.NewScheme()
		Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
		var err error
		api, err = client.New(cluster.Config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())

		processes := make(map[string]string)
		ended := make(chan struct{})
		for n := range 3 {
			i := interceptor{inflight.NewTracker(nil), fmt.Sprintf("10.250.0.%d", n+1)}
			server := httptest.NewServer(queue.NewHandler(i.Tracker, ended))
			DeferCleanup(server.Close)
			processes[i.address+":9090"] = strings.TrimPrefix(server.URL, "http://")
			interceptors = append(interceptors, i)
		}
		DeferCleanup(func() { close(ended) })

		cfg, err := config.Load(settings.Lookup(
			config.EnvTargetNamespace, namespace, config.EnvTargetService, service,
			config.EnvTargetDeployment, "interceptor", config.EnvTargetPort, "9090", telemetry.EnvPrometheusEnabled, "false",
			config.EnvShutdownDelay, "0s",
		))
		Expect(err).NotTo(HaveOccurred())
		source, err := app.NewClusterSource(apiServer.Through(cluster.Config), cfg.Target, cfg.ResyncPeriod)
		Expect(err).NotTo(HaveOccurred())
		served := listen.Loopback(GinkgoTB())
		scaler, err := app.New(cfg, app.Deps{Source: source, GRPC: served, Log: GinkgoLogr,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, processes[address])
			},
		})
		Expect(err).NotTo(HaveOccurred())
		var ctx context.Context
		ctx, stop = context.WithCancel(context.Background())
		stopped = make(chan error, 1)
		go func() { stopped <- scaler.Run(ctx) }()
		DeferCleanup(stop)

		connection, err := grpc.NewClient("passthrough:///"+served.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(connection.Close)
		keda = pb.NewExternalScalerClient(connection)
	})

	apply := func(ctx context.Context, obj client.Object) {
		GinkgoHelper()
		Expect(api.Create(ctx, obj)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(api.Delete(ctx, obj))).To(Succeed()) })
	}
	concurrency := func(ctx context.Context, ref *pb.ScaledObjectRef) func() (float64, error) {
		return func() (float64, error) {
			response, err := keda.GetMetrics(ctx, &pb.GetMetricsRequest{ScaledObjectRef: ref})
			if err != nil {
				return 0, err
			}
			value := response.GetMetricValues()[0]
			return value.GetMetricValueFloat() + float64(value.GetMetricValue()), nil
		}
	}

	It("answers for routes, and says which one is missing", func(ctx SpecContext) {
		ref := trigger("interceptorRoute", "llm")
		Eventually(func() codes.Code {
			_, err := keda.IsActive(ctx, ref)
			return status.Code(err)
		}).WithTimeout(time.Minute).Should(Equal(codes.NotFound))

		apply(ctx, route("llm", 7))
		Eventually(func() (string, error) {
			response, err := keda.GetMetricSpec(ctx, ref)
			return fmt.Sprint(response.GetMetricSpecs()), err
		}).WithTimeout(time.Minute).Should(And(ContainSubstring("http_llm_concurrency"), ContainSubstring("7")))
	}, SpecTimeout(5*time.Minute))

	It("hears the interceptors that are listed, of the target's Service only", func(ctx SpecContext) {
		ref := trigger("interceptorRoute", "web")
		apply(ctx, route("web", 1))
		for n, i := range interceptors {
			r := i.Route(namespace + "/web")
			for range n + 1 {
				DeferCleanup(r.Acquire())
			}
		}
		mine := slice("admin-1", service, interceptors[0].address)
		apply(ctx, mine)
		apply(ctx, slice("other-1", "another-service", interceptors[2].address))
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(Equal(1.0))
		mine.Endpoints = append(mine.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{interceptors[1].address}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)},
		})
		Expect(api.Update(ctx, mine)).To(Succeed())
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(Equal(3.0))
		mine.Endpoints = mine.Endpoints[1:]
		Expect(api.Update(ctx, mine)).To(Succeed())
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(Equal(2.0))
	}, SpecTimeout(5*time.Minute))

	It("knows a route that is deleted and made again", func(ctx SpecContext) {
		ref := trigger("interceptorRoute", "again")
		target := func() (float64, error) {
			response, err := keda.GetMetricSpec(ctx, ref)
			if status.Code(err) == codes.NotFound {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return response.GetMetricSpecs()[0].GetTargetSizeFloat(), nil
		}
		for n := range int64(3) {
			obj := route("again", n+1)
			Expect(api.Create(ctx, obj)).To(Succeed())
			Eventually(target).WithTimeout(time.Minute).Should(Equal(float64(n + 1)))
			Expect(api.Delete(ctx, obj)).To(Succeed())
			Eventually(target).WithTimeout(time.Minute).Should(BeZero())
		}
	}, SpecTimeout(5*time.Minute))

	It("goes on while the API server is away, and catches up", func(ctx SpecContext) {
		ref := trigger("interceptorRoute", "kept")
		obj := route("kept", 5)
		apply(ctx, obj)
		apply(ctx, slice("admin-3", service, interceptors[0].address))
		specs, err := keda.StreamMetricSpec(ctx, ref)
		Expect(err).NotTo(HaveOccurred())
		_, err = specs.Recv()
		Expect(err).NotTo(HaveOccurred())
		active, err := keda.StreamIsActive(ctx, ref)
		Expect(err).NotTo(HaveOccurred())
		kept := interceptors[0].Route(namespace + "/kept")
		release := kept.Acquire()
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(Equal(1.0))
		release()
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(BeZero())
		_, err = active.Recv()
		Expect(err).NotTo(HaveOccurred())

		apiServer.Set(true)
		Expect(unstructured.SetNestedField(obj.Object, int64(6), "spec", "scalingMetric", "concurrency", "targetValue")).To(Succeed())
		Expect(api.Update(ctx, obj)).To(Succeed())
		kept.Cold(time.Hour, nil) // answered at once
		response, err := active.Recv()
		Expect(err).NotTo(HaveOccurred())
		Expect(response.GetResult()).To(BeTrue())
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(Equal(1.0))
		spec, err := keda.GetMetricSpec(ctx, ref)
		Expect(err).NotTo(HaveOccurred())
		Expect(spec.GetMetricSpecs()[0].GetTargetSizeFloat()).To(Equal(5.0)) // what it knew

		apiServer.Set(false)
		spec, err = specs.Recv()
		Expect(err).NotTo(HaveOccurred())
		Expect(spec.GetMetricSpecs()[0].GetTargetSizeFloat()).To(Equal(6.0))
	}, SpecTimeout(5*time.Minute))

	It("tells KEDA of a cold hit and of a changed target on streams, and lets go of them when it stops", func(ctx SpecContext) {
		ref := trigger("httpScaledObject", "legacy")
		apply(ctx, slice("admin-2", service, interceptors[0].address, interceptors[1].address))
		active, err := keda.StreamIsActive(ctx, ref)
		Expect(err).NotTo(HaveOccurred())
		specs, err := keda.StreamMetricSpec(ctx, ref)
		Expect(err).NotTo(HaveOccurred())

		legacy := httpScaledObject("legacy", 5) // made after its ScaledObject
		apply(ctx, legacy)
		spec, err := specs.Recv()
		Expect(err).NotTo(HaveOccurred())
		Expect(spec.GetMetricSpecs()).To(HaveLen(1))
		Expect(spec.GetMetricSpecs()[0].GetMetricName()).To(Equal("http-default_002Flegacy"))
		Expect(spec.GetMetricSpecs()[0].GetTargetSize()).To(BeEquivalentTo(5))

		for _, i := range interceptors[:2] { // both hold a lease, and no request
			i.Route(namespace+"/legacy").Cold(time.Hour, nil)
		}
		response, err := active.Recv()
		Expect(err).NotTo(HaveOccurred())
		Expect(response.GetResult()).To(BeTrue())
		Eventually(concurrency(ctx, ref)).WithTimeout(time.Minute).Should(Equal(1.0))

		Expect(unstructured.SetNestedField(legacy.Object, int64(6), "spec", "scalingMetric", "concurrency", "targetValue")).To(Succeed())
		Expect(api.Update(ctx, legacy)).To(Succeed())
		spec, err = specs.Recv()
		Expect(err).NotTo(HaveOccurred())
		Expect(spec.GetMetricSpecs()[0].GetTargetSize()).To(BeEquivalentTo(6))

		stop()
		Eventually(func() error {
			_, err := active.Recv() // repeats, and then the end
			return err
		}).WithTimeout(time.Minute).Should(MatchError(io.EOF))
		_, err = specs.Recv()
		Expect(err).To(MatchError(io.EOF))
		Eventually(stopped).WithTimeout(time.Minute).Should(Receive(BeNil()))
	}, SpecTimeout(5*time.Minute))
})

func trigger(key, value string) *pb.ScaledObjectRef {
	return &pb.ScaledObjectRef{Name: "so", Namespace: namespace, ScalerMetadata: map[string]string{key: value}}
}

func slice(name, of string, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: of}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("admin"), Port: new(int32(9090)), Protocol: new(corev1.ProtocolTCP)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

func route(name string, target int64) *unstructured.Unstructured {
	return object("http.keda.sh/v1beta1", "InterceptorRoute", name, map[string]any{
		"target":        map[string]any{"service": "web", "port": int64(80)},
		"scalingMetric": map[string]any{"concurrency": map[string]any{"targetValue": target}},
	})
}

func httpScaledObject(name string, target int64) *unstructured.Unstructured {
	return object("http.keda.sh/v1alpha1", "HTTPScaledObject", name, map[string]any{
		"hosts":          []any{name + ".example.com"},
		"scaleTargetRef": map[string]any{"name": "web", "kind": "Deployment", "apiVersion": "apps/v1", "service": "web", "port": int64(80)},
		"scalingMetric":  map[string]any{"concurrency": map[string]any{"targetValue": target}},
	})
}

func object(version, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": version, "kind": kind, "metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec,
	}}
}
