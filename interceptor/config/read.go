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
		ListenAddress:    environment.Parse(r, environment.Variable{Name: EnvListenAddress, Type: "IP address", Description: "IP address that all ports but that of the profiles are on; empty is every address."}, ipAddress),
		ProxyPort:        r.ListenPort(EnvProxyPort, "", "TCP port that clients connect to; 0 lets the system pick one.", environment.Required("8080")),
		AdminPort:        r.ListenPort(EnvAdminPort, "", "TCP port of /livez, /readyz and /queue; 0 lets the system pick one.", environment.Required("9090")),
		WatchNamespace:   r.Namespace(EnvWatchNamespace, "The only namespace whose routes are served; empty is all."),
		ResyncPeriod:     r.Duration(EnvResyncPeriod, "60m", "Time between two looks at all cached objects, changed or not; 0s is off."),
		LogRequests:      r.Flag(EnvLogRequests, "false", "Write an access log to the standard output, in the Combined Log Format."),
		DirectPodRouting: r.Flag(EnvDirectPodRouting, "true", "Connect to a ready pod's address; false connects to the Service by its name."),
		ShutdownDelay:    r.Duration(EnvShutdownDelay, "5s", "How long to serve on after SIGTERM while not ready any more, so that load balancers take notice; 0s is no delay."),
		DrainTimeout:     r.Duration(EnvDrainTimeout, "30s", "How long requests in flight may take to end after the delay before they are cut; 0s is no bound."),
		ProfilingAddress: r.Address(EnvProfilingAddress, "Address that serves Go's profiles at /debug/pprof/; empty is off."),
		Routes:           route.ReadSettings(r),
		Clients: Clients{
			MaxConnections:  r.Number(EnvMaxConnections, "0", "Most connections of clients that are open at a time. For another one an idle one is closed, else the newest request that waits is ended with 503. Four fifths as many HTTP/2 streams are served at a time; as many more wait for their turn, for 10s at most. 0 is one for each 64 KiB of the memory limit."),
			MaxHeaderBytes:  r.Bytes(EnvMaxRequestHeaderBytes, "65536", "Largest head of a request, in bytes; a longer one is answered with 431; at least 4096."),
			MaxHeaderFields: r.Number(EnvMaxRequestHeaderFields, "200", "Most fields in the head of a request; more are answered with 431; at least 10."),
			TrustedProxies:  environment.ParseList(r, environment.Variable{Name: EnvTrustedProxies, Type: "list of networks", Description: "Networks of the proxies in front of the interceptor, such as 10.0.0.0/8,2001:db8::/32. For clientCIDRs of rules, the client of their requests is the rightmost address of X-Forwarded-For that is in none of them; what is forwarded does not change. Empty trusts none."}, route.ParseProxy),
			DropUnderscores: r.Flag(EnvDropUnderscoreHeaders, "false", "Drop every field of a request whose name has an underscore; false drops those only that stand for a field which the interceptor sets or which frames the message."),
		},
		ColdStart: ColdStart{
			Header:             r.Flag(EnvColdStartHeader, "true", "Set X-KEDA-HTTP-Cold-Start: true or false on responses."),
			MaxPendingRequests: r.Number(EnvMaxPendingRequests, "0", "Most requests that are held at a time for one route that sets no cap itself, in each interceptor; 0 is no cap."),
			ActivationLease:    r.Duration(EnvActivationLease, "0s", "How long a cold request asks for its target, even if its client was answered or left; 0s is the readiness timeout if there is one, else 10m."),
			MaxBodyBytes:       r.Bytes(EnvMaxBodyBytes, "16777216", "Largest request body, in bytes, that is read to tell whether a cold request is streaming; a larger one is held without a stream."),
			MaxBufferedBytes:   r.Bytes(EnvMaxBufferedBytes, "0", "Memory of everything that waits at a time, in bytes: requests, their bodies, and answers that must be complete; what finds no room is answered with 503. 0 is half of what the memory limit leaves above the idle process."),
		},
		Timeouts: Timeouts{
			Readiness: r.Duration(EnvReadinessTimeout, "0s", "How long a request waits for a ready endpoint, on routes that do not say; 0s is no bound.",
				environment.DeprecatedWins(EnvOldReadinessTimeout)),
			Request: r.Duration(EnvRequestTimeout, "0s", "How long everything from the arrival of a request to the last byte of its response may take, on routes that do not say; it cuts streams and WebSockets too. 0s is no bound."),
			ResponseHeader: r.Duration(EnvResponseHeaderTimeout, "300s", "How long a backend may take to send the header of its response, on routes that do not say; 0s is no bound.",
				environment.DeprecatedWins(EnvOldResponseHeaderTimeout)),
			Upload: r.Duration(EnvUploadTimeout, "5m", "How long the body of a request may make no progress on its way to a backend that has not answered; then the request is answered with 408. Calls of gRPC have no such bound. 0s is no bound."),
		},
		Backends: Backends{
			ConnectTimeout:         r.Duration(EnvConnectTimeout, "500ms", "How long one attempt to connect to a backend may take; 0s is no bound."),
			MaxIdleConns:           r.Number(EnvMaxIdleConns, "1000", "Idle connections to backends that are kept for reuse; 0 is no limit."),
			MaxIdleConnsPerHost:    r.Number(EnvMaxIdleConnsPerHost, "200", "Idle connections that are kept for one backend address; 0 is Go's default, 2."),
			MaxResponseHeaderBytes: r.Bytes(EnvMaxResponseHeaderBytes, "262144", "Largest head of a backend's response, in bytes; a longer one is answered with 502. 0 is the default."),
		},
		TLS: TLS{
			Enabled:        r.Flag(EnvProxyTLSEnabled, "false", "Serve TLS on a port of its own beside the plain one; what comes in by TLS goes on to backends by TLS, unless their Service port has appProtocol http."),
			Port:           r.ListenPort(EnvProxyTLSPort, "8443", "TCP port that clients connect to by TLS; 0 lets the system pick one."),
			CertPath:       r.Text(EnvProxyTLSCertPath, "/certs/tls.crt", "File of the default certificate (PEM); read again when it changes. With a certificate store it need not exist."),
			KeyPath:        r.Text(EnvProxyTLSKeyPath, "/certs/tls.key", "File of the default certificate's private key (PEM)."),
			CertStorePaths: r.List(EnvProxyTLSCertStorePaths, "Folders of further certificates, picked by the name that a client asks for (SNI): pairs x.crt and x.key, or x.pem and x-key.pem."),
			MinVersion: environment.Parse(r, environment.Variable{Name: EnvTLSMinVersion, Type: "1.2, 1.3, TLS12, TLS13", Description: "Lowest version of TLS, towards clients and backends; empty is Go's default."},
				tlsVersion, environment.DeprecatedWins(EnvOldTLSMinVersion)),
			MaxVersion: environment.Parse(r, environment.Variable{Name: EnvTLSMaxVersion, Type: "1.2, 1.3, TLS12, TLS13", Description: "Highest version of TLS, towards clients and backends; empty is Go's default."},
				tlsVersion, environment.DeprecatedWins(EnvOldTLSMaxVersion)),
			CipherSuites: environment.ParseList(r, environment.Variable{Name: EnvTLSCipherSuites, Type: "list", Description: "Cipher suites up to TLS 1.2, as Go names them, for example TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; empty is Go's default."},
				cipherSuite, environment.DeprecatedWins(EnvOldTLSCipherSuites)),
			Curves: environment.ParseList(r, environment.Variable{Name: EnvTLSCurvePreferences, Type: "list", Description: "Key exchanges of TLS: X25519MLKEM768, X25519, P256, P384, P521; empty is Go's default."},
				curve, environment.DeprecatedWins(EnvOldTLSCurvePreferences)),
			SkipVerify: r.Flag(EnvTLSSkipVerify, "false", "Accept any certificate of a backend.", environment.DeprecatedWins(EnvOldTLSSkipVerify)),
			CADirs:     r.List(EnvTLSCADirs, "Folders of CA certificates (PEM) that backends' certificates may be signed by, beside the system's."),
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
