// Package config is the environment of the data plane: every variable that the
// interceptor reads, its default, and what is wrong with a value. It must not
// know what the settings are used for, and it reads nothing but what it is given.
package config

import (
	"errors"
	"fmt"
	"time"
)

// Config is the settings of one interceptor, every default applied.
type Config struct {
	// ProxyPort and AdminPort are TCP ports; 0 is one that the system picks.
	ProxyPort, AdminPort int
	// WatchNamespace limits the interceptor to one namespace; empty is all.
	WatchNamespace string
	// ResyncPeriod of the informers.
	ResyncPeriod time.Duration
	// LogRequests writes an access log in the Combined Log Format.
	LogRequests bool
	// DirectPodRouting dials a ready pod address instead of the Service name.
	DirectPodRouting bool
	// ShutdownDelay is how long to serve on after SIGTERM while not ready.
	ShutdownDelay time.Duration
	// DrainTimeout bounds the wait for what is in flight; 0 is no bound.
	DrainTimeout time.Duration
	// ProfilingAddress serves pprof; empty is off.
	ProfilingAddress string

	// ColdStart is what happens while a target sleeps.
	ColdStart ColdStart
	// Timeouts that routes without their own get.
	Timeouts Timeouts
	// Backends is how targets are connected to.
	Backends Backends
	// TLS of the proxy and towards targets.
	TLS TLS
	// Telemetry is what is measured and where it goes.
	Telemetry Telemetry

	// Warnings are for the log: deprecated names in use, settings without effect.
	Warnings []string
}

// ColdStart is what happens while a target sleeps.
type ColdStart struct {
	// Header sets X-KEDA-HTTP-Cold-Start on responses.
	Header bool
	// MaxPendingRequests caps the held requests of a route without a cap of its
	// own; 0 is no cap.
	MaxPendingRequests int
	// ActivationLease of routes without their own; 0 is the readiness timeout if
	// there is one, else 10 minutes.
	ActivationLease time.Duration
	// MaxBodyBytes bounds the body that is read to tell what a request asks for.
	MaxBodyBytes int64
	// MaxBufferedBytes bounds all bodies that are buffered at a time; 0 is a
	// quarter of the memory limit, see BufferedBytes.
	MaxBufferedBytes int64
}

// Timeouts of one request. 0 is no bound.
type Timeouts struct {
	// Readiness bounds the wait for an endpoint.
	Readiness time.Duration
	// Request bounds everything up to the first byte of the response's body.
	Request time.Duration
	// ResponseHeader bounds the wait for the upstream's response header.
	ResponseHeader time.Duration
}

