package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	scalerapp "github.com/kedacore/http-add-on/scaler/app"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// Each request has a separate route, so that each one is the first of its route.
const (
	requestsOfAKind = 100
	warmRoutes      = 10
)

// routeGroups are the routes: what they do while they are cold, and how many there
// are. Warm ones have a Service that the test makes ready.
var routeGroups = []role.RouteGroup{
	{Name: "hold", Service: "cold", Routes: 3 * requestsOfAKind},
	{Name: "placeholder", Service: "cold", Routes: requestsOfAKind, ColdStart: map[string]any{
		"placeholder": map[string]any{"response": map[string]any{"statusCode": int64(503), "body": "soon"}},
	}},
	{Name: "page", Service: "cold", Routes: requestsOfAKind, ColdStart: map[string]any{"waitingPage": map[string]any{}}},
	{Name: "warm", Service: "warm", Routes: warmRoutes},
}

// routeNames yields the name of every route.
func routeNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, group := range routeGroups {
			for n := range group.Routes {
				if !yield(role.RouteName(group.Name, n)) {
					return
				}
			}
		}
	}
}

// The goals from a request's first byte to "active" at KEDA are a median of 10 ms and a 95th
// percentile of 25 ms.
const (
	// most is where a slow machine is too slow.
	most = 10 * time.Second
	// giveUp is when a request counts as missed.
	giveUp = time.Minute
)

