package app

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler"
)

// Source tells of routes and of the interceptors' EndpointSlices.
type Source interface {
	// Run tells the sink of everything, and then of what changes, until ctx ends.
	Run(ctx context.Context, sink Sink) error
}

// Sink is told. Its methods do not block and are safe for concurrent use.
type Sink interface {
	SetRoute(u *unstructured.Unstructured)
	DeleteRoute(u *unstructured.Unstructured)
	SetSlice(slice *discoveryv1.EndpointSlice)
	DeleteSlice(slice *discoveryv1.EndpointSlice)
	// Synced says, once, that everything that existed at the start was told of.
	Synced()
}

// ClusterSource reads a cluster by informers. Routes are read unstructured: a
// typed list fails whole on one object that does not decode.
type ClusterSource struct{ cache cache.Cache }

// NewClusterSource returns a source that reads the cluster behind config, the
// EndpointSlices being those of the target. It does not ask the API server for
// anything: one that is away at the start is waited for.
func NewClusterSource(cluster *rest.Config, target config.Target, resync time.Duration) (*ClusterSource, error) {
	client, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, fmt.Errorf("making the cluster client: %w", err)
	}
	c, err := cache.New(cluster, cache.Options{
		HTTPClient: client,
		Scheme:     clientgoscheme.Scheme,
		Mapper:     mapper(),
		SyncPeriod: &resync,
		ByObject: objects(map[kind]cache.ByObject{
			kindSlice: {
				Namespaces: map[string]cache.Config{target.Namespace: {}},
				Label:      labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: target.Service}),
				Transform:  trimSlice,
			},
			kindRoute:       {Transform: trimRoute},
			kindLegacyRoute: {Transform: trimRoute},
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("making the cluster cache: %w", err)
	}
	return &ClusterSource{cache: c}, nil
}

// kind is one that is watched.
type kind int

const (
	kindSlice kind = iota
	kindRoute
	kindLegacyRoute
)

// object returns an empty object of a kind.
func (k kind) object() client.Object {
	u := &unstructured.Unstructured{}
	switch k {
	case kindRoute:
		u.SetGroupVersionKind(v1beta1.GroupVersion.WithKind(api.KindInterceptorRoute))
	case kindLegacyRoute:
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(api.KindHTTPScaledObject))
	default:
		return &discoveryv1.EndpointSlice{}
	}
	return u
}

func objects(by map[kind]cache.ByObject) map[client.Object]cache.ByObject {
	all := make(map[client.Object]cache.ByObject)
	for k, options := range by {
		all[k.object()] = options
	}
	return all
}

// mapper knows the kinds that are watched, so that nobody has to be asked.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{
		v1beta1.GroupVersion.WithKind(api.KindInterceptorRoute),
		v1alpha1.GroupVersion.WithKind(api.KindHTTPScaledObject),
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"),
	} {
		m.Add(kind, meta.RESTScopeNamespace)
	}
	return m
}

// trimRoute drops what nobody here reads before it is kept.
func trimRoute(obj any) (any, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		externalscaler.Trim(u)
	}
	return obj, nil
}

func trimSlice(obj any) (any, error) {
	if slice, ok := obj.(*discoveryv1.EndpointSlice); ok {
		slice.SetManagedFields(nil)
		slice.SetAnnotations(nil)
	}
	return obj, nil
}

// Run implements Source.
func (s *ClusterSource) Run(ctx context.Context, sink Sink) error {
	watched := map[kind]toolscache.ResourceEventHandler{
		kindSlice:       handlerOf(sink.SetSlice, sink.DeleteSlice),
		kindRoute:       handlerOf(sink.SetRoute, sink.DeleteRoute),
		kindLegacyRoute: handlerOf(sink.SetRoute, sink.DeleteRoute),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.cache.Start(ctx) })
	group.Go(func() error {
		var synced []toolscache.InformerSynced
		for k, handler := range watched {
			informer, err := s.cache.GetInformer(ctx, k.object(), cache.BlockUntilSynced(false))
			if err != nil {
				return fmt.Errorf("watching %T: %w", k.object(), err)
			}
			registration, err := informer.AddEventHandler(handler)
			if err != nil {
				return fmt.Errorf("watching %T: %w", k.object(), err)
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
		AddFunc:    func(obj any) { call(set, obj) },
		UpdateFunc: func(_, obj any) { call(set, obj) },
		DeleteFunc: func(obj any) { call(del, obj) },
	}
}
