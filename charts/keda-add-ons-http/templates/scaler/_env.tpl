{{/* The scaler's environment, as a YAML list. */}}
{{- define "http.scaler.env" -}}
{{- $values := .Values.scaler -}}
- name: KEDA_HTTP_SCALER_PORT
  value: {{ int64 $values.grpcPort | quote }}
- name: KEDA_HTTP_SCALER_TARGET_ADMIN_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: KEDA_HTTP_SCALER_TARGET_ADMIN_SERVICE
  value: {{ .Chart.Name }}-{{ .Values.interceptor.admin.service }}
- name: KEDA_HTTP_SCALER_TARGET_ADMIN_DEPLOYMENT
  value: {{ .Chart.Name }}-interceptor
- name: KEDA_HTTP_SCALER_TARGET_ADMIN_PORT
  value: {{ int64 .Values.interceptor.admin.port | quote }}
- name: KEDA_HTTP_SCALER_STREAM_INTERVAL_MS
  value: {{ int64 $values.streamInterval | quote }}
{{ include "http.telemetry.env" (list $values .Values.profiling.scaler) }}
{{- end }}
