package config

import (
	"fmt"
	"net/netip"

	"github.com/kedacore/http-add-on/pkg/environment"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// read is the table of the environment: which variable sets what, its default,
// and what the reference page says of it.
func read(r *environment.Reader) Config {
	return Config{
		ListenAddress:    environment.Parse(r, environment.Variable{Name: EnvListenAddress, Type: "IP address", Description: "IP address of all ports except that of the profiles; empty means every address."}, ipAddress),
		ProxyPort:        r.ListenPort(EnvProxyPort, "", "TCP port that clients connect to; 0 lets the system choose one.", environment.Required("8080")),
		AdminPort:        r.ListenPort(EnvAdminPort, "", "TCP port of /livez, /readyz and /queue; 0 lets the system choose one.", environment.Required("9090")),
		WatchNamespace:   r.Namespace(EnvWatchNamespace, "The only namespace whose routes are served; empty means all."),
		ResyncPeriod:     r.Duration(EnvResyncPeriod, "60m", "Time between two passes over all cached objects, changed or not; 0s disables them."),
		LogRequests:      r.Flag(EnvLogRequests, "false", "Write an access log to the standard output, in the Combined Log Format."),
		DirectPodRouting: r.Flag(EnvDirectPodRouting, "true", "Connect to a ready pod's address; false connects to the Service by its name."),
		ShutdownDelay:    r.Duration(EnvShutdownDelay, "5s", "How long to keep serving after SIGTERM while not ready, so that load balancers take notice; 0s means no delay."),
		DrainTimeout:     r.Duration(EnvDrainTimeout, "30s", "How long requests in flight may take to end after the delay before they are cut; 0s means no bound."),
		ProfilingAddress: r.Address(EnvProfilingAddress, "Address that serves Go's profiles at /debug/pprof/; empty disables them."),
		Routes:           route.ReadSettings(r),
		Clients: Clients{
			MaxConnections:  r.Number(EnvMaxConnections, "0", "Most open connections of clients. For another one, the interceptor closes an idle one, or else answers the newest waiting request with 503. It serves four fifths as many HTTP/2 streams at a time; as many more wait for their turn, for at most 10s. 0 means one for each 64 KiB of Go's memory limit, nine tenths of the container's."),
			MaxHeaderBytes:  r.Bytes(EnvMaxRequestHeaderBytes, "65536", "Largest head of a request, in bytes; a longer one gets 431; at least 4096."),
			MaxHeaderFields: r.Number(EnvMaxRequestHeaderFields, "200", "Most fields in the head of a request; more get 431; at least 10."),
			TrustedProxies:  environment.ParseList(r, environment.Variable{Name: EnvTrustedProxies, Type: "list of networks", Description: "Networks (such as 10.0.0.0/8,2001:db8::/32) of the proxies in front of the interceptor. For clientCIDRs of rules, the client of their requests is the rightmost address of X-Forwarded-For outside of these networks. The forwarded header does not change. Empty trusts none."}, route.ParseProxy),
			DropUnderscores: r.Flag(EnvDropUnderscoreHeaders, "false", "Drop every field of a request whose name has an underscore. False drops only those that imitate a field which the interceptor sets or which frames the message."),
		},
		ColdStart: ColdStart{
			Header:             r.Flag(EnvColdStartHeader, "true", "Set X-KEDA-HTTP-Cold-Start: true or false on responses."),
			MaxPendingRequests: r.Number(EnvMaxPendingRequests, "0", "Most held requests of a route that sets no cap itself, in each interceptor; 0 means no cap."),
			ActivationLease:    r.Duration(EnvActivationLease, "0s", "How long a cold request asks for its target, even if its client was answered or left. 0s means the readiness timeout if there is one, else 10m."),
			MaxBodyBytes:       r.Bytes(EnvMaxBodyBytes, "16777216", "Largest request body, in bytes, that is read to recognize a streaming request; a request with a larger one is held without a stream."),
			MaxBufferedBytes:   r.Bytes(EnvMaxBufferedBytes, "0", "Memory of everything that waits, in bytes: requests, their bodies, and answers that must be complete. A request without room gets 503. 0 means half of what the memory limit leaves above the idle process."),
		},
		Timeouts: Timeouts{
			Readiness: r.Duration(EnvReadinessTimeout, "0s", "How long a request waits for a ready endpoint, on routes that do not set it; 0s means no bound.",
				environment.DeprecatedWins(EnvOldReadinessTimeout)),
			Request: r.Duration(EnvRequestTimeout, "0s", "How long a request may take from its arrival to the last byte of its response, on routes that do not set it. It cuts streams and WebSockets too. 0s means no bound."),
			ResponseHeader: r.Duration(EnvResponseHeaderTimeout, "300s", "How long a backend may take to send the header of its response, on routes that do not set it; 0s means no bound.",
				environment.DeprecatedWins(EnvOldResponseHeaderTimeout)),
			Upload: r.Duration(EnvUploadTimeout, "5m", "How long the body of a request may make no progress on its way to a backend that has not answered. Then the request gets 408. gRPC has no such bound. 0s means no bound."),
		},
		Backends: Backends{
			ConnectTimeout:         r.Duration(EnvConnectTimeout, "500ms", "How long one attempt to connect to a backend may take; 0s means no bound."),
			MaxIdleConns:           r.Number(EnvMaxIdleConns, "1000", "Idle connections to backends that are kept for reuse; 0 means no limit."),
			MaxIdleConnsPerHost:    r.Number(EnvMaxIdleConnsPerHost, "200", "Idle connections that are kept for one backend address; 0 means Go's default, 2."),
			MaxResponseHeaderBytes: r.Bytes(EnvMaxResponseHeaderBytes, "262144", "Largest head of a backend's response, in bytes; a longer one becomes 502. 0 means the default."),
		},
		TLS: TLS{
			Enabled:        r.Flag(EnvProxyTLSEnabled, "false", "Serve TLS on a second port. Requests that arrive by TLS go on to backends by TLS, unless their Service port has appProtocol http."),
			Port:           r.ListenPort(EnvProxyTLSPort, "8443", "TCP port that clients connect to by TLS; 0 lets the system choose one."),
			CertPath:       r.Text(EnvProxyTLSCertPath, "/certs/tls.crt", "File of the default certificate (PEM); read again when it changes. With a certificate store it need not exist."),
			KeyPath:        r.Text(EnvProxyTLSKeyPath, "/certs/tls.key", "File of the default certificate's private key (PEM)."),
			CertStorePaths: r.List(EnvProxyTLSCertStorePaths, "Folders of further certificates, picked by the name that a client asks for (SNI): pairs x.crt and x.key, or x.pem and x-key.pem."),
			MinVersion: environment.Parse(r, environment.Variable{Name: EnvTLSMinVersion, Type: "1.2, 1.3, TLS12, TLS13", Description: "Lowest version of TLS, towards clients and backends; empty means Go's default."},
				tlsVersion, environment.DeprecatedWins(EnvOldTLSMinVersion)),
			MaxVersion: environment.Parse(r, environment.Variable{Name: EnvTLSMaxVersion, Type: "1.2, 1.3, TLS12, TLS13", Description: "Highest version of TLS, towards clients and backends; empty means Go's default."},
				tlsVersion, environment.DeprecatedWins(EnvOldTLSMaxVersion)),
			CipherSuites: environment.ParseList(r, environment.Variable{Name: EnvTLSCipherSuites, Type: "list", Description: "Cipher suites up to TLS 1.2, as Go names them, for example TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; empty means Go's default."},
				cipherSuite, environment.DeprecatedWins(EnvOldTLSCipherSuites)),
			Curves: environment.ParseList(r, environment.Variable{Name: EnvTLSCurvePreferences, Type: "list", Description: "Key exchanges of TLS: X25519MLKEM768, X25519, P256, P384, P521; empty means Go's default."},
				curve, environment.DeprecatedWins(EnvOldTLSCurvePreferences)),
			SkipVerify: r.Flag(EnvTLSSkipVerify, "false", "Accept any certificate of a backend.", environment.DeprecatedWins(EnvOldTLSSkipVerify)),
			CADirs:     r.List(EnvTLSCADirs, "Folders of CA certificates (PEM) to trust for backends, in addition to the system's."),
		},
		MaxEndpointSeries: r.Number(EnvMaxEndpointSeries, "1000", "Most routes for which the metric interceptor_route_ready_endpoints has a series each; with more routes it has none. 0 turns it off."),
		Telemetry:         telemetry.ReadSettings(r, serviceName),
	}
}

func ipAddress(value string) (string, error) {
	address, err := netip.ParseAddr(value)
	if err != nil {
		return "", fmt.Errorf("%q is not an IP address, for example 127.0.0.1 or ::1", value)
	}
	return address.String(), nil
}
