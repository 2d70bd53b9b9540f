package kubesource

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
				_, err := persist(t.Context(), func() (struct{}, error) { return struct{}{}, test.answer(time.Since(began)) })
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
		if _, err := persist(ctx, func() (struct{}, error) { return struct{}{}, io.EOF }); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the last error", err)
		}
	})
}
