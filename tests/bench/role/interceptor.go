package role

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/tests/bench/harness"
)

// H2CService is the Service of an Interceptor whose endpoints speak HTTP/2.
const H2CService = "h2c"

// InterceptorOptions configures what an Interceptor serves.
type InterceptorOptions struct {
	// Services by name. Each has a route for the host of its name and stays
	// asleep until Ready. Routes is a group of further ones for the first.
	Services []string
	// Routes are more routes, all of which lead to the first service, for the
	// hosts of RouteHost.
	Routes int
	// ColdStart of the first service's route; nil means that requests are held.
	ColdStart map[string]any
	// Groups are further routes, each group with a separate cold start.
	Groups []RouteGroup
	// Certificate and Key are files that turn the TLS listener on.
	Certificate, Key string
	// Metrics turns the Prometheus endpoint on, as in a cluster.
	Metrics bool
	// Profiles turns the profiling port on, which counts allocations.
	Profiles bool
}

// RouteGroup is a number of routes that behave alike.
type RouteGroup struct {
	Name, Service string
	ColdStart     map[string]any
	Routes        int
}

// RouteName is the name and the host of a route of a group.
func RouteName(group string, n int) string { return fmt.Sprintf("%s-%03d", group, n) }

// RouteHost is the host of one of the further routes, in its generation.
func RouteHost(n, generation int) string { return fmt.Sprintf("route-%d.g%d.test", n, generation) }

// Route returns an InterceptorRoute.
func Route(name, service, host string, coldStart map[string]any) *unstructured.Unstructured {
	spec := map[string]any{
		"target":        map[string]any{"service": service, "port": int64(80)},
		"rules":         []any{map[string]any{"hosts": []any{host}}},
		"scalingMetric": map[string]any{"concurrency": map[string]any{"targetValue": int64(1)}},
	}
	if coldStart != nil {
		spec["coldStart"] = whole(coldStart)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "http.keda.sh/v1beta1", "kind": api.KindInterceptorRoute,
		"metadata": map[string]any{"namespace": "default", "name": name}, "spec": spec,
	}}
}

// whole turns numbers that came as JSON into integers, as an object from a
// cluster has them.
func whole(value any) any {
	switch v := value.(type) {
	case map[string]any:
		converted := make(map[string]any, len(v))
		for key, member := range v {
			converted[key] = whole(member)
		}
		return converted
	case float64:
		return int64(v)
	}
	return value
}

// Objects returns a Source with what the options say.
func Objects(o InterceptorOptions) routesync.Source { return newObjects(o) }

func newObjects(o InterceptorOptions) *objects {
	return &objects{InterceptorOptions: o, changes: make(chan change, 1<<10)}
}

// objects is the Source of an Interceptor.
type objects struct {
	InterceptorOptions
	changes chan change // further routes to be changed
}

// change moves routes from, from+1, … to the hosts of a generation.
type change struct{ from, routes, generation int }

// Run implements routesync.Source.
func (o *objects) Run(ctx context.Context, sink routesync.Sink) error {
	for i, name := range o.Services {
		port := corev1.ServicePort{Name: "http", Port: 80}
		if name == H2CService {
			protocol := "kubernetes.io/h2c"
			port.AppProtocol = &protocol
		}
		sink.Set(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{port}},
		})
		var coldStart map[string]any
		if i == 0 {
			coldStart = o.ColdStart
		}
		sink.Set(Route(name, name, name, coldStart))
	}
	for _, group := range o.Groups {
		for n := range group.Routes {
			name := RouteName(group.Name, n)
			sink.Set(Route(name, group.Service, name, group.ColdStart))
		}
	}
	o.set(sink, change{routes: o.Routes})
	sink.Synced()
	for {
		select {
		case c := <-o.changes:
			o.set(sink, c)
		case <-ctx.Done():
			return nil
		}
	}
}

func (o *objects) set(sink routesync.Sink, c change) {
	for n := range c.routes {
		n += c.from
		sink.Set(Route(fmt.Sprintf("route-%d", n), o.Services[0], RouteHost(n, c.generation), nil))
	}
}

// interceptor is the whole interceptor, except for its cluster. Its control port
// sets endpoints (/ready), changes routes (/change) and reports what waits (/held).
func (s *stage) interceptor() (func(context.Context) error, error) {
	var o InterceptorOptions
	if err := options(&o); err != nil {
		return nil, err
	}
	source := newObjects(o)
	env := map[string]string{
		config.EnvProxyPort: "0", config.EnvAdminPort: "0", config.EnvShutdownDelay: "0s", config.EnvDrainTimeout: "1s",
		config.EnvMaxIdleConns: "20000", config.EnvMaxIdleConnsPerHost: "20000",
		route.EnvMaxMatchesPerNamespace: "0", // all routes are in one
		telemetry.EnvPrometheusEnabled:  strconv.FormatBool(source.Metrics), telemetry.EnvPrometheusPort: "0",
	}
	deps := app.Deps{Source: source, Store: endpoints.NewStore(), Tracker: inflight.NewTracker(nil), Log: logr.Discard()}
	var err error
	if deps.Proxy, err = s.listen("proxy"); err != nil {
		return nil, err
	}
	if deps.Admin, err = s.listen("admin"); err != nil {
		return nil, err
	}
	if source.Metrics {
		if deps.Metrics, err = s.listen("metrics"); err != nil {
			return nil, err
		}
	}
	if source.Certificate != "" {
		env[config.EnvProxyTLSEnabled], env[config.EnvProxyTLSPort] = "true", "0"
		env[config.EnvProxyTLSCertPath], env[config.EnvProxyTLSKeyPath] = source.Certificate, source.Key
		env[config.EnvTLSSkipVerify] = "true"
		if deps.ProxyTLS, err = s.listen("tls"); err != nil {
			return nil, err
		}
	}
	if source.Profiles {
		if s.addresses["profiles"], err = harness.FreePort(); err != nil {
			return nil, err
		}
		env[config.EnvProfilingAddress] = s.addresses["profiles"]
	}
	cfg, err := config.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return nil, err
	}
	a, err := app.New(cfg, deps)
	if err != nil {
		return nil, err
	}
	s.control.HandleFunc("/ready", func(_ http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		deps.Store.Update("default", q.Get("service"), map[string][]string{"http": q["address"]})
	})
	s.control.HandleFunc("/change", func(_ http.ResponseWriter, r *http.Request) {
		var c change
		for name, into := range map[string]*int{"from": &c.from, "routes": &c.routes, "generation": &c.generation} {
			*into, _ = strconv.Atoi(r.URL.Query().Get(name)) // 0 if it is not given
		}
		source.changes <- c
	})
	s.number("/started", func() int64 { return started(a) })
	s.number("/held", func() int64 { return deps.Tracker.Route("default/" + source.Services[0]).Held() })
	return a.Run, nil
}

// started is 1 once the interceptor reports that it is ready.
func started(a *app.App) int64 {
	client := http.Client{Timeout: time.Minute}
	response, err := client.Get("http://" + a.AdminAddr().String() + "/readyz")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0
	}
	return 1
}
