// Package config is the environment of the scaler: every variable that it reads,
// its default, and what is wrong with a value. It must not know what the settings
// are used for, and it reads nothing but what it is given.
package config

import (
	"errors"
	"fmt"
	"time"
)

// The names are a frozen contract (0.16): people set them by hand, by the chart's
// extraEnvs and by scripts.
const (
	EnvPort             = "KEDA_HTTP_SCALER_PORT"
	EnvTargetNamespace  = "KEDA_HTTP_SCALER_TARGET_ADMIN_NAMESPACE"
	EnvTargetService    = "KEDA_HTTP_SCALER_TARGET_ADMIN_SERVICE"
	EnvTargetDeployment = "KEDA_HTTP_SCALER_TARGET_ADMIN_DEPLOYMENT"
	EnvTargetPort       = "KEDA_HTTP_SCALER_TARGET_ADMIN_PORT"
	EnvResyncPeriod     = "KEDA_HTTP_SCALER_CONFIG_MAP_INFORMER_RSYNC_PERIOD"
	EnvQueueTick        = "KEDA_HTTP_QUEUE_TICK_DURATION"
	EnvStreamInterval   = "KEDA_HTTP_SCALER_STREAM_INTERVAL_MS"
	EnvProfilingAddress = "PROFILING_BIND_ADDRESS"

	EnvPrometheusEnabled  = "OTEL_PROM_EXPORTER_ENABLED"
	EnvPrometheusPort     = "OTEL_PROM_EXPORTER_PORT"
	EnvOTLPMetricsEnabled = "OTEL_EXPORTER_OTLP_METRICS_ENABLED"
	EnvTracesEnabled      = "OTEL_EXPORTER_OTLP_TRACES_ENABLED"
	EnvTracesProtocol     = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// Config is the settings of one scaler, every default applied.
type Config struct {
	// Port is the TCP port of the gRPC server; 0 is one that the system picks.
	Port int
	// Target is where the interceptors are.
	Target Target
	// ResyncPeriod of the informers.
	ResyncPeriod time.Duration
	// QueueTick is the time between two looks at an interceptor that does not
	// stream.
	QueueTick time.Duration
	// StreamInterval is the time between two "active"s of all streams together
	// that are not urgent.
	StreamInterval time.Duration
	// ProfilingAddress serves pprof; empty is off.
	ProfilingAddress string
	// Telemetry is what is measured and where it goes.
	Telemetry Telemetry
}

// Target is where the interceptors are.
type Target struct {
	// Namespace and Service of their admin ports.
	Namespace, Service string
	// Deployment that they are of; only people want to know it.
	Deployment string
	// Port is the admin port of every interceptor.
	Port int
}

// Telemetry is what is measured and where it goes.
type Telemetry struct {
	// Prometheus serves /metrics on PrometheusPort.
	Prometheus bool
	// PrometheusPort is a TCP port; 0 is one that the system picks.
	PrometheusPort int
	// OTLPMetrics sends metrics to the collector that the standard
	// OTEL_EXPORTER_OTLP_* variables name.
	OTLPMetrics bool
	// Traces are recorded and sent.
	Traces bool
	// TracesProtocol is console, http/protobuf or grpc.
	TracesProtocol string
}

// minFetchTimeout is below what a busy interceptor may need to answer.
const minFetchTimeout = 250 * time.Millisecond

// FetchTimeout bounds one look at an interceptor.
func (c *Config) FetchTimeout() time.Duration { return max(c.QueueTick, minFetchTimeout) }

// Load reads the environment through lookup, which is os.LookupEnv or a map of
// a test. A variable that is set to nothing counts as not set, as charts write
// values that nobody filled in. The error says all that is wrong, a line each.
func Load(lookup func(name string) (value string, ok bool)) (Config, error) {
	e := &environment{lookup: lookup}
	c := read(e)
	if c.Telemetry.Prometheus && c.Port != 0 && c.Port == c.Telemetry.PrometheusPort {
		e.fail(EnvPrometheusPort, "port %d is already taken by %s", c.Port, EnvPort)
	}
	if len(e.errors) > 0 {
		return Config{}, fmt.Errorf("reading the environment:\n%w", errors.Join(e.errors...))
	}
	return c, nil
}

// read is the table of variables and their defaults.
func read(e *environment) Config {
	return Config{
		Port: e.port(EnvPort, "8080"),
		Target: Target{
			Namespace:  e.word(EnvTargetNamespace, "keda"),
			Service:    e.word(EnvTargetService, "keda-add-ons-http-interceptor-admin"),
			Deployment: e.word(EnvTargetDeployment, "keda-add-ons-http-interceptor"),
			Port:       e.port(EnvTargetPort, required),
		},
		ResyncPeriod:     e.duration(EnvResyncPeriod, "60m"),
		QueueTick:        e.duration(EnvQueueTick, "500ms"),
		StreamInterval:   e.milliseconds(EnvStreamInterval, "200"),
		ProfilingAddress: e.text(EnvProfilingAddress, ""),
		Telemetry: Telemetry{
			Prometheus:     e.flag(EnvPrometheusEnabled, "true"),
			PrometheusPort: e.port(EnvPrometheusPort, "2223"),
			OTLPMetrics:    e.flag(EnvOTLPMetricsEnabled, "false"),
			Traces:         e.flag(EnvTracesEnabled, "false"),
			TracesProtocol: e.oneOf(EnvTracesProtocol, "console", "http/protobuf", "grpc"),
		},
	}
}
