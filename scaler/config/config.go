// Package config reads the environment of the scaler: every variable, its default and its errors.
// It must not know how the settings are used, and it reads only what its caller passes in.
package config

import (
	"math"
	"time"

	"github.com/kedacore/http-add-on/pkg/environment"
	"github.com/kedacore/http-add-on/pkg/telemetry"
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
	// The scaler shares the first of these names with the interceptor.
	EnvShutdownDelay = "KEDA_HTTP_SHUTDOWN_DELAY"
	EnvMaxStreams    = "KEDA_HTTP_SCALER_MAX_STREAMS"
)

// serviceName is the service name in telemetry, unless the environment sets one.
const serviceName = "keda-http-external-scaler"

// Config is the settings of one scaler, every default applied.
type Config struct {
	// Port is the TCP port of the gRPC server; 0 lets the system choose one.
	Port int
	// Target is where the interceptors are.
	Target Target
	// ResyncPeriod of the informers.
	ResyncPeriod time.Duration
	// QueueTick is the time between two polls of an interceptor that does not stream.
	QueueTick time.Duration
	// StreamInterval is the time between two "active" messages that are not urgent, over all
	// streams.
	StreamInterval time.Duration
	// ShutdownDelay is how long to keep serving after SIGTERM.
	ShutdownDelay time.Duration
	// MaxStreams bounds the open gRPC streams; 0 derives the bound from the memory limit, see
	// Streams.
	MaxStreams int
	// ProfilingAddress serves pprof; empty is off.
	ProfilingAddress string
	// Telemetry selects what to measure and where to send it.
	Telemetry telemetry.Settings
	// Warnings are lines for the log: names of variables that nothing reads.
	Warnings []string
}

// Target is where the interceptors are.
type Target struct {
	// Namespace and Service of their admin ports.
	Namespace, Service string
	// Deployment is the interceptors' Deployment. It appears in messages only.
	Deployment string
	// Port is the admin port of every interceptor.
	Port int
}

// minFetchTimeout is what a busy interceptor may need to answer.
const minFetchTimeout = 250 * time.Millisecond

// FetchTimeout bounds one look at an interceptor.
func (c *Config) FetchTimeout() time.Duration { return max(c.QueueTick, minFetchTimeout) }

// streamMemory is the memory limit per open stream. A stream takes up to 14 KiB, and the rest is for garbage.
const streamMemory = 24 << 10

// Streams resolves MaxStreams for a process with this Go memory limit.
func (c *Config) Streams(memoryLimit int64) int {
	if c.MaxStreams > 0 {
		return c.MaxStreams
	}
	return int(max(min(memoryLimit, math.MaxInt32*streamMemory)/streamMemory, 1))
}

// Load reads the environment through lookup: os.LookupEnv, or a map in tests. The error lists all
// invalid values, one per line. environ lists the variables that are set, as os.Environ does.
// Load warns of those names in it that nothing reads.
func Load(lookup environment.Lookup, environ ...string) (Config, error) {
	r := environment.NewReader(lookup)
	c := read(r)
	r.Unread(environ, environment.Prefix, environment.OldPrefix)
	if c.Telemetry.Prometheus && c.Port != 0 && c.Port == c.Telemetry.PrometheusPort {
		r.Fail(telemetry.EnvPrometheusPort, "port %d is already taken by %s", c.Port, EnvPort)
	}
	c.Warnings = r.Warnings()
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Variables lists every variable with its default and its purpose.
func Variables() []environment.Variable {
	r := environment.NewReader(environment.None)
	read(r)
	return r.Variables()
}

// read is the table of variables: their defaults, and their texts in the reference page.
func read(r *environment.Reader) Config {
	return Config{
		Port: r.ListenPort(EnvPort, "8080", "TCP port that KEDA connects to by gRPC; the chart sets 9090. 0 lets the system choose one."),
		Target: Target{
			Namespace:  r.Text(EnvTargetNamespace, "", "Namespace of the interceptors.", environment.Required("keda")),
			Service:    r.Text(EnvTargetService, "", "Service of the interceptors' admin ports; its EndpointSlices list the interceptors.", environment.Required("keda-add-ons-http-interceptor-admin")),
			Deployment: r.Text(EnvTargetDeployment, "", "Deployment of the interceptors; only the log shows it.", environment.Required("keda-add-ons-http-interceptor")),
			Port:       r.Port(EnvTargetPort, "", "Admin port of every interceptor.", environment.Required("9090")),
		},
		ResyncPeriod:     r.Duration(EnvResyncPeriod, "60m", "Time between two passes over all cached objects, changed or not; 0s disables them."),
		QueueTick:        r.Period(EnvQueueTick, "500ms", "Time between two polls of an interceptor that does not stream its counts, and the bound of each poll, which is at least 250ms."),
		StreamInterval:   r.Milliseconds(EnvStreamInterval, "200", "Least time, in milliseconds, between two messages \"active\" to KEDA that are not urgent; a cold request's is sent at once."),
		ShutdownDelay:    r.Duration(EnvShutdownDelay, "3s", "How long to keep serving after SIGTERM while not ready, so that KEDA reaches another replica when its streams end; 0s means no delay."),
		MaxStreams:       r.Number(EnvMaxStreams, "0", "Most open gRPC streams, of which KEDA has two for each ScaledObject. KEDA polls the others, which wake up to a pollingInterval later. 0 means one for each 24 KiB of Go's memory limit, nine tenths of the container's."),
		ProfilingAddress: r.Address(EnvProfilingAddress, "Address that serves Go's profiles at /debug/pprof/; empty disables them."),
		Telemetry:        telemetry.ReadSettings(r, serviceName),
	}
}
