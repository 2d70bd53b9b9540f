package app

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kedacore/http-add-on/scaler/config"
)

// An API server that is away at the start is waited for: what a restart of the
// scaler would cost is what it has heard.
func TestAnAPIServerThatIsAwayIsWaitedFor(t *testing.T) {
	l := listen(t)
	source, err := NewClusterSource(&rest.Config{Host: "http://" + l.Addr().String()},
		config.Target{Namespace: "keda", Service: "admin", Port: adminPort}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx, sink{}) }() // nobody is told anything
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
			t.Fatalf("the source has given up: %v", err)
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
