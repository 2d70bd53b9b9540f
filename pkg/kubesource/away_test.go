package kubesource

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

func TestAnAPIServerThatIsBackIsAskedSoon(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://kubernetes/", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", errors.New("no role"))
	expired := apierrors.NewResourceExpired("too old")
	for _, test := range []struct {
		reason string
		answer func(since time.Duration) error
		want   error
		within time.Duration
	}{
		{"it is there", func(time.Duration) error { return nil }, nil, 0},
		{"it refuses connections for an hour", func(since time.Duration) error {
			if since < time.Hour {
				return refused
			}
			return nil
		}, nil, time.Hour + tryInterval},
		{"it closes connections, and has no roles yet", func(since time.Duration) error {
			switch {
			case since < time.Minute:
				return &url.Error{Op: "Get", URL: "https://kubernetes/", Err: io.EOF}
			case since < time.Minute+starting/2:
				return forbidden
			}
			return nil
		}, nil, time.Minute + starting/2 + tryInterval},
		{"there is no role", func(time.Duration) error { return forbidden }, forbidden, 0},
		{"there is still no role", func(since time.Duration) error {
			if since < time.Minute {
				return refused
			}
			return forbidden
		}, forbidden, time.Minute + starting + 2*tryInterval},
		{"what is asked for is too old", func(since time.Duration) error {
			if since < time.Minute {
				return refused
			}
			return expired
		}, expired, time.Minute + tryInterval},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := persist(t.Context(), false, func() (struct{}, error) { return struct{}{}, test.answer(time.Since(began)) })
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if took := time.Since(began); took > test.within {
					t.Errorf("it took %s, want %s at most", took, test.within)
				}
			})
		})
	}
}

func TestWaitingForAnAPIServerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := persist(ctx, false, func() (struct{}, error) { return struct{}{}, io.EOF }); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the last error", err)
		}
	})
}

// server is an API server whose watches end after each event. It records the versions that they
// begin with.
type server struct {
	versions []string
	down     atomic.Bool
	end      func(n int, w *watch.RaceFreeFakeWatcher) // ends a watch in another way
}

func (s *server) watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if s.down.Load() {
		return nil, io.EOF
	}
	s.versions = append(s.versions, o.ResourceVersion)
	w, n := watch.NewRaceFreeFake(), len(s.versions)
	if s.end != nil {
		s.end(n, w)
	} else {
		w.Add(version(strconv.Itoa(n)))
	}
	w.Stop()
	return w, nil
}

func version(v string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{ResourceVersion: v}}
}

// watched begins a watch that outlives its connections.
func (s *server) watched(t *testing.T, o metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := persistent(&cache.ListWatch{WatchFuncWithContext: s.watch}).WatchWithContext(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// An informer waits up to a minute after watches that end again and again.
func TestAWatchContinuesSoonWhenItsConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s server
		w := s.watched(t, metav1.ListOptions{ResourceVersion: "0"})
		began := time.Now()
		const events = 20
		for n := range events {
			event := <-w.ResultChan()
			if got := event.Object.(*corev1.Service).ResourceVersion; got != strconv.Itoa(n+1) {
				t.Fatalf("event %d is of version %s", n+1, got)
			}
		}
		if took := time.Since(began); took > events*tryInterval {
			t.Errorf("%d events took %s", events, took)
		}
		synctest.Wait()
		s.down.Store(true)
		time.Sleep(10 * tryInterval) // of the bubble's clock
		w.Stop()
		for range w.ResultChan() { // it is closed although the API server is away
		}
		for n, from := range s.versions {
			if from != strconv.Itoa(n) {
				t.Errorf("watch %d began with version %s", n+1, from)
			}
		}
	})
}

func TestAWatchThatCannotContinueEnds(t *testing.T) {
	yes := true
	expired := &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired}
	unread := apierrors.NewClientErrorReporter(http.StatusInternalServerError, http.MethodGet, "ClientWatchDecoding").AsObject(io.ErrNoProgress)
	complete := version("7")
	complete.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	for _, test := range []struct {
		reason  string
		options metav1.ListOptions
		end     func(n int, w *watch.RaceFreeFakeWatcher)
		watches int
	}{
		{"its version is too old", metav1.ListOptions{}, func(_ int, w *watch.RaceFreeFakeWatcher) { w.Error(expired) }, 1},
		{"it is too old later", metav1.ListOptions{}, func(n int, w *watch.RaceFreeFakeWatcher) {
			if n == 3 {
				w.Error(expired)
			}
		}, 3},
		{"it cannot be read", metav1.ListOptions{}, func(n int, w *watch.RaceFreeFakeWatcher) {
			if n == 3 {
				w.Error(expired)
			} else {
				w.Error(unread)
			}
		}, 3},
		{"all end at once", metav1.ListOptions{}, func(int, *watch.RaceFreeFakeWatcher) {}, maxIdle + 1},
		{"the initial objects were not complete", metav1.ListOptions{SendInitialEvents: &yes}, func(_ int, w *watch.RaceFreeFakeWatcher) { w.Add(version("1")) }, 1},
		{"the initial objects were complete", metav1.ListOptions{SendInitialEvents: &yes}, func(n int, w *watch.RaceFreeFakeWatcher) {
			if n == 1 {
				w.Action(watch.Bookmark, complete)
			} else {
				w.Error(expired)
			}
		}, 2},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := server{end: test.end}
				var last watch.Event
				for last = range s.watched(t, test.options).ResultChan() {
				}
				if last.Type != watch.Error && test.watches > 1 && test.watches < maxIdle {
					t.Errorf("the last event is %v", last)
				}
				if len(s.versions) != test.watches {
					t.Errorf("watches began with %q, want %d of them", s.versions, test.watches)
				}
			})
		})
	}
}
