// Package telemetry provides the OpenTelemetry meters and tracers of a binary, serves metrics to
// Prometheus, and sends metrics and spans to a collector. It must not know what is measured or
// traced: every component defines its instruments and spans.
//
// A collector is not part of the system. Whether it answers, hangs or is missing makes no
// difference to a request, and little to the end of the process.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/trace"
)

// Telemetry is all of a process.
type Telemetry struct {
	*Metrics
	traces *Traces
}

// New starts what the settings ask for.
func New(s Settings, log logr.Logger) (*Telemetry, error) {
	o := Options{Prometheus: s.Prometheus, Exemplars: s.Traces, Component: s.Component, Log: log}
	if s.OTLPMetrics {
		o.OTLP = s.MetricsProtocol
	}
	metrics, err := NewMetrics(o)
	if err != nil {
		return nil, err
	}
	if !s.Traces {
		return &Telemetry{Metrics: metrics}, nil
	}
	traces, err := NewTraces(TraceOptions{Protocol: s.TracesProtocol, Console: os.Stdout, Component: s.Component, Log: log})
	if err != nil {
		return nil, errors.Join(err, metrics.Shutdown(context.Background()))
	}
	return &Telemetry{Metrics: metrics, traces: traces}, nil
}

// Traces returns the tracer provider; nil when traces are off, so that no one pays for unused
// spans.
func (t *Telemetry) Traces() trace.TracerProvider {
	if t.traces == nil {
		return nil
	}
	return t.traces.Provider()
}

// Shutdown sends the rest of both and ends them; what cannot be sent before ctx ends is lost.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.traces == nil {
		return t.Metrics.Shutdown(ctx)
	}
	// Each may take all of the time.
	spans := make(chan error, 1)
	go func() { spans <- t.traces.Shutdown(ctx) }()
	if err := errors.Join(t.Metrics.Shutdown(ctx), <-spans); err != nil {
		return fmt.Errorf("flushing telemetry: %w", err)
	}
	return nil
}