// Backends is how targets are connected to.
type Backends struct {
	// ConnectTimeout bounds one attempt to dial; 0 is no bound.
	ConnectTimeout time.Duration
	// MaxIdleConns is the number of idle connections kept; 0 is no limit.
	MaxIdleConns int
	// MaxIdleConnsPerHost is the number of idle connections kept for one address.
	MaxIdleConnsPerHost int
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

// Load reads the environment through lookup, which is os.LookupEnv or a map of
// a test. A variable that is set to nothing counts as not set, as charts write
// values that nobody filled in. The error says all that is wrong, a line each.
func Load(lookup func(name string) (value string, ok bool)) (Config, error) {
	e := &environment{lookup: lookup}
	c := read(e)
	check(e, &c)
	c.Warnings = e.warnings
	if len(e.errors) > 0 {
		return Config{}, fmt.Errorf("reading the environment:\n%w", errors.Join(e.errors...))
	}
	return c, nil
}

// read is the table of the environment: which variable sets what, and its default.
func read(e *environment) Config {
	return Config{
		ProxyPort:        e.port(EnvProxyPort, required),
		AdminPort:        e.port(EnvAdminPort, required),
		WatchNamespace:   e.text(EnvWatchNamespace, ""),
		ResyncPeriod:     e.duration(EnvResyncPeriod, "60m"),
		LogRequests:      e.flag(EnvLogRequests, "false"),
		DirectPodRouting: e.flag(EnvDirectPodRouting, "true"),
		ShutdownDelay:    e.duration(EnvShutdownDelay, "5s"),
		DrainTimeout:     e.duration(EnvDrainTimeout, "30s"),
		ProfilingAddress: e.text(EnvProfilingAddress, ""),
		ColdStart: ColdStart{
			Header:             e.flag(EnvColdStartHeader, "true"),
			MaxPendingRequests: e.number(EnvMaxPendingRequests, "0"),
			ActivationLease:    e.duration(EnvActivationLease, "0s"),
			MaxBodyBytes:       e.bytes(EnvMaxBodyBytes, "16777216"),
			MaxBufferedBytes:   e.bytes(EnvMaxBufferedBytes, "0"),
		},
		Timeouts: Timeouts{
			Readiness:      e.duration(e.deprecatedWins(EnvReadinessTimeout, EnvOldReadinessTimeout), "0s"),
			Request:        e.duration(EnvRequestTimeout, "0s"),
			ResponseHeader: e.duration(e.deprecatedWins(EnvResponseHeaderTimeout, EnvOldResponseHeaderTimeout), "300s"),
		},
		Backends: Backends{
			ConnectTimeout:      e.duration(EnvConnectTimeout, "500ms"),
			MaxIdleConns:        e.number(EnvMaxIdleConns, "1000"),
			MaxIdleConnsPerHost: e.number(EnvMaxIdleConnsPerHost, "200"),
		},
		TLS: TLS{
			Enabled:        e.flag(EnvProxyTLSEnabled, "false"),
			Port:           e.port(EnvProxyTLSPort, "8443"),
			CertPath:       e.text(EnvProxyTLSCertPath, "/certs/tls.crt"),
			KeyPath:        e.text(EnvProxyTLSKeyPath, "/certs/tls.key"),
			CertStorePaths: e.list(EnvProxyTLSCertStorePaths),
			MinVersion:     e.tlsVersion(e.deprecated(EnvTLSMinVersion, EnvOldTLSMinVersion)),
			MaxVersion:     e.tlsVersion(e.deprecated(EnvTLSMaxVersion, EnvOldTLSMaxVersion)),
			CipherSuites:   e.cipherSuites(e.deprecated(EnvTLSCipherSuites, EnvOldTLSCipherSuites)),
			Curves:         e.curves(e.deprecated(EnvTLSCurvePreferences, EnvOldTLSCurvePreferences)),
			SkipVerify:     e.flag(e.deprecated(EnvTLSSkipVerify, EnvOldTLSSkipVerify), "false"),
			CADirs:         e.list(EnvTLSCADirs),
		},
		Telemetry: Telemetry{
			Prometheus:     e.flag(EnvPrometheusEnabled, "true"),
			PrometheusPort: e.port(EnvPrometheusPort, "2223"),
			OTLPMetrics:    e.flag(EnvOTLPMetricsEnabled, "false"),
			Traces:         e.flag(EnvTracesEnabled, "false"),
			TracesProtocol: e.oneOf(EnvTracesProtocol, "console", "http/protobuf", "grpc"),
		},
	}
}

// check finds what no single variable can be blamed for.
func check(e *environment, c *Config) {
	if !c.TLS.Enabled {
		c.TLS.Port = 0
	}
	if !c.Telemetry.Prometheus {
		c.Telemetry.PrometheusPort = 0
	}
	for _, off := range []struct {
		name string
		set  bool
	}{{EnvOTLPMetricsEnabled, c.Telemetry.OTLPMetrics}, {EnvTracesEnabled, c.Telemetry.Traces}} {
		if off.set {
			e.warnings = append(e.warnings, off.name+" has no effect yet: only Prometheus metrics are exported")
		}
	}
	owners := make(map[int]string)
	for _, p := range []struct {
		name string
		port int
	}{
		{EnvProxyPort, c.ProxyPort},
		{EnvAdminPort, c.AdminPort},
		{EnvProxyTLSPort, c.TLS.Port},
		{EnvPrometheusPort, c.Telemetry.PrometheusPort},
	} {
		if p.port == 0 {
			continue
		}
		if owner, taken := owners[p.port]; taken {
			e.fail(p.name, "port %d is already taken by %s", p.port, owner)
		}
		owners[p.port] = p.name
	}
	if c.TLS.MinVersion != 0 && c.TLS.MaxVersion != 0 && c.TLS.MinVersion > c.TLS.MaxVersion {
		e.fail(EnvTLSMinVersion, "must not be above %s", EnvTLSMaxVersion)
	}
}
