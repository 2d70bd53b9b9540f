// Package kubesource reads a cluster by informers: it calls typed functions with
// the objects that exist, and then with those that change. It must not know what
// the objects are used for.
//
// It uses client-go's informers and two small clients. Controller-runtime's cache
// would bring the types of every API group of Kubernetes into the process: a
// third of its idle memory (ADR 11).
package kubesource

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Options configures a Source.
type Options struct {
	// Namespace to watch; empty is all.
	Namespace string
	// Resync is how often informers replay what they know.
	Resync time.Duration
}

// Source reads a cluster.
type Source struct {
	cluster *rest.Config
	client  *http.Client
	dynamic dynamic.Interface
	scheme  *runtime.Scheme
	options Options
}

// New returns a Source of the cluster behind a rest.Config. It does not connect.
func New(cluster *rest.Config, o Options) (*Source, error) {
	cluster = rest.CopyConfig(cluster)
	if cluster.UserAgent == "" {
		cluster.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	client, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, fmt.Errorf("creating the cluster client: %w", err)
	}
	routes, err := dynamic.NewForConfigAndClient(cluster, client)
	if err != nil {
		return nil, fmt.Errorf("creating the cluster client for routes: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering the types of the cluster: %w", err)
		}
	}
	return &Source{cluster: cluster, client: client, dynamic: routes, scheme: scheme, options: o}, nil
}

// Run follows the watches until ctx ends, and returns nil then. It starts them in
// the given order, and calls synced once, after every object that existed at the
// start has been delivered. While the API server cannot be reached, Run waits.
func (s *Source) Run(ctx context.Context, synced func(), watches ...Watch) error {
	var delivered []cache.InformerSynced
	var informers []cache.SharedIndexInformer
	for _, w := range watches {
		objects, err := s.listWatch(w)
		if err != nil {
			return fmt.Errorf("watching %T: %w", w.object, err)
		}
		informer := cache.NewSharedIndexInformer(persistent(objects), w.object, s.options.Resync, nil)
		if err := informer.SetTransform(w.transform); err != nil {
			return fmt.Errorf("watching %T: %w", w.object, err)
		}
		registration, err := informer.AddEventHandler(w.handler)
		if err != nil {
			return fmt.Errorf("watching %T: %w", w.object, err)
		}
		informers = append(informers, informer)
		delivered = append(delivered, registration.HasSynced)
	}
	var group errgroup.Group
	for _, informer := range informers {
		group.Go(func() error { informer.RunWithContext(ctx); return nil })
	}
	if cache.WaitForCacheSync(ctx.Done(), delivered...) {
		synced()
	}
	return group.Wait()
}

// listWatch returns functions to list and watch the objects of a watch. It knows the path of
// their kind and does not ask the API server for it. Otherwise a server that is away at the start
// would fail the start.
func (s *Source) listWatch(w Watch) (*cache.ListWatch, error) {
	namespace := s.options.Namespace
	if w.namespace != "" {
		namespace = w.namespace
	}
	sel := func(o *metav1.ListOptions) {
		if w.labels != nil {
			o.LabelSelector = w.labels.String()
		}
	}
	if _, ok := w.object.(*unstructured.Unstructured); ok {
		resource := s.dynamic.Resource(resourceOf(w.object.GetObjectKind().GroupVersionKind())).Namespace(namespace)
		return &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				sel(&o)
				return resource.List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				sel(&o)
				return resource.Watch(ctx, o)
			},
		}, nil
	}
	kinds, _, err := s.scheme.ObjectKinds(w.object)
	if err != nil {
		return nil, err
	}
	version := kinds[0].GroupVersion()
	config := rest.CopyConfig(s.cluster)
	config.GroupVersion, config.APIPath = &version, "/apis"
	if version.Group == "" {
		config.APIPath = "/api"
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(s.scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := rest.RESTClientForConfigAndClient(config, s.client)
	if err != nil {
		return nil, err
	}
	return cache.NewFilteredListWatchFromClient(client, resourceOf(kinds[0]).Resource, namespace, sel), nil
}
