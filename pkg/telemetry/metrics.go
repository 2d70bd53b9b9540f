package telemetry

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Options configures Metrics. Without Prometheus and OTLP every instrument is
// free of cost and effect.
type Options struct {
	// Prometheus serves the metrics.
	Prometheus bool
	// OTLP is the protocol by which it is sent to a collector, ProtocolHTTP or
	// ProtocolGRPC; empty is off.
	OTLP string
	// Exemplars has measurements name a trace that they belong to. The room for
	// them is four fifths of the memory of a series, so it is for those who trace.
	Exemplars bool
	// Component is the name of the service if the environment gives none.
	Component string
	// Log for scrapes and sends that fail.
	Log logr.Logger
}

// Metrics are the measurements of one process.
type Metrics struct {
	provider metric.MeterProvider
	handler  http.Handler
	shutdown func(context.Context) error
}

// maxSeries is the maximum number of series per instrument. Further ones become one series,
// otel_metric_overflow. The SDK's limit of 2,000 is a small cluster, with a series per route,
// code and method. Without any limit, memory would grow for as long as routes come and go. The
// SDK never drops a series, nor does it know that a route was deleted. All that fit take some 60
// MB.
const maxSeries = 50_000

// maxScrapes is how many pages are made at a time; others get 503.
const maxScrapes = 8

// NewMetrics returns the process's metrics. Prometheus gets those of the Go
// runtime and the process itself too.
func NewMetrics(o Options) (*Metrics, error) {
	m := &Metrics{
		provider: noop.NewMeterProvider(),
		handler:  http.NotFoundHandler(),
		shutdown: func(context.Context) error { return nil },
	}
	if !o.Prometheus && o.OTLP == "" {
		return m, nil
	}
	options := []sdk.Option{sdk.WithCardinalityLimit(maxSeries)}
	if !o.Exemplars {
		options = append(options, sdk.WithExemplarFilter(exemplar.AlwaysOffFilter))
	}
	if o.Prometheus {
		reader, handler, err := scraped(o.Log)
		if err != nil {
			return nil, err
		}
		m.handler = handler
		options = append(options, sdk.WithReader(reader))
	}
	abandon := func() {}
	if o.OTLP != "" {
		to, err := metricExporter(o.OTLP)
		if err != nil {
			return nil, fmt.Errorf("creating the metrics exporter: %w", err)
		}
		sends := newSends("metrics", o.Log)
		abandon = sends.abandon
		options = append(options,
			sdk.WithReader(sdk.NewPeriodicReader(metricSender{to, sends})),
			sdk.WithResource(describe(o.Component, o.Log)))
	}
	provider := sdk.NewMeterProvider(options...)
	m.provider, m.shutdown = provider, bounded(provider.Shutdown, abandon)
	return m, nil
}

// scraped makes what Prometheus reads.
func scraped(log logr.Logger) (sdk.Reader, http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(
		exporter.WithRegisterer(registry),
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		// Scope labels on every series and the target_info series would change
		// what dashboards and alerts have matched so far.
		exporter.WithoutScopeInfo(),
		exporter.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("creating the Prometheus exporter: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log},
		// One broken collector must not hide the rest.
		ErrorHandling: promhttp.ContinueOnError,
		// A page may have megabytes, and any client that reaches the port may request it.
		MaxRequestsInFlight: maxScrapes,
	}))
	return reader, mux, nil
}

// metricExporter sends to the collector that the environment names.
func metricExporter(protocol string) (sdk.Exporter, error) {
	if protocol == ProtocolGRPC {
		return otlpmetricgrpc.New(context.Background())
	}
	return otlpmetrichttp.New(context.Background())
}

// Provider makes meters.
func (m *Metrics) Provider() metric.MeterProvider { return m.provider }

// Handler serves /metrics and nothing else.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Shutdown sends the last measurements, and ends measuring. What cannot be sent before ctx ends
// is lost.
func (m *Metrics) Shutdown(ctx context.Context) error {
	if err := m.shutdown(ctx); err != nil {
		return fmt.Errorf("shutting down metrics: %w", err)
	}
	return nil
}

// metricSender is an exporter whose sends can be abandoned.
type metricSender struct {
	sdk.Exporter
	sends *sends
}

// Export sends.
func (s metricSender) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	s.sends.do(ctx, func(ctx context.Context) error { return s.Exporter.Export(ctx, m) })
	return nil
}

// scrapeLog is promhttp's error log.
type scrapeLog struct{ to logr.Logger }

// Println logs what went wrong.
func (l scrapeLog) Println(v ...any) {
	l.to.Info("collecting metrics failed", "reason", fmt.Sprint(v...))
}
