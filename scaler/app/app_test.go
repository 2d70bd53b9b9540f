package app

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// checked returns the state of a health service.
func (w *world) checked(t *testing.T, service string) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	response, err := w.health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetStatus()
}

// awaitReady waits for the readiness service, as a probe does.
func (w *world) awaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch, err := w.health.Watch(ctx, &healthv1.HealthCheckRequest{Service: HealthReadiness})
	if err != nil {
		t.Fatal(err)
	}
	for {
		response, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if response.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return
		}
	}
}

// Covers a start without an API server through SIGTERM, as KEDA and the kubelet see it.
func TestLife(t *testing.T) {
	w := newWorld(t, 2, 1)
	sink := <-w.sink
	if got := w.checked(t, HealthLiveness); got != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("liveness is %v while the API server is away", got)
	}
	if got := w.checked(t, HealthReadiness); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("readiness is %v while the API server is away", got)
	}
	if _, err := w.keda.GetMetricSpec(t.Context(), ref(0)); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v while the API server is away", err)
	}
	stream, err := w.keda.StreamIsActive(t.Context(), ref(0)) // it waits
	if err != nil {
		t.Fatal(err)
	}
	w.interceptors[0].Set("apps/route-0000", queue.Count{Concurrency: 2, RequestCount: 2})
	w.interceptors[1].Set("apps/route-0000", queue.Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true})

	sink.SetRoute(interceptorRoute(0))
	close(w.synced)
	if response, err := stream.Recv(); err != nil || !response.GetResult() {
		t.Fatalf("the stream says %v, %v", response, err)
	}
	w.awaitReady(t)
	values, err := w.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: ref(0)})
	if err != nil || len(values.GetMetricValues()) != 1 || values.GetMetricValues()[0].GetMetricValueFloat() != 2 {
		t.Errorf("got %v, %v", values, err)
	}
	active, err := w.keda.IsActive(t.Context(), ref(0))
	if err != nil || !active.GetResult() {
		t.Errorf("got %v, %v", active, err)
	}

	stopped := make(chan error, 1)
	go func() { stopped <- w.stop() }()
	for {
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) { // it is not cut at the end of the drain
		t.Errorf("the stream ends with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// After SIGTERM, a Service sends clients to the pod for another moment. The scaler must not
// refuse KEDA's connections then, because that costs KEDA seconds. It must not miss a wake
// either.
func TestItServesOnUntilItsServiceHasTakenNotice(t *testing.T) {
	t.Parallel()
	const shutdownDelay = 15 * time.Second // long enough to act in, however slow the machine is
	w := newWorldThatServesOn(t, shutdownDelay, 1, 1)
	(<-w.sink).SetRoute(interceptorRoute(0))
	close(w.synced)
	w.awaitReady(t)
	stopped := make(chan error, 1)
	start := time.Now()
	go func() { stopped <- w.stop() }()
	for w.checked(t, HealthReadiness) == healthv1.HealthCheckResponse_SERVING {
		runtime.Gosched()
	}
	connection, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	stream, err := pb.NewExternalScalerClient(connection).StreamIsActive(t.Context(), ref(0))
	if err != nil {
		t.Fatal(err)
	}
	w.interceptors[0].Set("apps/route-0000", queue.Count{Concurrency: 1, RequestCount: 1, Cold: true})
	if response, err := stream.Recv(); err != nil || !response.GetResult() {
		t.Fatalf("the stream says %v, %v", response, err)
	}
	if got := w.checked(t, HealthLiveness); got != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("liveness is %v", got)
	}
	for err == nil { // the stream may have sent it when it opened, and again at the hit
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < shutdownDelay {
		t.Errorf("stopped after %v", took)
	}
}

// Covers the way from a cold hit on an interceptor to KEDA's stream, over real sockets. The next
// look at the interceptors would come an hour later.
func TestAColdHitReachesKEDAWithinMilliseconds(t *testing.T) {
	const hits = 100
	w := newWorld(t, 3, 1)
	(<-w.sink).SetRoute(interceptorRoute(0))
	close(w.synced)
	w.awaitReady(t)
	// A stream of an active route sends "active" when it opens.
	w.interceptors[0].Set("apps/route-0000", queue.Count{Concurrency: 1, RequestCount: 1})
	w.await(t, true)
	stream, err := w.keda.StreamIsActive(t.Context(), ref(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	w.interceptors[0].Set("apps/route-0000", queue.Count{RequestCount: 1})
	w.await(t, false)
	var took []time.Duration
	for n := range int64(hits) {
		// The interceptor answers each at once and its client leaves: only the lease shows it.
		i := w.interceptors[n%3]
		before := i.Counts()["apps/route-0000"].RequestCount
		start := time.Now()
		i.Set("apps/route-0000", queue.Count{Concurrency: 1, RequestCount: before + 1, Cold: true, Leased: true})
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
		w.await(t, true)
		i.Set("apps/route-0000", queue.Count{RequestCount: before + 1})
		w.await(t, false)
	}
	slices.Sort(took)
	median, p95, worst := took[hits/2], took[hits*95/100], took[hits-1]
	t.Logf("cold hit → active on the stream: median %v, p95 %v, worst %v", median, p95, worst)
	if median > 10*time.Second { // the goal is 10 ms
		t.Errorf("median %v", median)
	}
}

// await waits until the scaler reports the first route as active, or as inactive.
func (w *world) await(t *testing.T, want bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		active, err := w.keda.IsActive(t.Context(), ref(0))
		if err != nil {
			t.Fatal(err)
		}
		if active.GetResult() == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the route does not become active: %v", want)
		}
	}
}
