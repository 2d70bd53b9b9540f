package routesync

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// ClusterOptions configures a ClusterSource.
type ClusterOptions struct {
	// Namespace to watch; empty is all.
	Namespace string
	// Resync is how often informers replay what they know.
	Resync time.Duration
	// Store that EndpointSlices are told to.
	Store *endpoints.Store
}

// ClusterSource reads a cluster by informers. Routes are read unstructured: a
// typed list fails whole on one object that does not decode.
type ClusterSource struct {
	cache  cache.Cache
	slices *endpoints.Slices
}

// NewClusterSource returns a source that reads the cluster behind config.
func NewClusterSource(config *rest.Config, o ClusterOptions) (*ClusterSource, error) {
	options := cache.Options{
		Scheme:           clientgoscheme.Scheme,
		SyncPeriod:       &o.Resync,
		DefaultTransform: trim,
		ByObject: map[client.Object]cache.ByObject{
			// Only these may be shown to clients, and only these are kept in memory.
			&corev1.ConfigMap{}: {Label: labels.SelectorFromSet(labels.Set{api.LabelResponseBody: api.True})},
		},
	}
	if o.Namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{o.Namespace: {}}
	}
	c, err := cache.New(config, options)
	if err != nil {
		return nil, fmt.Errorf("making the cluster cache: %w", err)
	}
	return &ClusterSource{cache: c, slices: endpoints.NewSlices(o.Store)}, nil
}

// trim drops what nobody here reads before it is kept.
func trim(obj any) (any, error) {
	o, ok := obj.(client.Object)
	if !ok {
		return obj, nil
	}
	o.SetManagedFields(nil)
	if slice, ok := o.(*discoveryv1.EndpointSlice); ok {
		for i := range slice.Endpoints {
			endpoint := &slice.Endpoints[i]
			endpoint.TargetRef, endpoint.Hints, endpoint.DeprecatedTopology = nil, nil, nil
		}
		return slice, nil
	}
	o.SetAnnotations(nil)
	return o, nil
}

// Run implements Source.
func (s *ClusterSource) Run(ctx context.Context, sink Sink) error {
	watched := []struct {
		obj     client.Object
		handler toolscache.ResourceEventHandler
	}{
		// What routes are resolved with comes first.
		{&corev1.Service{}, handlerOf(sink.Set, sink.Delete)},
		{&corev1.ConfigMap{}, handlerOf(sink.Set, sink.Delete)},
		{&discoveryv1.EndpointSlice{}, handlerOf(s.slices.Set, s.slices.Delete)},
		{routeObject(v1beta1.GroupVersion.String(), api.KindInterceptorRoute), handlerOf(sink.Set, sink.Delete)},
		{routeObject(v1alpha1.GroupVersion.String(), api.KindHTTPScaledObject), handlerOf(sink.Set, sink.Delete)},
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.cache.Start(ctx) })
	group.Go(func() error {
		var synced []toolscache.InformerSynced
		for _, w := range watched {
			informer, err := s.cache.GetInformer(ctx, w.obj, cache.BlockUntilSynced(false))
			if err != nil {
				return fmt.Errorf("watching %T: %w", w.obj, err)
			}
			registration, err := informer.AddEventHandler(w.handler)
			if err != nil {
				return fmt.Errorf("watching %T: %w", w.obj, err)
			}
			synced = append(synced, registration.HasSynced)
		}
		if toolscache.WaitForCacheSync(ctx.Done(), synced...) {
			sink.Synced()
		}
		return nil
	})
	return group.Wait()
}

// changed says whether an update is of any interest. A resync is none, and for
// routes neither is a new status: their generation tells.
func changed(old, now any) bool {
	before, after := old.(client.Object), now.(client.Object)
	if _, isRoute := now.(*unstructured.Unstructured); isRoute {
		return before.GetUID() != after.GetUID() || before.GetGeneration() != after.GetGeneration()
	}
	return before.GetResourceVersion() != after.GetResourceVersion()
}

func routeObject(version, kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(version)
	u.SetKind(kind)
	return u
}

// handlerOf calls set and del with the objects of an informer.
func handlerOf[T any](set, del func(T)) toolscache.ResourceEventHandler {
	call := func(f func(T), obj any) {
		// A deletion that was missed leaves only its last known state.
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if o, ok := obj.(T); ok {
			f(o)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { call(set, obj) },
		UpdateFunc: func(old, obj any) {
			if changed(old, obj) {
				call(set, obj)
			}
		},
		DeleteFunc: func(obj any) { call(del, obj) },
	}
}
