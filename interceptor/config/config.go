// Package config reads the environment of the data plane: every variable of the interceptor, its
// default and its errors. It must not know how the settings are used, and it reads only what its
// caller passes in.
package config

import (
	"math"
	"net/netip"
	"time"

	"github.com/kedacore/http-add-on/pkg/environment"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// serviceName is what telemetry that is sent to a collector comes from, if the
// environment does not say.
const serviceName = "keda-http-interceptor"

// Config is the settings of one interceptor, every default applied.
type Config struct {
	// ListenAddress is the address of all ports; empty is every address.
	ListenAddress string
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
	// DrainTimeout bounds the wait for requests in flight; 0 means no bound.
	DrainTimeout time.Duration
	// ProfilingAddress serves pprof; empty is off.
	ProfilingAddress string

	// Routes is what holds for all routes, as the operator must know it.
	Routes route.Settings
	// Clients is what clients may send.
	Clients Clients
	// ColdStart is what happens while a target sleeps.
	ColdStart ColdStart
	// Timeouts that routes without their own get.
	Timeouts Timeouts
	// Backends is how targets are connected to.
	Backends Backends
	// TLS of the proxy and towards targets.
	TLS TLS
	// MaxEndpointSeries is the number of routes up to which the ready endpoints of each are
	// measured.
	MaxEndpointSeries int
	// Telemetry selects what to measure and where to send it.
	Telemetry telemetry.Settings

	// Warnings are for the log: deprecated names in use, names that nothing reads.
	Warnings []string
}

// Clients is what clients may send.
type Clients struct {
	// MaxConnections bounds the connections that are open at a time; 0 depends on the
	// memory limit, see Connections.
	MaxConnections int
	// MaxHeaderBytes bounds the head of a request.
	MaxHeaderBytes int64
	// MaxHeaderFields bounds the fields in it.
	MaxHeaderFields int
	// DropUnderscores drops every field of a request whose name has an underscore.
	DropUnderscores bool
	// TrustedProxies may name the clients of their requests to rules with clientCIDRs.
	TrustedProxies []netip.Prefix
}

// connectionMemory is the memory limit for each connection that may be open. An idle
// one takes about 25 KiB, with TLS 45 KiB.
const connectionMemory = 64 << 10

// No client sends less than these; browsers send about 20 fields.
const leastHeaderBytes, leastHeaderFields = 4 << 10, 10

// HeadMemory is how much memory the heads that are being read may take in a process with
// that Go memory limit. 0 means no bound.
func (c Clients) HeadMemory(memoryLimit int64) int64 {
	if memoryLimit == math.MaxInt64 {
		return 0
	}
	// The largest head that is allowed must find room.
	return max(memoryLimit/8, 64*c.MaxHeaderBytes)
}

// ServingMemory is how much memory the requests that are forwarded may take in a process with that Go memory limit. 0
// means no bound.
func (c Clients) ServingMemory(memoryLimit int64) int64 {
	if memoryLimit == math.MaxInt64 {
		return 0
	}
	return memoryLimit / 4
}

// Connections resolves MaxConnections for a process with that Go memory limit. 0 means
// no bound.
func (c Clients) Connections(memoryLimit int64) int {
	switch {
	case c.MaxConnections > 0:
		return c.MaxConnections
	case memoryLimit == math.MaxInt64:
		return 0
	}
	return int(max(memoryLimit/connectionMemory, 1))
}

// Streams is how many streams of HTTP/2 may be open at a time in a process with that Go
// memory limit. One whose client does not read takes more than a connection. 0 means no bound.
func (c Clients) Streams(memoryLimit int64) int {
	return (4*c.Connections(memoryLimit) + 4) / 5
}

// ColdStart is what happens while a target sleeps.
type ColdStart struct {
	// Header sets X-KEDA-HTTP-Cold-Start on responses.
	Header bool
	// MaxPendingRequests caps the held requests of a route that sets no cap; 0 means no cap.
	MaxPendingRequests int
	// ActivationLease of routes without their own; 0 is the readiness timeout if
	// there is one, else 10 minutes.
	ActivationLease time.Duration
	// MaxBodyBytes bounds the body that is read to tell what a request asks for.
	MaxBodyBytes int64
	// MaxBufferedBytes bounds the memory of everything that waits at a time; 0 depends
	// on the memory limit, see BufferedBytes.
	MaxBufferedBytes int64
}

// assumedMemory is the memory of a process without a limit: one outside Linux.
const assumedMemory = 2 << 30

// idleMemory is what a process takes that has 100 routes and nothing to do.
const idleMemory = 26 << 20

// BufferedBytes resolves MaxBufferedBytes for a process with this Go memory limit: half of what
// the limit leaves above the idle process. The other half is for requests in flight, and for
// garbage.
func (c ColdStart) BufferedBytes(memoryLimit int64) int64 {
	switch {
	case c.MaxBufferedBytes > 0:
		return c.MaxBufferedBytes
	case memoryLimit == math.MaxInt64:
		memoryLimit = assumedMemory
	}
	return max((memoryLimit-idleMemory)/2, memoryLimit/8)
}

// Timeouts of one request. 0 means no bound.
type Timeouts struct {
	// Readiness bounds the wait for an endpoint.
	Readiness time.Duration
	// Request bounds everything up to the first byte of the response's body.
	Request time.Duration
	// ResponseHeader bounds the wait for the upstream's response header.
	ResponseHeader time.Duration
	// Upload bounds how long a request body may make no progress before the response begins.
	Upload time.Duration
}

// Backends is how targets are connected to.
type Backends struct {
	// ConnectTimeout bounds one attempt to dial; 0 means no bound.
	ConnectTimeout time.Duration
	// MaxIdleConns is the number of idle connections to keep; 0 means no limit.
	MaxIdleConns int
	// MaxIdleConnsPerHost is the number of idle connections kept for one address.
	MaxIdleConnsPerHost int
	// MaxResponseHeaderBytes bounds the head of a response; 0 is 256 KiB.
	MaxResponseHeaderBytes int64
}

// Load reads the environment through lookup: os.LookupEnv, or a map in tests. The error lists all
// invalid values, one per line. environ lists the variables that are set, as os.Environ does.
// Load warns of those names in it that nothing reads.
func Load(lookup environment.Lookup, environ ...string) (Config, error) {
	r := environment.NewReader(lookup)
	c := read(r)
	r.Unread(environ, environment.Prefix, environment.OldPrefix)
	check(r, &c)
	c.Warnings = r.Warnings()
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Variables lists every variable with its default and what it is for.
func Variables() []environment.Variable {
	r := environment.NewReader(environment.None)
	read(r)
	return r.Variables()
}

// check finds what no single variable can be blamed for.
func check(r *environment.Reader, c *Config) {
	if !c.TLS.Enabled {
		c.TLS.Port = 0
	}
	if !c.Telemetry.Prometheus {
		c.Telemetry.PrometheusPort = 0
	}
	owners := make(map[int]string)
	for _, p := range []struct {
		name string
		port int
	}{
		{EnvProxyPort, c.ProxyPort},
		{EnvAdminPort, c.AdminPort},
		{EnvProxyTLSPort, c.TLS.Port},
		{telemetry.EnvPrometheusPort, c.Telemetry.PrometheusPort},
	} {
		if p.port == 0 {
			continue
		}
		if owner, taken := owners[p.port]; taken {
			r.Fail(p.name, "port %d is already taken by %s", p.port, owner)
		}
		owners[p.port] = p.name
	}
	if c.Clients.MaxHeaderBytes < leastHeaderBytes {
		r.Fail(EnvMaxRequestHeaderBytes, "must be at least %d", leastHeaderBytes)
	}
	if c.Clients.MaxHeaderFields < leastHeaderFields {
		r.Fail(EnvMaxRequestHeaderFields, "must be at least %d", leastHeaderFields)
	}
	if c.TLS.MinVersion != 0 && c.TLS.MaxVersion != 0 && c.TLS.MinVersion > c.TLS.MaxVersion {
		r.Fail(EnvTLSMinVersion, "must not be above %s", EnvTLSMaxVersion)
	}
}
