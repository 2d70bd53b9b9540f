package kubesource

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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
	// maxIdle is how many watches in a row may end at once and without an event. Then the informer
	// has to list the objects, which may be what is left of an API server behind a proxy.
	maxIdle = 10
)

// persistent returns a ListWatch that waits for an API server that cannot be reached, and whose
// watches outlive their connections. Informers back off to one attempt per minute, also after
// watches that merely ended. A component that knows old endpoints, and none of the new ones, must
// learn of them sooner.
func persistent(l *cache.ListWatch) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return persist(ctx, false, func() (runtime.Object, error) { return l.ListWithContext(ctx, o) })
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			first, err := persist(ctx, false, func() (watch.Interface, error) { return l.WatchWithContext(ctx, o) })
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithCancel(ctx)
			w := lastingWatch{make(chan watch.Event), cancel}
			go func() {
				defer close(w.events)
				defer cancel()
				w.follow(ctx, l, o, first)
			}()
			return w, nil
		},
	}
}

// lastingWatch is a watch that continues in another one when its connection ends.
type lastingWatch struct {
	events chan watch.Event
	stop   context.CancelFunc
}

func (w lastingWatch) ResultChan() <-chan watch.Event { return w.events }
func (w lastingWatch) Stop()                          { w.stop() }

// follow passes the events of a watch on, and of those that continue it. It returns with ctx,
// or when the informer has to list the objects again.
func (w lastingWatch) follow(ctx context.Context, l *cache.ListWatch, o metav1.ListOptions, from watch.Interface) {
	for idle := 0; idle < maxIdle; idle++ {
		began, version := time.Now(), o.ResourceVersion
		ended := w.pass(ctx, &o, from)
		from.Stop()
		// Without all of the initial objects there is no version to continue from.
		if !ended || o.SendInitialEvents != nil {
			return
		}
		if o.ResourceVersion != version || time.Since(began) >= tryInterval {
			idle = 0
		}
		if time.Since(began) < tryInterval && !pause(ctx) {
			return
		}
		var err error
		if from, err = persist(ctx, true, func() (watch.Interface, error) { return l.WatchWithContext(ctx, o) }); err != nil {
			return // the informer meets the error itself
		}
	}
}

// pass passes events on and records in o how to continue. It reports whether the watch has ended
// by itself and without an error.
func (w lastingWatch) pass(ctx context.Context, o *metav1.ListOptions, from watch.Interface) bool {
	for {
		select {
		case event, ok := <-from.ResultChan():
			if !ok {
				return ctx.Err() == nil
			}
			if event.Type == watch.Error && unread(event.Object) {
				return ctx.Err() == nil
			}
			// The object is the informer's once it is sent.
			version, complete := "", false
			if object, err := meta.Accessor(event.Object); err == nil {
				version = object.GetResourceVersion()
				complete = event.Type == watch.Bookmark && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
			}
			select {
			case w.events <- event:
			case <-ctx.Done():
				return false
			}
			if event.Type == watch.Error || version == "" {
				return false
			}
			o.ResourceVersion = version
			if complete {
				o.SendInitialEvents, o.ResourceVersionMatch = nil, ""
			}
		case <-ctx.Done():
			return false
		}
	}
}

// unread reports whether an error of a watch is client-go's own: it could not read on. That is how a
// connection ends whose other end has vanished.
func unread(object runtime.Object) bool {
	status, ok := object.(*metav1.Status)
	return ok && status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == "ClientWatchDecoding"
	})
}

// pause waits until the API server may be tried again, and reports whether ctx lasts.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(tryInterval/2 + rand.N(tryInterval/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// persist calls f until the API server can be reached, or ctx ends. A connection to it may have
// been lost before.
func persist[T any](ctx context.Context, lost bool, f func() (T, error)) (T, error) {
	var away time.Time // when it could not be reached last
	if lost {
		away = time.Now()
	}
	for logged := false; ; {
		got, err := f()
		switch {
		case unreachable(err):
			if !logged {
				klog.FromContext(ctx).Info("the API server cannot be reached, trying again", "reason", err.Error())
				logged = true
			}
			away = time.Now()
		case !apierrors.IsForbidden(err), time.Since(away) > starting:
			return got, err
		}
		if !pause(ctx) {
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
