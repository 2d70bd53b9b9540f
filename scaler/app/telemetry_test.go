package app

import (
	"context"
	"encoding/hex"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/support/counts"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/otlp"
)

// Calls of KEDA and fetches have spans, probes do not. All spans arrive before the scaler ends.
func TestCallsAndFetchesAreTraced(t *testing.T) {
	const clientTrace, clientSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	collector := otlp.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP)
	c := counts.New(nil)
	done := make(chan struct{})
	interceptor := httptest.NewServer(queue.NewHandler(c, done))
	defer interceptor.Close()
	defer close(done)

	w := &world{interceptors: []*counts.Source{c}, synced: make(chan struct{}), sink: make(chan Sink, 1)}
	close(w.synced)
	l := listen.Loopback(t)
	a, err := New(config.Config{
		Target:    config.Target{Namespace: "keda", Service: "admin", Port: adminPort},
		QueueTick: 500 * time.Millisecond, StreamInterval: 200 * time.Millisecond,
		Telemetry: telemetry.Settings{
			Component:   "scaler",
			OTLPMetrics: true, MetricsProtocol: telemetry.ProtocolHTTP, Traces: true, TracesProtocol: telemetry.ProtocolHTTP,
		},
	}, Deps{Source: w, GRPC: l, Log: testr.New(t), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, interceptor.Listener.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	connection, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	(<-w.sink).SetRoute(interceptorRoute(1))
	<-a.collector.Ready()
	call := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	if _, err := pb.NewExternalScalerClient(connection).IsActive(call, ref(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{Service: HealthLiveness}); err != nil {
		t.Fatal(err)
	}
	_ = connection.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	spans := collector.Spans()
	var names []string
	for _, s := range spans {
		names = append(names, s.Name)
		if s.Name == "externalscaler.ExternalScaler/IsActive" {
			if hex.EncodeToString(s.GetTraceId()) != clientTrace || hex.EncodeToString(s.GetParentSpanId()) != clientSpan {
				t.Errorf("the call is not in the trace of KEDA: %v", s)
			}
		}
		if who := s.Resource["service.name"]; who != "scaler" {
			t.Errorf("sent by %q", who)
		}
	}
	slices.Sort(names)
	if want := []string{"HTTP GET", "externalscaler.ExternalScaler/IsActive"}; !slices.Equal(names, want) {
		t.Errorf("spans %q, want %q", names, want)
	}
	if !slices.ContainsFunc(collector.Metrics(), func(m otlp.Metric) bool { return m.Name == "scaler.pinger.endpoints" }) {
		t.Error("no metric has arrived")
	}
}
