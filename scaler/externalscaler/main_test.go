package externalscaler

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pass advances the time of a bubble, and waits for what happens in it.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// world is a Server with a client, and one interceptor.
type world struct {
	t           *testing.T
	demand      *demand.Aggregate
	interceptor *demand.Interceptor
	routes      *Routes
	server      *Server
	ready       chan struct{}
	keda        pb.ExternalScalerClient
}

// newWorld starts a world that knows the given routes and ends with the test.
func newWorld(t *testing.T, routes ...*unstructured.Unstructured) *world {
	t.Helper()
	w := newStartingWorld(t)
	for _, r := range routes {
		w.routes.Set(r)
	}
	w.demand.Begin()
	w.routes.Synced()
	w.interceptor.Apply(queue.Event{Type: queue.Snapshot})
	close(w.ready)
	return w
}

// newStartingWorld starts one that knows nothing.
func newStartingWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, demand: demand.New(), ready: make(chan struct{})}
	w.interceptor = w.demand.Interceptor()
	w.routes = NewRoutes(w.demand)
	w.server = New(Options{Demand: w.demand, Routes: w.routes, Ready: w.ready, Spacing: 200 * time.Millisecond})

	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	pb.RegisterExternalScalerServer(server, w.server)
	connection, err := grpc.NewClient("passthrough:///scaler",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	w.keda = pb.NewExternalScalerClient(connection)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	running.Go(func() { _ = w.server.Run(ctx) })
	t.Cleanup(func() {
		_ = connection.Close()
		server.Stop()
		cancel()
		running.Wait()
	})
	return w
}

// report sets what the interceptor reports of a route.
func (w *world) report(key string, c queue.Count) {
	w.interceptor.Apply(queue.Event{Type: queue.Update, Counts: queue.Counts{key: c}})
}

// stream is an open StreamIsActive.
type stream struct {
	actives chan time.Duration // since it was opened
	ended   chan error
	cancel  context.CancelFunc
}

// open opens a stream that ends with the test.
func (w *world) open(ref *pb.ScaledObjectRef) *stream {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	s := &stream{actives: make(chan time.Duration, 1000), ended: make(chan error, 1), cancel: cancel}
	start := time.Now()
	client, err := w.keda.StreamIsActive(ctx, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for {
			response, err := client.Recv()
			if err != nil {
				s.ended <- err
				return
			}
			if !response.GetResult() {
				w.t.Error("the stream says false")
			}
			s.actives <- time.Since(start)
		}
	}()
	return s
}

// taken returns when the stream sent "active" since the last call.
func (s *stream) taken() []time.Duration {
	var all []time.Duration
	for len(s.actives) > 0 {
		all = append(all, <-s.actives)
	}
	return all
}

func ref(key, value string) *pb.ScaledObjectRef {
	return &pb.ScaledObjectRef{Name: "so", Namespace: "apps", ScalerMetadata: map[string]string{"scalerAddress": "scaler:9090", key: value}}
}

// interceptorRoute returns one of the namespace apps.
func interceptorRoute(name string, metric map[string]any) *unstructured.Unstructured {
	return object("http.keda.sh/v1beta1", api.KindInterceptorRoute, name, map[string]any{
		"target": map[string]any{"service": "web", "port": int64(80)}, "scalingMetric": metric,
	})
}

// httpScaledObject returns one of the namespace apps.
func httpScaledObject(name string, spec map[string]any) *unstructured.Unstructured {
	spec["scaleTargetRef"] = map[string]any{"service": "web", "port": int64(80)}
	return object("http.keda.sh/v1alpha1", api.KindHTTPScaledObject, name, spec)
}

func object(version, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": version, "kind": kind, "metadata": map[string]any{"namespace": "apps", "name": name}, "spec": spec,
	}}
}

func concurrency(target int64) map[string]any {
	return map[string]any{"concurrency": map[string]any{"targetValue": target}}
}
