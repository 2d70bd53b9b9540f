package telemetry

import (
	"slices"
	"strings"

	"github.com/kedacore/http-add-on/pkg/environment"
)

// The names are a frozen contract (0.16), beside the standard OTEL_* variables.
const (
	EnvPrometheusEnabled  = "OTEL_PROM_EXPORTER_ENABLED"
	EnvPrometheusPort     = "OTEL_PROM_EXPORTER_PORT"
	EnvOTLPMetricsEnabled = "OTEL_EXPORTER_OTLP_METRICS_ENABLED"
	EnvTracesEnabled      = "OTEL_EXPORTER_OTLP_TRACES_ENABLED"
	EnvTracesProtocol     = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	EnvMetricsProtocol    = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"
	EnvProtocol           = "OTEL_EXPORTER_OTLP_PROTOCOL"
)

// What can be set as a protocol.
const (
	ProtocolConsole = "console"
	ProtocolHTTP    = "http/protobuf"
	ProtocolGRPC    = "grpc"
)

// Settings select what to measure and where to send it. The SDK itself reads from the standard
// OTEL_* variables how to reach a collector.
type Settings struct {
	// Component is the name of the service if the environment gives none.
	Component string
	// Prometheus serves /metrics on PrometheusPort.
	Prometheus bool
	// PrometheusPort is a TCP port; 0 is one that the system picks.
	PrometheusPort int
	// OTLPMetrics sends metrics to a collector, by MetricsProtocol, which is
	// ProtocolHTTP or ProtocolGRPC.
	OTLPMetrics     bool
	MetricsProtocol string
	// Traces are recorded and sent, by TracesProtocol, which may be
	// ProtocolConsole too.
	Traces         bool
	TracesProtocol string
}

// ReadSettings reads the variables of a component's telemetry.
func ReadSettings(r *environment.Reader, component string) Settings {
	s := Settings{
		Component:      component,
		Prometheus:     r.Flag(EnvPrometheusEnabled, "true", "Serve Prometheus metrics at /metrics on a separate port."),
		PrometheusPort: r.ListenPort(EnvPrometheusPort, "2223", "TCP port of /metrics; 0 lets the system choose one."),
		OTLPMetrics:    r.Flag(EnvOTLPMetricsEnabled, "false", "Send metrics to an OpenTelemetry collector, in addition to Prometheus or instead of it."),
		Traces:         r.Flag(EnvTracesEnabled, "false", "Record traces and send them; when off, trace headers of clients are passed on untouched."),
	}
	protocol := func(name, fallback, description string, known []string) string {
		v := environment.Variable{Name: name, Type: strings.Join(known, ", "), Default: fallback, Description: description}
		return environment.Parse(r, v, func(value string) (string, error) { return value, nil })
	}
	// A platform may inject the standard variables into every pod, with values that we do not
	// support. That matters only for a signal that we send.
	check := func(used bool, name, value string, known []string) {
		if used && !slices.Contains(known, value) {
			r.Fail(name, "%q is not one of %s", value, strings.Join(known, ", "))
		}
	}
	traces, metrics := []string{ProtocolConsole, ProtocolHTTP, ProtocolGRPC}, []string{ProtocolHTTP, ProtocolGRPC}
	s.TracesProtocol = protocol(EnvTracesProtocol, ProtocolConsole, "How traces leave: console writes them to the standard output, for debugging; the others send OTLP.", traces)
	check(s.Traces, EnvTracesProtocol, s.TracesProtocol, traces)
	ofAll := protocol(EnvProtocol, ProtocolHTTP, "How metrics are sent if "+EnvMetricsProtocol+" does not say; traces have a default of their own.", metrics)
	s.MetricsProtocol = protocol(EnvMetricsProtocol, "", "How metrics are sent; empty is what "+EnvProtocol+" says.", metrics)
	if s.MetricsProtocol != "" {
		check(s.OTLPMetrics, EnvMetricsProtocol, s.MetricsProtocol, metrics)
	} else {
		s.MetricsProtocol = ofAll
		check(s.OTLPMetrics, EnvProtocol, ofAll, metrics)
	}
	for _, v := range [...]environment.Variable{
		{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Type: "URL", Default: "https://localhost:4318",
			Description: "Address of the collector, port 4317 by default for gRPC; http:// sends without TLS. Also per signal: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT."},
		{Name: "OTEL_EXPORTER_OTLP_HEADERS", Type: "list of key=value",
			Description: "Headers for the collector, for example an API key; also per signal."},
		{Name: "OTEL_EXPORTER_OTLP_TIMEOUT", Type: "milliseconds", Default: "10000",
			Description: "How long one attempt to send may take; also per signal."},
		{Name: "OTEL_METRIC_EXPORT_INTERVAL", Type: "milliseconds", Default: "60000",
			Description: "Time between two sends of metrics to the collector."},
		{Name: "OTEL_SERVICE_NAME", Type: "text", Default: component,
			Description: "Name of this service in traces and metrics that are sent."},
		{Name: "OTEL_RESOURCE_ATTRIBUTES", Type: "list of key=value",
			Description: "What else describes this process in traces and metrics that are sent, for example k8s.pod.name=…."},
		{Name: "OTEL_TRACES_SAMPLER", Type: "text", Default: "parentbased_always_on",
			Description: "Which requests are traced: always_on, always_off, traceidratio, or one of these with parentbased_ before it, which follows the decision of the client."},
		{Name: "OTEL_TRACES_SAMPLER_ARG", Type: "number", Default: "1.0",
			Description: "Share of the requests that are traced by traceidratio, from 0 to 1."},
	} {
		r.Mention(v)
	}
	return s
}
