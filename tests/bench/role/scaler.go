package role

import (
	"context"
	"fmt"
	"net"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/pkg/telemetry"
	scalerapp "github.com/kedacore/http-add-on/scaler/app"
	scalerconfig "github.com/kedacore/http-add-on/scaler/config"
)

// ScalerOptions configures what a Scaler knows.
type ScalerOptions struct {
	// Interceptors are the addresses of their admin ports.
	Interceptors []string
	// Groups and Routes as in InterceptorOptions.
	Groups []RouteGroup
	Routes int
}

// Run implements scalerapp.Source: the interceptors as pods behind a Service, and
// all routes.
func (o ScalerOptions) Run(ctx context.Context, sink scalerapp.Sink) error {
	const most = 100 // endpoints of a slice, as Kubernetes makes them
	for first := 0; first < len(o.Interceptors); first += most {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "keda", Name: fmt.Sprintf("admin-%d", first), Labels: map[string]string{discoveryv1.LabelServiceName: "admin"},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
		}
		for n := first; n < min(first+most, len(o.Interceptors)); n++ {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{podAddress(n)},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: fmt.Sprintf("interceptor-%d", n)},
			})
		}
		sink.SetSlice(slice)
	}
	for _, group := range o.Groups {
		for n := range group.Routes {
			name := RouteName(group.Name, n)
			sink.SetRoute(Route(name, group.Service, name, nil))
		}
	}
	for n := range o.Routes {
		sink.SetRoute(Route(fleetRoute(n), "app", fleetRoute(n), nil))
	}
	sink.Synced()
	<-ctx.Done()
	return nil
}

func podAddress(n int) string { return fmt.Sprintf("10.250.%d.%d", n/250, n%250+1) }

// scaler is a whole scaler, except for its cluster.
func (s *stage) scaler() (func(context.Context) error, error) {
	var o ScalerOptions
	if err := options(&o); err != nil {
		return nil, err
	}
	pods := make(map[string]string)
	for n, address := range o.Interceptors {
		pods[net.JoinHostPort(podAddress(n), "9090")] = address
	}
	env := map[string]string{
		scalerconfig.EnvTargetNamespace: "keda", scalerconfig.EnvTargetService: "admin", scalerconfig.EnvTargetDeployment: "interceptor",
		scalerconfig.EnvTargetPort: "9090", telemetry.EnvPrometheusEnabled: "false",
	}
	cfg, err := scalerconfig.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return nil, err
	}
	l, err := s.listen("proxy")
	if err != nil {
		return nil, err
	}
	a, err := scalerapp.New(cfg, scalerapp.Deps{
		Source: o, GRPC: l, Log: logr.Discard(),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, pods[address])
		},
	})
	if err != nil {
		return nil, err
	}
	s.number("/started", func() int64 { return 1 })
	return a.Run, nil
}
