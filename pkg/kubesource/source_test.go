package kubesource

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// The informer owns an object as soon as it has got its event, and changes it.
func TestEventsOfRoutesAreNotReadOnceTheyAreSent(t *testing.T) {
	const events = 2000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := "InterceptorRoute"
		if strings.Contains(r.URL.Path, "httpscaledobjects") {
			kind = "HTTPScaledObject"
		}
		version := strings.Split(r.URL.Path, "/")[3]
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			fmt.Fprintf(w, `{"apiVersion":"http.keda.sh/%s","kind":"%sList","metadata":{"resourceVersion":"1"},"items":[]}`, version, kind)
			return
		}
		object := `{"type":%q,"object":{"apiVersion":"http.keda.sh/` + version + `","kind":"` + kind + `","metadata":{"name":"shop%d","namespace":"apps","resourceVersion":"%d",` +
			`"annotations":{%s},"managedFields":[{"manager":"test"}]},"status":{}}}` + "\n"
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			fmt.Fprintf(w, object, "BOOKMARK", 0, 1, `"k8s.io/initial-events-end":"true"`)
		}
		for i := range events {
			fmt.Fprintf(w, object, "ADDED", i, i+2, `"a":"b"`)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	source, err := New(&rest.Config{Host: server.URL}, Options{Resync: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got atomic.Int64
	set := func(*unstructured.Unstructured) {
		if got.Add(1) == 2*events {
			cancel()
		}
	}
	if err := source.Run(ctx, func() {}, Routes(Handler[*unstructured.Unstructured]{Set: set, Delete: set})...); err != nil {
		t.Fatal(err)
	}
}
