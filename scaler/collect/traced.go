package collect

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced is a transport with a span for each request. The span ends with the body of the
// response.
type traced struct {
	http.RoundTripper
	base *http.Transport
}

func newTraced(base *http.Transport, traces trace.TracerProvider) traced {
	return traced{base: base, RoundTripper: otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(traces),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithMeterProvider(noop.NewMeterProvider()), // the collector measures fetches itself
	)}
}

// CloseIdleConnections is for http.Client.
func (t traced) CloseIdleConnections() { t.base.CloseIdleConnections() }
