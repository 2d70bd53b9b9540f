package interceptor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/objects"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

// podAddress stands for every pod: an EndpointSlice refuses loopback addresses,
// so the interceptor's dialler takes it to the test's backend.
const podAddress = "10.250.0.1"

// otherAddress is one of the other family of a pod. Nobody listens there.
const otherAddress = "fd00::1"

var _ = Describe("the interceptor", Ordered, func() {
	var (
		api     client.Client
		proxy   string
		admin   string
		backend *httptest.Server
		dialed  sync.Map // addresses
	)

	BeforeAll(func() {
		scheme := runtime.NewScheme()
		Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
		Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		Expect(v1beta1.AddToScheme(scheme)).To(Succeed())
		var err error
		api, err = client.New(cluster.Config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())

		backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "backend of %s", r.Host)
		}))
		DeferCleanup(backend.Close)

		cfg, err := config.Load(settings.Lookup(
			"KEDA_HTTP_PROXY_PORT", "0", "KEDA_HTTP_ADMIN_PORT", "0", "OTEL_PROM_EXPORTER_ENABLED", "false",
			"KEDA_HTTP_SHUTDOWN_DELAY", "0s", "KEDA_HTTP_DRAIN_TIMEOUT", "1s",
		))
		Expect(err).NotTo(HaveOccurred())
		store := endpoints.NewStore()
		source, err := routesync.NewClusterSource(cluster.Config, routesync.ClusterOptions{Resync: time.Hour, Store: store})
		Expect(err).NotTo(HaveOccurred())
		proxyListener, adminListener := listen.Loopback(GinkgoTB()), listen.Loopback(GinkgoTB())
		proxy, admin = "http://"+proxyListener.Addr().String(), "http://"+adminListener.Addr().String()
		a, err := app.New(cfg, app.Deps{
			Source: source, Store: store, Proxy: proxyListener, Admin: adminListener, Log: GinkgoLogr,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed.Store(address, true)
				if strings.HasPrefix(address, podAddress+":") {
					address = backend.Listener.Addr().String()
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
		})
		Expect(err).NotTo(HaveOccurred())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		DeferCleanup(func() {
			cancel()
			Eventually(done, time.Minute).Should(Receive(BeNil()))
		})
		Eventually(func() (int, error) {
			response, err := http.Get(admin + "/readyz")
			if err != nil {
				return 0, err
			}
			defer response.Body.Close()
			return response.StatusCode, nil
		}, 30*time.Second, 20*time.Millisecond).Should(Equal(http.StatusOK))
	})

	// get sends a request and reads its whole answer.
	get := func(ctx context.Context, host string, header ...string) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, proxy+"/", nil)
		if err != nil {
			return 0, "", err
		}
		r.Host = host
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	status := func(ctx context.Context, host string, header ...string) func() (int, error) {
		return func() (int, error) {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			code, _, err := get(short, host, header...)
			return code, err
		}
	}
	create := func(ctx context.Context, list ...client.Object) {
		GinkgoHelper()
		for _, obj := range list {
			Expect(api.Create(ctx, obj)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				Expect(client.IgnoreNotFound(api.Delete(ctx, obj))).To(Succeed())
			})
		}
	}
	port := corev1.ServicePort{Name: "http", Port: 80}

	It("holds a request until the EndpointSlice says ready", func(ctx SpecContext) {
		slice := objects.EndpointSlice("default", "flip", "http", 8080, false, podAddress)
		create(ctx, objects.Service("default", "flip", port), slice, objects.InterceptorRoute("default", "flip", "flip.test"))
		queue := func() (string, error) { return read(admin + "/queue") }
		Eventually(queue, time.Minute).Should(ContainSubstring("default/flip"), "the route is live")

		type answer struct {
			code int
			body string
			err  error
		}
		answers := make(chan answer, 1)
		go func() {
			code, body, err := get(ctx, "flip.test")
			answers <- answer{code, body, err}
		}()
		Eventually(queue, time.Minute).Should(ContainSubstring(`"default/flip":{"Concurrency":1`))
		Consistently(answers, 100*time.Millisecond).ShouldNot(Receive())

		ready := true
		slice.Endpoints[0].Conditions.Ready = &ready
		Expect(api.Update(ctx, slice)).To(Succeed())
		Eventually(answers, time.Minute).Should(Receive(Equal(answer{http.StatusOK, "backend of flip.test", nil})))

		ready = false
		slice.Endpoints[0].Conditions.Ready = &ready
		Expect(api.Update(ctx, slice)).To(Succeed())
		Eventually(func() error {
			short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			_, _, err := get(short, "flip.test")
			return err
		}, time.Minute).Should(HaveOccurred(), "a target that sleeps again holds again")
	}, NodeTimeout(5*time.Minute))

	It("takes the two addresses of a pod for one endpoint", func(ctx SpecContext) {
		pod := &corev1.ObjectReference{Kind: "Pod", Name: "dual", UID: "dual"}
		four := objects.EndpointSlice("default", "dual", "http", 8083, true, podAddress)
		six := objects.EndpointSlice("default", "dual", "http", 8083, true, otherAddress)
		six.Name, six.AddressType = "dual-six", discoveryv1.AddressTypeIPv6
		four.Endpoints[0].TargetRef, six.Endpoints[0].TargetRef = pod, pod
		create(ctx, objects.Service("default", "dual", port), six, four, objects.InterceptorRoute("default", "dual", "dual.test"))
		Eventually(status(ctx, "dual.test"), time.Minute).Should(Equal(http.StatusOK))
		dialed.Clear()
		http.DefaultClient.CloseIdleConnections()
		for range 4 { // equals take turns
			Expect(status(ctx, "dual.test")()).To(Equal(http.StatusOK))
		}
		_, other := dialed.Load("[" + otherAddress + "]:8083")
		Expect(other).To(BeFalse())
	}, NodeTimeout(5*time.Minute))

	It("gives a browser the page of an HTTPScaledObject without a port", func(ctx SpecContext) {
		message := "Waking <up>"
		create(ctx, objects.Service("default", "page", port), objects.HTTPScaledObject("default", "page", "page.test", func(o *v1alpha1.HTTPScaledObject) {
			o.Spec.ColdStartMessage = &message
		}))
		Eventually(status(ctx, "page.test", "Accept", "text/html"), time.Minute).Should(Equal(http.StatusServiceUnavailable))
		_, body, err := get(ctx, "page.test", "Accept", "text/html")
		Expect(err).NotTo(HaveOccurred())
		Expect(body).To(ContainSubstring("Waking &lt;up&gt;"))
	}, NodeTimeout(5*time.Minute))

	It("moves a name from HTTPScaledObject to InterceptorRoute and back", func(ctx SpecContext) {
		create(ctx, objects.Service("default", "move", port), objects.EndpointSlice("default", "move", "http", 8080, true, podAddress),
			objects.HTTPScaledObject("default", "move", "move.test"))
		Eventually(status(ctx, "move.test"), time.Minute).Should(Equal(http.StatusOK))
		route := objects.InterceptorRoute("default", "move", "moved.test")
		create(ctx, route)
		Eventually(status(ctx, "moved.test"), time.Minute).Should(Equal(http.StatusOK))
		Eventually(status(ctx, "move.test"), time.Minute).Should(Equal(http.StatusNotFound))
		Expect(api.Delete(ctx, route)).To(Succeed())
		Eventually(status(ctx, "move.test"), time.Minute).Should(Equal(http.StatusOK))
	}, NodeTimeout(5*time.Minute))

	It("serves every other route while a stored object does not decode", func(ctx SpecContext) {
		bad := objects.InterceptorRoute("default", "bad", "bad.test")
		u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(bad)
		Expect(err).NotTo(HaveOccurred())
		// 0.16's schema takes a duration without a unit; a typed list fails whole on it.
		u["spec"].(map[string]any)["timeouts"] = map[string]any{"readiness": "30"}
		create(ctx, unstructuredOf(u))
		create(ctx, objects.Service("default", "good", port), objects.EndpointSlice("default", "good", "http", 8080, true, podAddress),
			objects.InterceptorRoute("default", "good", "good.test"))
		Eventually(status(ctx, "good.test"), time.Minute).Should(Equal(http.StatusOK))
		Expect(status(ctx, "bad.test")()).To(Equal(http.StatusNotFound))
	}, NodeTimeout(5*time.Minute))
})
