package app

import (
	"context"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler"
)

// Source reports routes and the EndpointSlices of the interceptors.
type Source interface {
	// Run reports to the sink what exists, then each change, until ctx ends.
	Run(ctx context.Context, sink Sink) error
}

// Sink receives what a Source reports. Its methods do not block and are safe for concurrent use.
type Sink interface {
	SetRoute(u *unstructured.Unstructured)
	DeleteRoute(u *unstructured.Unstructured)
	SetSlice(slice *discoveryv1.EndpointSlice)
	DeleteSlice(slice *discoveryv1.EndpointSlice)
	// Synced is called once, after the initial list has been delivered.
	Synced()
}

// ClusterSource reads a cluster.
type ClusterSource struct {
	objects *kubesource.Source
	target  config.Target
}

// NewClusterSource returns a source that reads the cluster of a rest.Config. It reports the
// EndpointSlices of the target.
func NewClusterSource(cluster *rest.Config, target config.Target, resync time.Duration) (*ClusterSource, error) {
	objects, err := kubesource.New(cluster, kubesource.Options{Resync: resync})
	if err != nil {
		return nil, err
	}
	return &ClusterSource{objects: objects, target: target}, nil
}

// Run implements Source.
func (s *ClusterSource) Run(ctx context.Context, sink Sink) error {
	slices := kubesource.For(&discoveryv1.EndpointSlice{}, kubesource.Handler[*discoveryv1.EndpointSlice]{
		Set: sink.SetSlice, Delete: sink.DeleteSlice,
		Namespace: s.target.Namespace,
		Labels:    labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: s.target.Service}),
	})
	routes := kubesource.Routes(kubesource.Handler[*unstructured.Unstructured]{
		Set: sink.SetRoute, Delete: sink.DeleteRoute, Trim: externalscaler.Trim,
	})
	return s.objects.Run(ctx, sink.Synced, append(routes, slices)...)
}
