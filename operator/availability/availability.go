// Package availability lets the operator run without kinds that it reads only to report more.
// KEDA may be installed later, and roles made for 0.16 do not allow reading Services and
// ConfigMaps. A watch of such a kind would keep every controller from starting, so it begins when
// the kind can be listed. The package must not know how the kinds are used.
package availability

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// pollInterval is the time between checks of an unavailable kind. Users wait that long after
// installing it, and each check is one small request.
const pollInterval = 10 * time.Second

// Kind is a kind of object that may not be available. It is a runnable of the
// manager. Once available it stays so: informers recover by themselves.
type Kind struct {
	kind schema.GroupVersionKind
	// reader asks the API server, not the cache.
	reader    client.Reader
	namespace string
	log       logr.Logger
	// hint tells the operator of the cluster what to do; it appears in the log.
	hint      string
	prepare   []func(context.Context) error
	available chan struct{}
}

// New returns a kind that is not available before [Kind.Probe] or [Kind.Start]
// found it. The namespace is where it is listed; empty is all.
func New(kind schema.GroupVersionKind, reader client.Reader, namespace, hint string, log logr.Logger) *Kind {
	return &Kind{
		kind: kind, reader: reader, namespace: namespace, hint: hint,
		log: log.WithValues("kind", kind.Kind), available: make(chan struct{}),
	}
}

// Available reports whether objects of the kind can be read from the cache.
func (k *Kind) Available() bool {
	select {
	case <-k.available:
		return true
	default:
		return false
	}
}

// Prepare has something done before the kind counts as available: to make an index,
// which needs an informer. It must be called before Probe.
func (k *Kind) Prepare(f func(context.Context) error) { k.prepare = append(k.prepare, f) }

// Probe looks once; it must be called before the manager starts, so that the
// controllers know from their first reconciliation on. It logs once if the kind is
// missing.
func (k *Kind) Probe(ctx context.Context) {
	if err := k.look(ctx); err != nil {
		k.log.Info("kind is not available; working without it until it is", "reason", err.Error(), "hint", k.hint)
	}
}

// Start waits for the kind to become available. It implements manager.Runnable.
func (k *Kind) Start(ctx context.Context) error {
	if k.Available() {
		return nil
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if k.look(ctx) == nil {
			k.log.Info("kind is available")
			return nil
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a stand-by
// watches too.
func (k *Kind) NeedLeaderElection() bool { return false }

// look marks the kind as available if it is.
func (k *Kind) look(ctx context.Context) error {
	if err := k.list(ctx); err != nil {
		return err
	}
	for _, prepare := range k.prepare {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	close(k.available)
	return nil
}

// list fails if objects of the kind cannot be listed. It ignores temporary failures, because
// informers retry.
func (k *Kind) list(ctx context.Context) error {
	objects := &unstructured.UnstructuredList{}
	objects.SetGroupVersionKind(k.kind)
	err := k.reader.List(ctx, objects, client.InNamespace(k.namespace), client.Limit(1))
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return err
	}
	return nil
}

// Source watches objects of the kind, from now or from when it is available.
// Then, as everything may look different, all objects that the controller
// reconciles are queued: everything lists them.
func Source[T client.Object](k *Kind, objects cache.Cache, object T, h handler.TypedEventHandler[T, reconcile.Request],
	everything func(context.Context) ([]reconcile.Request, error), predicates ...predicate.TypedPredicate[T],
) source.SyncingSource {
	return &watch{kind: k, everything: everything, inner: source.Kind(objects, object, h, predicates...)}
}

type watch struct {
	kind       *Kind
	inner      source.SyncingSource
	everything func(context.Context) ([]reconcile.Request, error)
	// late reports whether the kind was not available when the controller started.
	late bool
}

// String is for the log.
func (w *watch) String() string { return "watch of kind " + w.kind.kind.Kind + " when available" }

// Start implements source.Source.
func (w *watch) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	if w.kind.Available() {
		return w.inner.Start(ctx, queue)
	}
	w.late = true
	go func() { // ends with the controller
		select {
		case <-ctx.Done():
			return
		case <-w.kind.available:
		}
		if err := w.startLate(ctx, queue); err != nil && ctx.Err() == nil {
			w.kind.log.Error(err, "watching a kind that became available failed")
		}
	}()
	return nil
}

func (w *watch) startLate(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	if err := w.inner.Start(ctx, queue); err != nil {
		return err
	}
	if err := w.inner.WaitForSync(ctx); err != nil {
		return err
	}
	requests, err := w.everything(ctx)
	if err != nil {
		return err
	}
	for _, request := range requests {
		queue.Add(request)
	}
	return nil
}

// WaitForSync implements source.SyncingSource.
func (w *watch) WaitForSync(ctx context.Context) error {
	if w.late {
		return nil
	}
	return w.inner.WaitForSync(ctx)
}
