package telemetry

import (
	"context"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceOptions configures Traces.
type TraceOptions struct {
	// Protocol by which spans leave: ProtocolConsole, ProtocolHTTP or ProtocolGRPC.
	Protocol string
	// Console gets the spans of ProtocolConsole.
	Console io.Writer
	// Component is the name of the service if the environment gives none.
	Component string
	// Log for sends that fail.
	Log logr.Logger
}

// Traces are the spans of one process. Whoever ends a span never waits: a
// bounded number stands in line to be sent, and the rest is dropped.
type Traces struct {
	provider trace.TracerProvider
	shutdown func(context.Context) error
}

// NewTraces returns the process's traces. Which requests are sampled is what
// OTEL_TRACES_SAMPLER says.
func NewTraces(o TraceOptions) (*Traces, error) {
	to, err := spanExporter(o)
	if err != nil {
		return nil, fmt.Errorf("creating the trace exporter: %w", err)
	}
	sends := newSends("traces", o.Log)
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(spanSender{to, sends}),
		sdk.WithResource(describe(o.Component, o.Log)),
	)
	return &Traces{provider: provider, shutdown: bounded(provider.Shutdown, sends.abandon)}, nil
}

// spanExporter sends to the collector that the environment names, or writes.
func spanExporter(o TraceOptions) (sdk.SpanExporter, error) {
	switch o.Protocol {
	case ProtocolGRPC:
		return otlptrace.New(context.Background(), otlptracegrpc.NewClient())
	case ProtocolHTTP:
		return otlptrace.New(context.Background(), otlptracehttp.NewClient())
	}
	return stdouttrace.New(stdouttrace.WithWriter(o.Console))
}

// Provider makes tracers.
func (t *Traces) Provider() trace.TracerProvider { return t.provider }

// Shutdown sends the queued spans, and ends tracing. What cannot be sent before ctx ends is lost.
func (t *Traces) Shutdown(ctx context.Context) error {
	if err := t.shutdown(ctx); err != nil {
		return fmt.Errorf("shutting down traces: %w", err)
	}
	return nil
}

// spanSender is an exporter whose sends can be abandoned.
type spanSender struct {
	sdk.SpanExporter
	sends *sends
}

// ExportSpans sends.
func (s spanSender) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	s.sends.do(ctx, func(ctx context.Context) error { return s.SpanExporter.ExportSpans(ctx, spans) })
	return nil
}
