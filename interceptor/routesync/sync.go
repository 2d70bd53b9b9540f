package routesync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// The hold-off: a burst of changes is one rebuild, and no change waits longer
// than holdOffMax however long the burst goes on.
const (
	holdOffQuiet = 10 * time.Millisecond
	holdOffMax   = 100 * time.Millisecond
)

// Defaults are the interceptor's settings for what a route leaves open.
type Defaults struct {
	// Readiness, Request and ResponseHeader timeouts; 0 means no bound.
	Readiness, Request, ResponseHeader time.Duration
	// Lease is how long a cold hit asks for its target; 0 is the readiness
	// timeout, else ten minutes.
	Lease time.Duration
	// MaxPending caps the held requests of a route; 0 means no cap.
	MaxPending int
	// NoSessions means that no request can be kept with a pod.
	NoSessions bool
}

// Options of a Sync.
type Options struct {
	// Store hands out the endpoint handles that routes point to.
	Store *endpoints.Store
	// Tracker hands out the in-flight handles that routes point to.
	Tracker *inflight.Tracker
	// Defaults for what routes leave open.
	Defaults Defaults
	// Settings for all routes.
	Settings route.Settings
	// Log of problems and publications.
	Log logr.Logger
	// Quiet disables the log of problems, for a caller that reads Problems or has a Check.
	Quiet bool
}

// Sync compiles routes as their objects change. It is the Sink of a Source.
type Sync struct {
	log    logr.Logger
	quiet  bool
	signal chan struct{}

	mu      sync.Mutex
	pending map[ObjectRef]kubesource.Object // nil: deleted
	synced  bool

	table    atomic.Pointer[routing.Table[*exchange.Route]]
	loaded   chan struct{} // closed when there is a table
	warm     atomic.Pointer[[]*exchange.Route]
	rewarmed chan struct{}
	problems atomic.Pointer[map[ObjectRef]string]

	reports reports

	// model is owned by Run's goroutine.
	model *model
}

// New returns a Sync that has published nothing yet.
func New(o Options) *Sync {
	s := &Sync{
		log:     o.Log,
		quiet:   o.Quiet,
		signal:  make(chan struct{}, 1),
		loaded:  make(chan struct{}),
		pending: map[ObjectRef]kubesource.Object{},

		rewarmed: make(chan struct{}, 1),
	}
	s.model = newModel(compiler{reports: &s.reports, store: o.Store, tracker: o.Tracker, defaults: o.Defaults, settings: o.Settings})
	s.problems.Store(&map[ObjectRef]string{})
	s.warm.Store(&[]*exchange.Route{})
	return s
}

// Table returns the table in force, nil before the first one. Safe for
// concurrent use.
func (s *Sync) Table() *routing.Table[*exchange.Route] { return s.table.Load() }

// Loaded is closed once there is a table.
func (s *Sync) Loaded() <-chan struct{} { return s.loaded }

// Ready reports whether a table has been published.
func (s *Sync) Ready() bool { return s.table.Load() != nil }

// Warm returns the routes that have warm-ups. The slice is shared: it must not be written to.
func (s *Sync) Warm() []*exchange.Route { return *s.warm.Load() }

// Rewarmed receives when Warm returns other routes than before.
func (s *Sync) Rewarmed() <-chan struct{} { return s.rewarmed }

// Problems returns the objects that are not, or not fully, in effect, and why.
// The map is shared: it must not be written to.
func (s *Sync) Problems() map[ObjectRef]string { return *s.problems.Load() }

// Set implements Sink.
func (s *Sync) Set(obj kubesource.Object) { s.change(obj, obj) }

// Delete implements Sink.
func (s *Sync) Delete(obj kubesource.Object) { s.change(obj, nil) }

// Synced implements Sink.
func (s *Sync) Synced() {
	s.mu.Lock()
	s.synced = true
	s.mu.Unlock()
	s.wake()
}

func (s *Sync) change(of, to kubesource.Object) {
	ref, ok := refOf(of)
	if !ok {
		return
	}
	s.mu.Lock()
	s.pending[ref] = to
	s.mu.Unlock()
	s.wake()
}

func (s *Sync) wake() { signal(s.signal) }

// signal sends, unless the last signal was not received yet.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

func refOf(obj kubesource.Object) (ObjectRef, bool) {
	ref := ObjectRef{Namespace: obj.GetNamespace(), Name: obj.GetName()}
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		ref.Kind = o.GetKind()
	case *corev1.Service:
		ref.Kind = KindService
	case *corev1.ConfigMap:
		ref.Kind = KindConfigMap
	}
	return ref, ref.Kind != ""
}

// Run takes changes from source and publishes tables until ctx ends or the
// source fails.
func (s *Sync) Run(ctx context.Context, source Source) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return source.Run(ctx, s) })
	group.Go(func() error { return s.loop(ctx) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *Sync) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.signal:
		}
		s.holdOff(ctx)
		s.publish()
	}
}

// holdOff returns when the changes pause, or have gone on for too long.
func (s *Sync) holdOff(ctx context.Context) {
	quiet := time.NewTimer(holdOffQuiet)
	defer quiet.Stop()
	limit := time.NewTimer(holdOffMax)
	defer limit.Stop()
	for {
		select {
		case <-s.signal:
			quiet.Reset(holdOffQuiet)
		case <-quiet.C:
			return
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// publish compiles what has changed and makes it the table in force.
func (s *Sync) publish() {
	s.mu.Lock()
	if !s.synced {
		// The changes stay pending: half a table is a table of 404s.
		s.mu.Unlock()
		return
	}
	pending := s.pending
	s.pending = map[ObjectRef]kubesource.Object{}
	s.mu.Unlock()

	s.model.apply(pending)
	old := s.table.Load()
	table := s.model.table(old)
	if table != old {
		s.table.Store(table)
		if old == nil {
			close(s.loaded)
		}
		s.log.V(1).Info("published routing table", "routes", table.Len(), "changes", len(pending))
	}
	if s.model.warmChanged {
		warm := slices.Collect(maps.Values(s.model.warm))
		s.warm.Store(&warm)
		s.model.warmChanged = false
		signal(s.rewarmed)
	}
	for _, key := range s.model.forgotten {
		s.model.compiler.tracker.Forget(key)
	}
	s.model.forgotten = nil
	s.report(s.model.problems)
}

// report publishes the problems and logs those that are new, and those that
// went away, once.
func (s *Sync) report(now map[ObjectRef]string) {
	before := s.Problems()
	next := make(map[ObjectRef]string, len(now))
	for ref, reason := range now {
		next[ref] = reason
		if before[ref] != reason && !s.quiet {
			s.log.Info("route only partly applied", "kind", ref.Kind, "object", ref.Namespace+"/"+ref.Name, "reason", reason)
		}
	}
	for ref := range before {
		if _, still := next[ref]; !still && !s.quiet {
			s.log.Info("route fully applied again, or deleted", "kind", ref.Kind, "object", ref.Namespace+"/"+ref.Name)
		}
	}
	s.problems.Store(&next)
}
