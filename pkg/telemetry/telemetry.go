// Package telemetry provides the OpenTelemetry meters of a binary and serves
// what they measured to Prometheus. It must not know what is measured: every
// component has its own instruments.
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
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Options configures Metrics.
type Options struct {
	// Prometheus measures; false makes every instrument free of cost and effect.
	Prometheus bool
	// Log for scrapes that fail.
	Log logr.Logger
}

// Metrics are the measurements of one process.
type Metrics struct {
	provider metric.MeterProvider
	handler  http.Handler
	shutdown func(context.Context) error
}

// NewMetrics returns the process's metrics, with those of the Go runtime and
// the process itself.
func NewMetrics(o Options) (*Metrics, error) {
	if !o.Prometheus {
		return &Metrics{
			provider: noop.NewMeterProvider(),
			handler:  http.NotFoundHandler(),
			shutdown: func(context.Context) error { return nil },
		}, nil
	}
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
		return nil, fmt.Errorf("making the Prometheus exporter: %w", err)
	}
	provider := sdk.NewMeterProvider(
		sdk.WithReader(reader),
		// The SDK's own limit folds what comes after 2,000 series of an
		// instrument into one, silently: with a series per route, code and method
		// that is a small cluster. Our labels are bounded by the routes that
		// exist, so there is no limit.
		sdk.WithCardinalityLimit(0),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{o.Log},
		// One broken collector must not hide the rest.
		ErrorHandling: promhttp.ContinueOnError,
	}))
	return &Metrics{provider: provider, handler: mux, shutdown: provider.Shutdown}, nil
}

// Provider makes meters.
func (m *Metrics) Provider() metric.MeterProvider { return m.provider }

// Handler serves /metrics and nothing else.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Shutdown ends measuring.
func (m *Metrics) Shutdown(ctx context.Context) error {
	if err := m.shutdown(ctx); err != nil {
		return fmt.Errorf("shutting metrics down: %w", err)
	}
	return nil
}

// scrapeLog is promhttp's error log.
type scrapeLog struct{ to logr.Logger }

// Println logs what went wrong.
func (l scrapeLog) Println(v ...any) {
	l.to.Info("collecting metrics failed", "reason", fmt.Sprint(v...))
}
