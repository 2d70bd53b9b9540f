package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	scalerapp "github.com/kedacore/http-add-on/scaler/app"
	scalerconfig "github.com/kedacore/http-add-on/scaler/config"
)

// The roles of the processes between a client and KEDA. The scaler is told by
// interceptorsVariable where the admin ports are.
const (
	roleWaking           = "waking"
	roleScaler           = "scaler"
	interceptorsVariable = "HTTP_ADD_ON_BENCH_INTERCEPTORS"
)

// Each request has a route of its own, so that each finds it as the first one does.
const (
	requestsOfAKind = 100
	warmRoutes      = 10
)

// The routes: what they do while they are cold, and how many there are. Warm ones
// have a Service that the test makes ready.
var routeGroups = []struct {
	name, service string
	coldStart     map[string]any
	routes        int
}{
	{"hold", "cold", nil, 3 * requestsOfAKind},
	{"placeholder", "cold", map[string]any{"placeholder": map[string]any{"response": map[string]any{"statusCode": int64(503), "body": "soon"}}}, requestsOfAKind},
	{"page", "cold", map[string]any{"waitingPage": map[string]any{}}, requestsOfAKind},
	{"warm", "warm", nil, warmRoutes},
}

// routeName is also its host.
func routeName(group string, n int) string { return fmt.Sprintf("%s-%03d", group, n) }

// routesOf calls f with every route.
func routesOf(f func(name string, route *unstructured.Unstructured)) {
	for _, group := range routeGroups {
		for n := range group.routes {
			name := routeName(group.name, n)
			spec := map[string]any{
				"target":        map[string]any{"service": group.service, "port": int64(80)},
				"rules":         []any{map[string]any{"hosts": []any{name}}},
				"scalingMetric": map[string]any{"concurrency": map[string]any{"targetValue": int64(1)}},
			}
			if group.coldStart != nil {
				spec["coldStart"] = group.coldStart
			}
			f(name, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "http.keda.sh/v1beta1", "kind": "InterceptorRoute",
				"metadata": map[string]any{"namespace": "default", "name": name}, "spec": spec,
			}})
		}
	}
}

// wakingRoutes is an interceptor's Source.
type wakingRoutes struct{}

func (wakingRoutes) Run(ctx context.Context, sink routesync.Sink) error {
	for _, name := range []string{"cold", "warm"} {
		sink.Set(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		})
	}
	routesOf(func(_ string, route *unstructured.Unstructured) { sink.Set(route) })
	sink.Synced()
	<-ctx.Done()
	return nil
}

// wakingStore knows a ready endpoint of the warm routes, once it is told.
func wakingStore(mux *http.ServeMux) *endpoints.Store {
	store := endpoints.NewStore()
	mux.HandleFunc("/warm", func(_ http.ResponseWriter, r *http.Request) {
		store.Update("default", "warm", map[string][]string{"http": r.URL.Query()["address"]})
	})
	return store
}

// scalerSource tells a scaler of the interceptors, as pods behind a Service, and
// of all routes.
type scalerSource struct{ pods []string }

func (s scalerSource) Run(ctx context.Context, sink scalerapp.Sink) error {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "keda", Name: "admin-1"}, AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, pod := range s.pods {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod}})
	}
	sink.SetSlice(slice)
	routesOf(func(_ string, route *unstructured.Unstructured) { sink.SetRoute(route) })
	sink.Synced()
	<-ctx.Done()
	return nil
}

// serveScaler is a whole scaler but for its cluster.
func serveScaler(ctx context.Context, l net.Listener, mux *http.ServeMux) error {
	source, processes := scalerSource{}, make(map[string]string)
	for n, address := range strings.Split(os.Getenv(interceptorsVariable), ",") {
		pod := fmt.Sprintf("10.250.0.%d", n+1)
		source.pods = append(source.pods, pod)
		processes[net.JoinHostPort(pod, "9090")] = address
	}
	env := map[string]string{
		scalerconfig.EnvTargetNamespace: "keda", scalerconfig.EnvTargetService: "admin", scalerconfig.EnvTargetDeployment: "interceptor",
		scalerconfig.EnvTargetPort: "9090", "OTEL_PROM_EXPORTER_ENABLED": "false",
	}
	cfg, err := scalerconfig.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return err
	}
	a, err := scalerapp.New(cfg, scalerapp.Deps{
		Source: source, GRPC: l, Log: logr.Discard(),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, processes[address])
		},
	})
	if err != nil {
		return err
	}
	mux.HandleFunc("/started", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, 1) })
	return a.Run(ctx)
}

// warmQuery tells a waking interceptor of an endpoint.
func warmQuery(address string) string { return "/warm?address=" + url.QueryEscape(address) }
