{{/* The interceptor's environment, as a YAML list. What is not given is left out:
     the binary has the defaults. */}}
{{- define "http.interceptor.env" -}}
{{- $values := .Values.interceptor -}}
{{- $tls := $values.tls -}}
- name: KEDA_HTTP_PROXY_PORT
  value: {{ int64 $values.proxy.port | quote }}
- name: KEDA_HTTP_ADMIN_PORT
  value: {{ int64 $values.admin.port | quote }}
{{- with .Values.operator.watchNamespace }}
- name: KEDA_HTTP_WATCH_NAMESPACE
  value: {{ . | quote }}
{{- end }}
{{- include "http.routes.env" . }}
- name: KEDA_HTTP_DIRECT_POD_ROUTING
  value: {{ $values.directPodRouting | quote }}
- name: KEDA_HTTP_SHUTDOWN_DELAY
  value: {{ $values.shutdownDelay | quote }}
- name: KEDA_HTTP_DRAIN_TIMEOUT
  value: {{ $values.drainTimeout | quote }}
- name: KEDA_HTTP_MAX_IDLE_CONNS
  value: {{ int64 $values.maxIdleConns | quote }}
- name: KEDA_HTTP_MAX_IDLE_CONNS_PER_HOST
  value: {{ int64 $values.maxIdleConnsPerHost | quote }}
- name: KEDA_HTTP_COLD_START_MAX_PENDING_REQUESTS
  value: {{ int64 $values.coldStart.maxPendingRequests | quote }}
{{- with include "http.given" $values.coldStart.activationLease }}
- name: KEDA_HTTP_COLD_START_ACTIVATION_LEASE
  value: {{ . | quote }}
{{- end }}
{{- if include "http.given" $values.coldStart.maxBodyBytes }}
- name: KEDA_HTTP_COLD_START_MAX_BODY_BYTES
  value: {{ int64 $values.coldStart.maxBodyBytes | quote }}
{{- end }}
{{- if include "http.given" $values.coldStart.maxBufferedBytes }}
- name: KEDA_HTTP_COLD_START_MAX_BUFFERED_BYTES
  value: {{ int64 $values.coldStart.maxBufferedBytes | quote }}
{{- end }}
{{- with include "http.given" $values.requestTimeout }}
- name: KEDA_HTTP_REQUEST_TIMEOUT
  value: {{ . | quote }}
{{- end }}
{{- with include "http.given" $values.responseHeaderTimeout }}
- name: KEDA_HTTP_RESPONSE_HEADER_TIMEOUT
  value: {{ . | quote }}
{{- end }}
{{- /* The old variable of the name of replicas.waitTimeout would only add a warning. */}}
{{- with include "http.given" $values.readinessTimeout | default (include "http.given" $values.replicas.waitTimeout) }}
- name: KEDA_HTTP_READINESS_TIMEOUT
  value: {{ . | quote }}
{{- end }}
{{- with include "http.given" $values.tcpConnectTimeout }}
- name: KEDA_HTTP_CONNECT_TIMEOUT
  value: {{ . | quote }}
{{- end }}
{{- if include "http.on" $tls.enabled }}
- name: KEDA_HTTP_PROXY_TLS_ENABLED
  value: "true"
- name: KEDA_HTTP_PROXY_TLS_PORT
  value: {{ int64 $tls.port | quote }}
- name: KEDA_HTTP_PROXY_TLS_CERT_PATH
  value: {{ $tls.cert_path | default $tls.certPath | quote }}
- name: KEDA_HTTP_PROXY_TLS_KEY_PATH
  value: {{ $tls.key_path | default $tls.keyPath | quote }}
{{- end }}
{{- if include "http.on" (ternary $tls.skip_verify $tls.skipVerify (hasKey $tls "skip_verify")) }}
- name: KEDA_HTTP_TLS_SKIP_VERIFY
  value: "true"
{{- end }}
{{- with include "http.given" $tls.minVersion }}
- name: KEDA_HTTP_TLS_MIN_VERSION
  value: {{ . | quote }}
{{- end }}
{{- with include "http.given" $tls.maxVersion }}
- name: KEDA_HTTP_TLS_MAX_VERSION
  value: {{ . | quote }}
{{- end }}
{{- with include "http.commas" $tls.cipherSuites }}
- name: KEDA_HTTP_TLS_CIPHER_SUITES
  value: {{ . | quote }}
{{- end }}
{{- with include "http.commas" $tls.curvePreferences }}
- name: KEDA_HTTP_TLS_CURVE_PREFERENCES
  value: {{ . | quote }}
{{- end }}
{{- with include "http.commas" $tls.caDirs }}
- name: KEDA_HTTP_TLS_CA_DIRS
  value: {{ . | quote }}
{{- end }}
{{ include "http.telemetry.env" (list $values .Values.profiling.interceptor) }}
{{- end }}
