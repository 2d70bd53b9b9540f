// Package kubesource reads a cluster by informers: it calls typed functions with
// the objects that exist, and then with those that change. It must not know what
// the objects are used for.
package kubesource

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
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
	options Options
}

// New returns a Source of the cluster behind a rest.Config. It does not connect.
func New(cluster *rest.Config, o Options) (*Source, error) {
	c, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, fmt.Errorf("making the cluster client: %w", err)
	}
	return &Source{cluster: cluster, client: c, options: o}, nil
}

// Run follows the watches until ctx ends, and returns nil then. It starts them in
// the given order, and calls synced once, after every object that existed at the
// start has been delivered. While the API server cannot be reached, Run waits.
func (s *Source) Run(ctx context.Context, synced func(), watches ...Watch) error {
	objects, err := s.cache(watches)
	if err != nil {
		return fmt.Errorf("making the cluster cache: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return objects.Start(ctx) })
	group.Go(func() error {
		var delivered []toolscache.InformerSynced
		for _, w := range watches {
			informer, err := objects.GetInformer(ctx, w.object, cache.BlockUntilSynced(false))
			if err != nil {
				return fmt.Errorf("watching %T: %w", w.object, err)
			}
			registration, err := informer.AddEventHandler(w.handler)
			if err != nil {
				return fmt.Errorf("watching %T: %w", w.object, err)
			}
			delivered = append(delivered, registration.HasSynced)
		}
		if toolscache.WaitForCacheSync(ctx.Done(), delivered...) {
			synced()
		}
		return nil
	})
	return group.Wait()
}

// cache returns a cache of the watches. Its mapper knows their kinds, so that the
// API server is not asked: one that is away at the start would fail the start.
func (s *Source) cache(watches []Watch) (cache.Cache, error) {
	options := cache.Options{
		HTTPClient: s.client,
		Scheme:     clientgoscheme.Scheme,
		SyncPeriod: &s.options.Resync,
		ByObject:   map[client.Object]cache.ByObject{},
	}
	if s.options.Namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{s.options.Namespace: {}}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, w := range watches {
		kind, err := apiutil.GVKForObject(w.object, options.Scheme)
		if err != nil {
			return nil, err
		}
		mapper.Add(kind, meta.RESTScopeNamespace)
		options.ByObject[w.object] = w.options
	}
	options.Mapper = mapper
	return cache.New(s.cluster, options)
}
