package config

import "flag"

// Flags are the settings of the command line. Addresses are host:port.
type Flags struct {
	// LeaderElect lets one of several replicas work at a time.
	LeaderElect bool
	// ProbeAddress serves /healthz and /readyz.
	ProbeAddress string
	// ProfilingAddress serves pprof; empty is off.
	ProfilingAddress string
	// MetricsAddress serves /metrics; "0" is off.
	MetricsAddress string
	// MetricsSecure serves them by TLS.
	MetricsSecure bool
	// MetricsAuth asks the API server who may read them. It needs MetricsSecure,
	// as tokens must not be sent in the clear.
	MetricsAuth bool
	// MetricsCertDir holds tls.crt and tls.key; empty makes a certificate.
	MetricsCertDir string
}

// Bind defines the flags; their names are a contract as those of the environment.
func (f *Flags) Bind(flags *flag.FlagSet) {
	flags.BoolVar(&f.LeaderElect, "leader-elect", false, "let one of several replicas work at a time")
	flags.StringVar(&f.ProbeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.StringVar(&f.ProfilingAddress, "profiling-bind-address", "", "address of pprof; off if empty")
	flags.StringVar(&f.MetricsAddress, "metrics-bind-address", ":8443", "address of /metrics; off if 0")
	flags.BoolVar(&f.MetricsSecure, "metrics-secure", true, "serve metrics by TLS")
	flags.BoolVar(&f.MetricsAuth, "metrics-auth", true, "serve metrics only to clients that the API server lets read them; needs --metrics-secure")
	flags.StringVar(&f.MetricsCertDir, "metrics-cert-dir", "", "folder of the tls.crt and tls.key that metrics are served with; empty means a self-signed certificate")
}
