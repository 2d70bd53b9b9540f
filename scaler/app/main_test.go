package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/support/counts"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		if err := beOutside(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const adminPort = 9090

// maxStreams is small enough for a test to reach.
const maxStreams = 20

// world is a scaler, a fake cluster, simulated interceptors on loopback behind pod addresses, and
// KEDA's side of the connection.
type world struct {
	interceptors []*counts.Source
	address      string // that KEDA connects to
	keda         pb.ExternalScalerClient
	health       healthv1.HealthClient
	// synced lets the source end its list.
	synced chan struct{}
	sink   chan Sink
	stop   func() error
}

// Run implements Source: it reports the current routes and interceptors, and then acts like an
// API server that is gone.
func (w *world) Run(ctx context.Context, sink Sink) error {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "keda", Name: "admin-1"}, AddressType: discoveryv1.AddressTypeIPv4,
	}
	for n := range w.interceptors {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{podAddress(n)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: types.UID(fmt.Sprint(n))},
		})
	}
	sink.SetSlice(slice)
	w.sink <- sink
	select {
	case <-w.synced:
		sink.Synced()
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

func podAddress(n int) string { return fmt.Sprintf("10.250.%d.%d", n/250, n%250+1) }

// newWorld starts a world that ends with the test.
func newWorld(t testing.TB, interceptors, routes int) *world {
	t.Helper()
	return newWorldThatServesOn(t, 100*time.Millisecond, interceptors, routes)
}

// newWorldThatServesOn is newWorld with a time for which the scaler serves on after SIGTERM.
func newWorldThatServesOn(t testing.TB, shutdownDelay time.Duration, interceptors, routes int) *world {
	t.Helper()
	w := &world{synced: make(chan struct{}), sink: make(chan Sink, 1)}
	addresses := make(map[string]string)
	done := make(chan struct{})
	var running sync.WaitGroup
	var servers []*http.Server
	for n := range interceptors {
		reported := make(queue.Counts)
		for r := range routes {
			reported[fmt.Sprintf("apps/route-%04d", r)] = queue.Count{RequestCount: int64(n * r)}
		}
		c := counts.New(reported)
		w.interceptors = append(w.interceptors, c)
		l := listen.Loopback(t)
		addresses[fmt.Sprintf("%s:%d", podAddress(n), adminPort)] = l.Addr().String()
		server := &http.Server{Handler: queue.NewHandler(c, done)}
		running.Go(func() { _ = server.Serve(l) })
		servers = append(servers, server)
	}
	cfg := config.Config{
		Target:    config.Target{Namespace: "keda", Service: "admin", Port: adminPort},
		QueueTick: time.Hour, StreamInterval: 200 * time.Millisecond, ShutdownDelay: shutdownDelay, MaxStreams: maxStreams,
	}
	l := listen.Loopback(t)
	a, err := New(cfg, Deps{Source: w, GRPC: l, Log: logr.Discard(), DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		process, ok := addresses[address]
		if !ok {
			return nil, errors.New("connection refused")
		}
		return new(net.Dialer).DialContext(ctx, network, process)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	w.address = "passthrough:///" + l.Addr().String()
	connection, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	w.keda, w.health = pb.NewExternalScalerClient(connection), healthv1.NewHealthClient(connection)
	t.Cleanup(func() {
		close(done)
		_ = connection.Close()
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		for _, server := range servers {
			_ = server.Close()
		}
		running.Wait()
	})
	return w
}

// ref returns a trigger for one of the routes.
func ref(route int) *pb.ScaledObjectRef {
	return &pb.ScaledObjectRef{Name: "so", Namespace: "apps", ScalerMetadata: map[string]string{
		api.TriggerInterceptorRoute: fmt.Sprintf("route-%04d", route),
	}}
}

func interceptorRoute(route int) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "http.keda.sh/v1beta1", "kind": api.KindInterceptorRoute,
		"metadata": map[string]any{"namespace": "apps", "name": fmt.Sprintf("route-%04d", route)},
		"spec":     map[string]any{"scalingMetric": map[string]any{"concurrency": map[string]any{"targetValue": int64(1)}}},
	}}
}
