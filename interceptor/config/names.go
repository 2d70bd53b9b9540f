package config

// The names are a frozen contract (0.16): people set them by hand, by the chart's
// extraEnvs and by scripts.
const (
	EnvProxyPort           = "KEDA_HTTP_PROXY_PORT"
	EnvAdminPort           = "KEDA_HTTP_ADMIN_PORT"
	EnvWatchNamespace      = "KEDA_HTTP_WATCH_NAMESPACE"
	EnvResyncPeriod        = "KEDA_HTTP_SCALER_CONFIG_MAP_INFORMER_RSYNC_PERIOD"
	EnvLogRequests         = "KEDA_HTTP_LOG_REQUESTS"
	EnvDirectPodRouting    = "KEDA_HTTP_DIRECT_POD_ROUTING"
	EnvShutdownDelay       = "KEDA_HTTP_SHUTDOWN_DELAY"
	EnvDrainTimeout        = "KEDA_HTTP_DRAIN_TIMEOUT"
	EnvMaxIdleConns        = "KEDA_HTTP_MAX_IDLE_CONNS"
	EnvMaxIdleConnsPerHost = "KEDA_HTTP_MAX_IDLE_CONNS_PER_HOST"
	EnvProfilingAddress    = "PROFILING_BIND_ADDRESS"
)

// EnvListenAddress is where the ports are. It is ours.
const EnvListenAddress = "KEDA_HTTP_LISTEN_ADDRESS"

// Bounds of what clients send, and who may say where they are. They are ours.
const (
	EnvMaxEndpointSeries      = "KEDA_HTTP_METRICS_READY_ENDPOINTS_MAX_ROUTES"
	EnvDropUnderscoreHeaders  = "KEDA_HTTP_DROP_UNDERSCORE_HEADERS"
	EnvMaxConnections         = "KEDA_HTTP_MAX_CONNECTIONS"
	EnvMaxRequestHeaderBytes  = "KEDA_HTTP_MAX_REQUEST_HEADER_BYTES"
	EnvMaxRequestHeaderFields = "KEDA_HTTP_MAX_REQUEST_HEADER_FIELDS"
	EnvTrustedProxies         = "KEDA_HTTP_TRUSTED_PROXIES"
	EnvMaxResponseHeaderBytes = "KEDA_HTTP_MAX_RESPONSE_HEADER_BYTES"
)

// Cold start. The activation lease and the two bounds of buffered bodies are ours.
const (
	EnvColdStartHeader    = "KEDA_HTTP_ENABLE_COLD_START_HEADER"
	EnvMaxPendingRequests = "KEDA_HTTP_COLD_START_MAX_PENDING_REQUESTS"
	EnvActivationLease    = "KEDA_HTTP_COLD_START_ACTIVATION_LEASE"
	EnvMaxBodyBytes       = "KEDA_HTTP_COLD_START_MAX_BODY_BYTES"
	EnvMaxBufferedBytes   = "KEDA_HTTP_COLD_START_MAX_BUFFERED_BYTES"
)

// Timeouts. The old names win when they are set.
const (
	EnvRequestTimeout        = "KEDA_HTTP_REQUEST_TIMEOUT"
	EnvResponseHeaderTimeout = "KEDA_HTTP_RESPONSE_HEADER_TIMEOUT"
	EnvReadinessTimeout      = "KEDA_HTTP_READINESS_TIMEOUT"
	EnvConnectTimeout        = "KEDA_HTTP_CONNECT_TIMEOUT"
	EnvUploadTimeout         = "KEDA_HTTP_UPLOAD_TIMEOUT"

	EnvOldReadinessTimeout      = "KEDA_CONDITION_WAIT_TIMEOUT"
	EnvOldResponseHeaderTimeout = "KEDA_RESPONSE_HEADER_TIMEOUT"
)

// TLS. The old names are read when the new ones are not set.
const (
	EnvProxyTLSEnabled        = "KEDA_HTTP_PROXY_TLS_ENABLED"
	EnvProxyTLSPort           = "KEDA_HTTP_PROXY_TLS_PORT"
	EnvProxyTLSCertPath       = "KEDA_HTTP_PROXY_TLS_CERT_PATH"
	EnvProxyTLSKeyPath        = "KEDA_HTTP_PROXY_TLS_KEY_PATH"
	EnvProxyTLSCertStorePaths = "KEDA_HTTP_PROXY_TLS_CERT_STORE_PATHS"

	EnvTLSMinVersion       = "KEDA_HTTP_TLS_MIN_VERSION"
	EnvTLSMaxVersion       = "KEDA_HTTP_TLS_MAX_VERSION"
	EnvTLSCipherSuites     = "KEDA_HTTP_TLS_CIPHER_SUITES"
	EnvTLSCurvePreferences = "KEDA_HTTP_TLS_CURVE_PREFERENCES"
	EnvTLSSkipVerify       = "KEDA_HTTP_TLS_SKIP_VERIFY"
	EnvTLSCADirs           = "KEDA_HTTP_TLS_CA_DIRS"

	EnvOldTLSMinVersion       = "KEDA_HTTP_PROXY_TLS_MIN_VERSION"
	EnvOldTLSMaxVersion       = "KEDA_HTTP_PROXY_TLS_MAX_VERSION"
	EnvOldTLSCipherSuites     = "KEDA_HTTP_PROXY_TLS_CIPHER_SUITES"
	EnvOldTLSCurvePreferences = "KEDA_HTTP_PROXY_TLS_CURVE_PREFERENCES"
	EnvOldTLSSkipVerify       = "KEDA_HTTP_PROXY_TLS_SKIP_VERIFY"
)
