package availability

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reader lists nothing, or fails: always, or until some time.
type reader struct {
	client.Reader
	err   error
	until time.Time
	lists int
}

func (r *reader) List(context.Context, client.ObjectList, ...client.ListOption) error {
	r.lists++
	if !r.until.IsZero() && time.Now().After(r.until) {
		return nil
	}
	return r.err
}

func kindOf(r *reader, log logr.Logger) *Kind {
	return New(schema.GroupVersionKind{Kind: "Thing"}, r, "", "install it", log)
}

func TestProbe(t *testing.T) {
	tests := []struct {
		reason string
		err    error
		want   bool
	}{
		{"it can be listed", nil, true},
		{"it is not installed", &meta.NoKindMatchError{}, false},
		{"it was deleted", apierrors.NewNotFound(schema.GroupResource{}, ""), false},
		{"no right to list it", apierrors.NewForbidden(schema.GroupResource{}, "", nil), false},
		{"the API server is away: informers try again", errors.New("connection refused"), true},
	}
	for _, test := range tests {
		k := kindOf(&reader{err: test.err}, logr.Discard())
		if k.Available() {
			t.Errorf("%s: available before anybody looked", test.reason)
		}
		if k.Probe(t.Context()); k.Available() != test.want {
			t.Errorf("%s: available %t, want %t", test.reason, k.Available(), test.want)
		}
	}
}

func TestItBecomesAvailableAndSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines, prepared atomic.Int32
		r := &reader{err: &meta.NoKindMatchError{}, until: time.Now().Add(time.Hour)}
		k := kindOf(r, funcr.New(func(_, _ string) { lines.Add(1) }, funcr.Options{}))
		k.Prepare(func(context.Context) error {
			if k.Available() {
				t.Error("available before it was prepared")
			}
			prepared.Add(1)
			return nil
		})
		k.Probe(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := k.Start(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		<-time.After(time.Hour)
		synctest.Wait()
		if k.Available() || prepared.Load() != 0 || lines.Load() != 1 {
			t.Errorf("available %t, prepared %d times, %d lines, want one", k.Available(), prepared.Load(), lines.Load())
		}
		<-ended
		if !k.Available() || prepared.Load() != 1 || lines.Load() != 2 {
			t.Errorf("available %t, prepared %d times, %d lines, want two", k.Available(), prepared.Load(), lines.Load())
		}
	})
}

func TestStartEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		k := kindOf(&reader{err: &meta.NoKindMatchError{}}, logr.Discard())
		go cancel()
		if err := k.Start(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestStartOfAnAvailableKindAsksNobody(t *testing.T) {
	r := &reader{}
	k := kindOf(r, logr.Discard())
	k.Probe(t.Context())
	if err := k.Start(t.Context()); err != nil || r.lists != 1 {
		t.Errorf("error %v after %d lists, want one", err, r.lists)
	}
}