// TestEveryColdRequestReachesKEDAWithinMilliseconds sends requests to two interceptors and
// listens to a scaler as KEDA 2.21 does. It uses three processes and this one, with real sockets
// in between. KEDA learns of every request, however short it is and however it is answered.
func TestEveryColdRequestReachesKEDAWithinMilliseconds(t *testing.T) {
	options := role.InterceptorOptions{Services: []string{"cold", "warm"}, Groups: routeGroups}
	interceptors := []*role.Server{start(t, role.Interceptor, options), start(t, role.Interceptor, options)}
	var admins []string
	for _, p := range interceptors {
		admins = append(admins, p.Addresses["admin"])
	}
	keda := connectKEDA(t, start(t, role.Scaler, role.ScalerOptions{Interceptors: admins, Groups: routeGroups}).Proxy())

	// Behind the cold requests, routes that are awake ask for KEDA's attention.
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer backend.Close()
	if err := interceptors[0].Ready("warm", backend.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	warmAt := time.Now()
	for n := range warmRoutes {
		answered(t, dial(t, interceptors[0], role.RouteName("warm", n)), http.StatusOK, "ok")
	}

	leave := func(after time.Duration) func(net.Conn) {
		return func(c net.Conn) {
			if after > 0 {
				<-time.After(after)
			}
			_ = c.Close()
		}
	}
	for _, kind := range []struct {
		name, group string
		first       int // route of the group
		headers     string
		then        func(net.Conn)
	}{
		{"held", "hold", 0, "", func(net.Conn) {}},
		{"lasting 1 ms", "hold", requestsOfAKind, "", leave(time.Millisecond)},
		{"client leaves at once", "hold", 2 * requestsOfAKind, "", leave(0)},
		{"answered by a placeholder", "placeholder", 0, "", func(c net.Conn) { answered(t, c, http.StatusServiceUnavailable, "soon") }},
		{"answered by a waiting page", "page", 0, "Accept: text/html\r\n", func(c net.Conn) { answered(t, c, http.StatusServiceUnavailable, "<title>") }},
	} {
		var took []time.Duration
		missed := 0
		for n := range requestsOfAKind {
			<-time.After(rand.N(20 * time.Millisecond)) // at no particular moment of anybody's clock
			route := role.RouteName(kind.group, kind.first+n)
			c := connect(t, interceptors[n%len(interceptors)])
			begun := time.Now()
			ask(t, c, route, kind.headers)
			kind.then(c)
			active, ok := keda.active(route)
			if !ok {
				missed++
				continue
			}
			if active.Before(begun) {
				t.Fatalf("%s: KEDA received a wake before any request", route)
			}
			took = append(took, active.Sub(begun))
		}
		if missed > 0 {
			t.Errorf("%s: %d of %d missed", kind.name, missed, requestsOfAKind)
			continue
		}
		slices.Sort(took)
		median, p95, worst := took[len(took)/2], took[len(took)*95/100], took[len(took)-1]
		t.Logf("first byte → active, %-26s median %6.2f ms, p95 %6.2f ms, worst %6.2f ms, missed %d of %d",
			kind.name+":", ms(median), ms(p95), ms(worst), missed, requestsOfAKind)
		if median > most {
			t.Errorf("%s: median %v, p95 %v", kind.name, median, p95)
		}
	}
	keda.checkWarm(t, warmAt)
}

// checkWarm checks that no warm route was missed. The tests of the scaler check that it sends five
// a second, in fake time.
func (k *listener) checkWarm(t *testing.T, from time.Time) {
	t.Helper()
	var told []time.Duration
	for n := range warmRoutes {
		// The last one waits for its turn.
		for deadline := time.Now().Add(2 * giveUp); ; {
			at, ok := k.active(role.RouteName("warm", n))
			if ok {
				told = append(told, at.Sub(from))
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("warm route %d was missed", n)
			}
		}
	}
	slices.Sort(told)
	t.Logf("first byte → active, routes that are awake: the last of %d after %.1f s", warmRoutes, told[len(told)-1].Seconds())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// listener is KEDA's side of the scaler: a stream for each route, all on one
// connection, each read by a loop that does nothing else.
type listener struct{ actives map[string]chan time.Time }

// connectKEDA opens the streams, once the scaler is ready.
func connectKEDA(t *testing.T, scaler string) *listener {
	t.Helper()
	connection, err := grpc.NewClient(scaler, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin":{}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = connection.Close()
	})
	health, err := healthv1.NewHealthClient(connection).Watch(ctx, &healthv1.HealthCheckRequest{Service: scalerapp.HealthReadiness}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	for status := healthv1.HealthCheckResponse_UNKNOWN; status != healthv1.HealthCheckResponse_SERVING; {
		response, err := health.Recv()
		if err != nil {
			t.Fatal(err)
		}
		status = response.GetStatus()
	}
	client := pb.NewExternalScalerClient(connection)
	k := &listener{actives: make(map[string]chan time.Time)}
	for name := range routeNames() {
		ref := &pb.ScaledObjectRef{Name: name, Namespace: "default", ScalerMetadata: map[string]string{
			"scalerAddress": scaler, api.TriggerInterceptorRoute: name,
		}}
		stream, err := client.StreamIsActive(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		// This is a whole round trip on the same connection: the scaler has the stream by then.
		if active, err := client.IsActive(ctx, ref); err != nil || active.GetResult() {
			t.Fatalf("%s is active (%v)", name, err)
		}
		actives := make(chan time.Time, 100)
		k.actives[name] = actives
		running.Go(func() {
			for {
				response, err := stream.Recv()
				if err != nil {
					return
				}
				if response.GetResult() {
					actives <- time.Now()
				}
			}
		})
	}
	return k
}

// active returns when the scaler reported to KEDA that a route is wanted.
func (k *listener) active(route string) (time.Time, bool) {
	select {
	case at := <-k.actives[route]:
		return at, true
	case <-time.After(giveUp):
		return time.Time{}, false
	}
}

// connect connects a client, which the end of the test disconnects.
func connect(t *testing.T, p *role.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Proxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a request.
func ask(t *testing.T, c net.Conn, host, headers string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, headers); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, p *role.Server, host string) net.Conn {
	t.Helper()
	c := connect(t, p)
	ask(t, c, host, "")
	return c
}

// answered checks the answer, and leaves.
func answered(t *testing.T, c net.Conn, status int, text string) {
	t.Helper()
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(giveUp))
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || !strings.Contains(string(body), text) {
		t.Fatalf("answered %d %.100q (%v)", response.StatusCode, body, err)
	}
}
