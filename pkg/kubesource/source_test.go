package kubesource

import (
	"context"
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

// If a component gave up when it restarts while the API server is away, it would lose what the
// others have reported.
func TestAnAPIServerThatIsAwayIsWaitedFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source, err := New(&rest.Config{Host: "http://" + l.Addr().String()}, Options{Resync: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	unexpected := func(o Object) { t.Errorf("delivered %v", o) }
	synced := func() { t.Error("synced without an API server") }
	ended := make(chan error, 1)
	go func() {
		ended <- source.Run(ctx, synced, For[Object](&corev1.Service{}, Handler[Object]{Set: unexpected, Delete: unexpected}))
	}()
	tries := make(chan struct{})
	go func() {
		defer close(tries)
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
			tries <- struct{}{}
		}
	}()
	for range 10 {
		select {
		case <-tries:
		case err := <-ended:
			t.Fatalf("the source gave up: %v", err)
		}
	}
	cancel()
	_ = l.Close()
	for range tries {
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
