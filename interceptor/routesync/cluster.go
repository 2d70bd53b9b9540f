package routesync

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/rest"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/route"
)

// ClusterOptions configures a ClusterSource.
type ClusterOptions struct {
	// Namespace to watch; empty is all.
	Namespace string
	// ConfigMaps are those to watch.
	ConfigMaps route.ConfigMaps
	// Resync is how often informers replay what they know.
	Resync time.Duration
	// Store that takes the ready endpoints of EndpointSlices.
	Store *endpoints.Store
}

// ClusterSource reads a cluster.
type ClusterSource struct {
	objects    *kubesource.Source
	slices     *endpoints.Slices
	configMaps []string // the namespaces to watch them in
}

// NewClusterSource returns a source that reads the cluster behind a rest.Config.
func NewClusterSource(cluster *rest.Config, o ClusterOptions) (*ClusterSource, error) {
	objects, err := kubesource.New(cluster, kubesource.Options{Namespace: o.Namespace, Resync: o.Resync})
	if err != nil {
		return nil, err
	}
	return &ClusterSource{objects: objects, slices: endpoints.NewSlices(o.Store), configMaps: o.ConfigMaps.Watched(o.Namespace)}, nil
}

// Run implements Source. It starts with the objects that routes refer to.
func (s *ClusterSource) Run(ctx context.Context, sink Sink) error {
	objects := kubesource.Handler[kubesource.Object]{Set: sink.Set, Delete: sink.Delete}
	services := kubesource.Handler[*corev1.Service]{
		Set:    func(service *corev1.Service) { s.slices.SetService(service); sink.Set(service) },
		Delete: func(service *corev1.Service) { s.slices.DeleteService(service); sink.Delete(service) },
	}
	slices := kubesource.Handler[*discoveryv1.EndpointSlice]{Set: s.slices.Set, Delete: s.slices.Delete, Trim: trimSlice}
	watches := []kubesource.Watch{
		kubesource.For(&corev1.Service{}, services),
		kubesource.For(&discoveryv1.EndpointSlice{}, slices),
	}
	for _, namespace := range s.configMaps {
		bodies := objects
		bodies.Labels, bodies.Namespace = route.ResponseBodies(), namespace
		watches = append(watches, kubesource.For[kubesource.Object](&corev1.ConfigMap{}, bodies))
	}
	routes := objects
	routes.Wake = sink.Wake
	return s.objects.Run(ctx, sink.Synced, append(watches, kubesource.Routes(routes)...)...)
}

// trimSlice drops what makes the slices of a large cluster heavy and routes do not
// need.
func trimSlice(slice *discoveryv1.EndpointSlice) {
	for i := range slice.Endpoints {
		endpoint := &slice.Endpoints[i]
		endpoint.Hints, endpoint.DeprecatedTopology = nil, nil
		endpoint.NodeName, endpoint.Zone, endpoint.Hostname = nil, nil, nil
		if endpoint.TargetRef != nil {
			endpoint.TargetRef = &corev1.ObjectReference{UID: endpoint.TargetRef.UID}
		}
	}
}
