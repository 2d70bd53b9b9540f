package config

import (
	"crypto/tls"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

// env is an environment with the required variables and more (name, value, …).
func env(more ...string) func(string) (string, bool) {
	return settings.Lookup(append([]string{EnvProxyPort, "8080", EnvAdminPort, "9090"}, more...)...)
}

func TestNamesAndDefaultsAreFrozen(t *testing.T) {
	settings.Frozen(t, "environment.golden", Variables())
}

func TestEveryVariableIsDescribed(t *testing.T) { settings.Described(t, Variables()) }

func TestDefaults(t *testing.T) {
	got, err := Load(env())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ProxyPort: 8080, AdminPort: 9090,
		ResyncPeriod: time.Hour, DirectPodRouting: true,
		ShutdownDelay: 5 * time.Second, DrainTimeout: 30 * time.Second,
		Routes:            route.Settings{Limits: route.Limits{PerObject: 4096, PerNamespace: 65_536}},
		Clients:           Clients{MaxHeaderBytes: 64 << 10, MaxHeaderFields: 200},
		ColdStart:         ColdStart{Header: true, MaxBodyBytes: 16 << 20},
		Timeouts:          Timeouts{ResponseHeader: 300 * time.Second, Upload: 5 * time.Minute},
		Backends:          Backends{ConnectTimeout: 500 * time.Millisecond, MaxIdleConns: 1000, MaxIdleConnsPerHost: 200, MaxResponseHeaderBytes: 256 << 10},
		TLS:               TLS{CertPath: "/certs/tls.crt", KeyPath: "/certs/tls.key"},
		MaxEndpointSeries: 1000,
		Telemetry:         telemetry.Settings{Component: serviceName, Prometheus: true, PrometheusPort: 2223, MetricsProtocol: "http/protobuf", TracesProtocol: "console"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	got, err := Load(env(
		EnvWatchNamespace, "apps", EnvResyncPeriod, "1m", EnvLogRequests, "true", EnvDirectPodRouting, "false",
		EnvShutdownDelay, "0s", EnvDrainTimeout, "1h", EnvProfilingAddress, "localhost:6060",
		EnvColdStartHeader, "false", EnvMaxPendingRequests, "7", EnvActivationLease, "20m",
		EnvMaxEndpointSeries, "11", EnvListenAddress, "::1", route.EnvMaxMatchesPerObject, "9", route.EnvMaxMatchesPerNamespace, "10",
		route.EnvConfigMaps, "false", route.EnvConfigMapNamespaces, "web, apps",
		EnvMaxConnections, "8", EnvMaxRequestHeaderBytes, "9000", EnvMaxRequestHeaderFields, "10", EnvDropUnderscoreHeaders, "true",
		EnvMaxBodyBytes, "1024", EnvMaxBufferedBytes, "2048",
		EnvReadinessTimeout, "1s", EnvRequestTimeout, "2s", EnvResponseHeaderTimeout, "3s", EnvConnectTimeout, "4s", EnvUploadTimeout, "8s",
		EnvMaxIdleConns, "5", EnvMaxIdleConnsPerHost, "6", EnvMaxResponseHeaderBytes, "7",
		EnvProxyTLSEnabled, "true", EnvProxyTLSPort, "443", EnvProxyTLSCertPath, "/c", EnvProxyTLSKeyPath, "/k",
		EnvProxyTLSCertStorePaths, " /a, /b ,", EnvTLSMinVersion, "1.2", EnvTLSMaxVersion, "TLS13",
		EnvTLSCipherSuites, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", EnvTLSCurvePreferences, "X25519, P-256,CurveP384",
		EnvTLSSkipVerify, "true", EnvTLSCADirs, "/ca",
		telemetry.EnvPrometheusEnabled, "true", telemetry.EnvPrometheusPort, "9100", telemetry.EnvOTLPMetricsEnabled, "true",
		telemetry.EnvTracesEnabled, "true", telemetry.EnvTracesProtocol, "http/protobuf", telemetry.EnvMetricsProtocol, "grpc",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ListenAddress: "::1", ProxyPort: 8080, AdminPort: 9090, WatchNamespace: "apps", ResyncPeriod: time.Minute, LogRequests: true,
		DrainTimeout: time.Hour, ProfilingAddress: "localhost:6060",
		Routes:    route.Settings{Limits: route.Limits{PerObject: 9, PerNamespace: 10}, ConfigMaps: route.ConfigMaps{Off: true, Namespaces: []string{"web", "apps"}}},
		Clients:   Clients{MaxConnections: 8, MaxHeaderBytes: 9000, MaxHeaderFields: 10, DropUnderscores: true},
		ColdStart: ColdStart{MaxPendingRequests: 7, ActivationLease: 20 * time.Minute, MaxBodyBytes: 1024, MaxBufferedBytes: 2048},
		Timeouts:  Timeouts{Readiness: time.Second, Request: 2 * time.Second, ResponseHeader: 3 * time.Second, Upload: 8 * time.Second},
		Backends:  Backends{ConnectTimeout: 4 * time.Second, MaxIdleConns: 5, MaxIdleConnsPerHost: 6, MaxResponseHeaderBytes: 7},
		TLS: TLS{
			Enabled: true, Port: 443, CertPath: "/c", KeyPath: "/k", CertStorePaths: []string{"/a", "/b"},
			MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
			Curves:       []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
			SkipVerify:   true, CADirs: []string{"/ca"},
		},
		MaxEndpointSeries: 11,
		Telemetry: telemetry.Settings{
			Component: serviceName, Prometheus: true, PrometheusPort: 9100, OTLPMetrics: true, MetricsProtocol: "grpc", Traces: true, TracesProtocol: "http/protobuf",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAllErrorsAtOnceInWordsForPeople(t *testing.T) {
	_, err := Load(env(
		EnvListenAddress, "localhost", EnvProxyPort, "", EnvAdminPort, "99999", EnvLogRequests, "yes please", EnvDrainTimeout, "30",
		EnvShutdownDelay, "-5s", EnvMaxIdleConns, "-1", EnvMaxBodyBytes, "16MiB", EnvTLSMinVersion, "1.1",
		EnvTLSCipherSuites, "ROT13", EnvTLSCurvePreferences, "P224",
		telemetry.EnvTracesEnabled, "true", telemetry.EnvTracesProtocol, "carrier pigeon",
	))
	if err == nil {
		t.Fatal("no error")
	}
	want := `reading the environment:
KEDA_HTTP_LISTEN_ADDRESS: "localhost" is not an IP address, for example 127.0.0.1 or ::1
KEDA_HTTP_PROXY_PORT: must be set, for example to 8080
KEDA_HTTP_ADMIN_PORT: "99999" is not a port (0 to 65535)
KEDA_HTTP_LOG_REQUESTS: "yes please" is neither true nor false
KEDA_HTTP_SHUTDOWN_DELAY: "-5s" is negative
KEDA_HTTP_DRAIN_TIMEOUT: "30" is not a duration, for example 30s or 5m
KEDA_HTTP_COLD_START_MAX_BODY_BYTES: "16MiB" is not a number of bytes, for example 16777216
KEDA_HTTP_MAX_IDLE_CONNS: "-1" is not a whole number of 0 or more
KEDA_HTTP_TLS_MIN_VERSION: "1.1" is not one of 1.2, 1.3, TLS12, TLS13
KEDA_HTTP_TLS_CIPHER_SUITES: "ROT13" is not a cipher suite that Go supports
KEDA_HTTP_TLS_CURVE_PREFERENCES: "P224" is not a supported curve (P256, P384, P521, X25519, X25519MLKEM768)
OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "carrier pigeon" is not one of console, http/protobuf, grpc`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConnectionsFollowTheMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		reason      string
		set         int
		limit       int64
		connections int
	}{
		{"the chart's limit", 0, 64 << 20 / 10 * 9, 921},
		{"a large one", 0, 1 << 30, 16384},
		{"no limit", 0, math.MaxInt64, 0},
		{"set", 5000, 64 << 20, 5000},
		{"a limit that is too small for anything", 0, 1, 1},
	} {
		if got := (Clients{MaxConnections: test.set}).Connections(test.limit); got != test.connections {
			t.Errorf("%s: got %d, want %d", test.reason, got, test.connections)
		}
	}
}

func TestSettingsThatDoNotGoTogether(t *testing.T) {
	for _, test := range []struct {
		reason, want string
		env          []string
	}{
		{"two listeners on one port", "KEDA_HTTP_ADMIN_PORT: port 8080 is already taken by KEDA_HTTP_PROXY_PORT", []string{EnvAdminPort, "8080"}},
		{"the default port of metrics", "OTEL_PROM_EXPORTER_PORT: port 2223 is already taken by KEDA_HTTP_ADMIN_PORT", []string{EnvAdminPort, "2223"}},
		{"no metrics, no clash", "", []string{EnvAdminPort, "2223", telemetry.EnvPrometheusEnabled, "false"}},
		{"no TLS, no clash", "", []string{EnvAdminPort, "8443"}},
		{"ports that the system picks", "", []string{EnvProxyPort, "0", EnvAdminPort, "0"}},
		{"more than one namespace", `KEDA_HTTP_WATCH_NAMESPACE: "t1,t4" is not the name of one namespace; lists are not supported`, []string{EnvWatchNamespace, "t1,t4"}},
		{"a head that holds nothing", "KEDA_HTTP_MAX_REQUEST_HEADER_BYTES: must be at least 4096", []string{EnvMaxRequestHeaderBytes, "0"}},
		{"a head of no fields", "KEDA_HTTP_MAX_REQUEST_HEADER_FIELDS: must be at least 10", []string{EnvMaxRequestHeaderFields, "9"}},
		{"an empty range of versions", "KEDA_HTTP_TLS_MIN_VERSION: must not be above KEDA_HTTP_TLS_MAX_VERSION", []string{EnvTLSMinVersion, "1.3", EnvTLSMaxVersion, "1.2"}},
		{"a chart writes values that nobody filled in", "", []string{EnvDrainTimeout, "", EnvLogRequests, " ", EnvTLSMinVersion, ""}},
	} {
		_, err := Load(env(test.env...))
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "reading the environment:\n")
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.reason, got, test.want)
		}
	}
}

func TestDeprecatedNames(t *testing.T) {
	for _, test := range []struct {
		reason   string
		env      []string
		want     func(*Config)
		warnings []string
	}{
		{
			"the old readiness timeout alone", []string{EnvOldReadinessTimeout, "20s"},
			func(c *Config) { c.Timeouts.Readiness = 20 * time.Second },
			[]string{"KEDA_CONDITION_WAIT_TIMEOUT is deprecated; use KEDA_HTTP_READINESS_TIMEOUT"},
		},
		{
			"the old timeouts win", []string{EnvOldReadinessTimeout, "20s", EnvReadinessTimeout, "5s", EnvOldResponseHeaderTimeout, "7s", EnvResponseHeaderTimeout, "1s"},
			func(c *Config) { c.Timeouts.Readiness, c.Timeouts.ResponseHeader = 20*time.Second, 7*time.Second },
			[]string{
				"KEDA_CONDITION_WAIT_TIMEOUT is deprecated; it is set and wins over KEDA_HTTP_READINESS_TIMEOUT",
				"KEDA_RESPONSE_HEADER_TIMEOUT is deprecated; it is set and wins over KEDA_HTTP_RESPONSE_HEADER_TIMEOUT",
			},
		},
		{
			"the old names of TLS settings are read",
			[]string{
				EnvOldTLSMinVersion, "1.3", EnvOldTLSMaxVersion, "1.3", EnvOldTLSSkipVerify, "true",
				EnvOldTLSCipherSuites, "TLS_AES_128_GCM_SHA256", EnvOldTLSCurvePreferences, "X25519",
			},
			func(c *Config) {
				c.TLS.MinVersion, c.TLS.MaxVersion, c.TLS.SkipVerify = tls.VersionTLS13, tls.VersionTLS13, true
				c.TLS.CipherSuites, c.TLS.Curves = []uint16{tls.TLS_AES_128_GCM_SHA256}, []tls.CurveID{tls.X25519}
			},
			[]string{
				"KEDA_HTTP_PROXY_TLS_MIN_VERSION is deprecated; use KEDA_HTTP_TLS_MIN_VERSION",
				"KEDA_HTTP_PROXY_TLS_MAX_VERSION is deprecated; use KEDA_HTTP_TLS_MAX_VERSION",
				"KEDA_HTTP_PROXY_TLS_CIPHER_SUITES is deprecated; use KEDA_HTTP_TLS_CIPHER_SUITES",
				"KEDA_HTTP_PROXY_TLS_CURVE_PREFERENCES is deprecated; use KEDA_HTTP_TLS_CURVE_PREFERENCES",
				"KEDA_HTTP_PROXY_TLS_SKIP_VERIFY is deprecated; use KEDA_HTTP_TLS_SKIP_VERIFY",
			},
		},
		{
			// 0.16's chart always sets the new name of the last one.
			"the old names of TLS settings win", []string{
				EnvOldTLSMinVersion, "1.3", EnvTLSMinVersion, "1.2", EnvOldTLSMaxVersion, "1.3", EnvTLSMaxVersion, "1.2",
				EnvOldTLSCipherSuites, "TLS_AES_128_GCM_SHA256", EnvTLSCipherSuites, "TLS_AES_256_GCM_SHA384",
				EnvOldTLSCurvePreferences, "X25519", EnvTLSCurvePreferences, "P256", EnvOldTLSSkipVerify, "true", EnvTLSSkipVerify, "false",
			},
			func(c *Config) {
				c.TLS.MinVersion, c.TLS.MaxVersion, c.TLS.SkipVerify = tls.VersionTLS13, tls.VersionTLS13, true
				c.TLS.CipherSuites, c.TLS.Curves = []uint16{tls.TLS_AES_128_GCM_SHA256}, []tls.CurveID{tls.X25519}
			},
			[]string{
				"KEDA_HTTP_PROXY_TLS_MIN_VERSION is deprecated; it is set and wins over KEDA_HTTP_TLS_MIN_VERSION",
				"KEDA_HTTP_PROXY_TLS_MAX_VERSION is deprecated; it is set and wins over KEDA_HTTP_TLS_MAX_VERSION",
				"KEDA_HTTP_PROXY_TLS_CIPHER_SUITES is deprecated; it is set and wins over KEDA_HTTP_TLS_CIPHER_SUITES",
				"KEDA_HTTP_PROXY_TLS_CURVE_PREFERENCES is deprecated; it is set and wins over KEDA_HTTP_TLS_CURVE_PREFERENCES",
				"KEDA_HTTP_PROXY_TLS_SKIP_VERIFY is deprecated; it is set and wins over KEDA_HTTP_TLS_SKIP_VERIFY",
			},
		},
		{"an old name that is set to nothing", []string{EnvOldReadinessTimeout, ""}, func(*Config) {}, nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			want, err := Load(env())
			if err != nil {
				t.Fatal(err)
			}
			test.want(&want)
			want.Warnings = test.warnings
			got, err := Load(env(test.env...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorsNameTheVariableThatIsSet(t *testing.T) {
	_, err := Load(env(EnvOldReadinessTimeout, "soon"))
	if err == nil || !strings.Contains(err.Error(), EnvOldReadinessTimeout+`: "soon"`) {
		t.Errorf("got %v, want an error that names %s", err, EnvOldReadinessTimeout)
	}
}

func TestBufferedBytes(t *testing.T) {
	for _, test := range []struct {
		reason        string
		set, limit    int64
		bufferedBytes int64
	}{
		{"half of what is above the idle process", 0, 64 << 20, 19 << 20},
		{"less than that needs, an eighth", 0, 32 << 20, 4 << 20},
		{"what is set", 5, 64 << 20, 5},
		{"without a limit 2 GiB are assumed", 0, math.MaxInt64, 1011 << 20},
	} {
		if got := (ColdStart{MaxBufferedBytes: test.set}).BufferedBytes(test.limit); got != test.bufferedBytes {
			t.Errorf("%s: got %d bytes, want %d", test.reason, got, test.bufferedBytes)
		}
	}
}
