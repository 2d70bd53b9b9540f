package kubesource

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// tryInterval is the time between two tries to reach an API server, at most.
	tryInterval = time.Second
	// starting is for how long an API server that could not be reached may refuse what it
	// has not loaded the roles for.
	starting = 10 * time.Second
)

// persistent returns a ListWatch that waits for an API server that cannot be reached. Informers
// back off to one attempt per minute. A component that knows old endpoints, and none of the new
// ones, must learn of them sooner.
func persistent(l *cache.ListWatch) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return persist(ctx, func() (runtime.Object, error) { return l.ListWithContext(ctx, o) })
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return persist(ctx, func() (watch.Interface, error) { return l.WatchWithContext(ctx, o) })
		},
	}
}

// persist calls f until the API server can be reached, or ctx ends.
func persist[T any](ctx context.Context, f func() (T, error)) (T, error) {
	var away time.Time // when it could not be reached last
	for {
		got, err := f()
		switch {
		case unreachable(err):
			if away.IsZero() {
				klog.FromContext(ctx).Info("the API server cannot be reached, trying again", "reason", err.Error())
			}
			away = time.Now()
		case !apierrors.IsForbidden(err), time.Since(away) > starting:
			return got, err
		}
		timer := time.NewTimer(tryInterval/2 + rand.N(tryInterval/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return got, err
		}
	}
}

// unreachable reports whether an error means that there was no connection, or that it ended
// without an answer.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || err != nil && utilnet.IsProbableEOF(err)
}
