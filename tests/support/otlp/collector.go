// Package otlp is an OpenTelemetry collector for tests: it takes what a process
// sends, by HTTP and by gRPC, or hangs. It must not know who sends.
package otlp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kedacore/http-add-on/tests/support/listen"
)

// Span is a span with the attributes of the process that sent it.
type Span struct {
	*tracev1.Span
	Resource map[string]string
}

// Metric is a metric with the attributes of the process that sent it.
type Metric struct {
	*metricsv1.Metric
	Resource map[string]string
}

// Collector takes spans and metrics.
type Collector struct {
	// HTTP and GRPC are where it is: URLs for OTEL_EXPORTER_OTLP_ENDPOINT.
	HTTP, GRPC string

	hangs bool
	asked atomic.Int64
	ended chan struct{}

	mu      sync.Mutex
	spans   []Span
	metrics []Metric
}

// New starts a Collector that ends with the test.
func New(t testing.TB) *Collector { return start(t, false) }

// NewHanging starts one that takes connections and never answers.
func NewHanging(t testing.TB) *Collector { return start(t, true) }

func start(t testing.TB, hangs bool) *Collector {
	t.Helper()
	c := &Collector{hangs: hangs, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", serve(c.traces))
	mux.HandleFunc("POST /v1/metrics", serve(c.measurements))
	server := httptest.NewServer(mux)
	listener := listen.Loopback(t)
	rpc := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(rpc, traceService{c: c})
	collectormetrics.RegisterMetricsServiceServer(rpc, metricsService{c: c})
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(listener) }()
	c.HTTP, c.GRPC = server.URL, "http://"+listener.Addr().String()
	t.Cleanup(func() {
		close(c.ended)
		server.Close()
		rpc.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// Asked returns how many exports were sent to it, accepted or not.
func (c *Collector) Asked() int { return int(c.asked.Load()) }

// Spans returns the spans that were taken so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Metrics returns the metrics that were taken so far, one for each send.
func (c *Collector) Metrics() []Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Metric(nil), c.metrics...)
}

func (c *Collector) traces(ctx context.Context, r *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	if err := c.hang(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		who := Attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, Span{span, who})
			}
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

func (c *Collector) measurements(ctx context.Context, r *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	if err := c.hang(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceMetrics() {
		who := Attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				c.metrics = append(c.metrics, Metric{metric, who})
			}
		}
	}
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

// hang returns at once unless the collector hangs.
func (c *Collector) hang(ctx context.Context) error {
	c.asked.Add(1)
	if !c.hangs {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ended:
		return context.Canceled
	}
}

// message is a pointer to a request.
type message[T any] interface {
	*T
	proto.Message
}

// serve is OTLP over HTTP with protobuf.
func serve[T any, Request message[T], Response proto.Message](take func(context.Context, Request) (Response, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		request := Request(new(T))
		if err := proto.Unmarshal(body, request); err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		response, err := take(r.Context(), request)
		if err != nil {
			return
		}
		answer, err := proto.Marshal(response)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	}
}

type traceService struct {
	collectortrace.UnimplementedTraceServiceServer
	c *Collector
}

// Export takes spans by gRPC.
func (s traceService) Export(ctx context.Context, r *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	return s.c.traces(ctx, r)
}

type metricsService struct {
	collectormetrics.UnimplementedMetricsServiceServer
	c *Collector
}

// Export takes metrics by gRPC.
func (s metricsService) Export(ctx context.Context, r *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	return s.c.measurements(ctx, r)
}

// Attributes writes attributes as texts.
func Attributes(attributes []*commonv1.KeyValue) map[string]string {
	texts := make(map[string]string)
	for _, a := range attributes {
		texts[a.GetKey()] = text(a.GetValue())
	}
	return texts
}

func text(v *commonv1.AnyValue) string {
	if s, ok := v.GetValue().(*commonv1.AnyValue_StringValue); ok {
		return s.StringValue
	}
	_, value, _ := strings.Cut(strings.ReplaceAll(v.String(), " ", ""), ":")
	return value
}
