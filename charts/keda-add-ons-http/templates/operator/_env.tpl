{{/* The operator's environment, as a YAML list. */}}
{{- define "http.operator.env" -}}
- name: KEDA_HTTP_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with .Values.operator.watchNamespace }}
- name: KEDA_HTTP_OPERATOR_WATCH_NAMESPACE
  value: {{ . | quote }}
{{- end }}
- name: KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_SERVICE
  value: {{ .Chart.Name }}-{{ .Values.scaler.service }}
- name: KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_PORT
  value: {{ int64 .Values.scaler.grpcPort | quote }}
{{- if not (include "http.on" .Values.operator.wakePhases.enabled) }}
- name: KEDA_HTTP_OPERATOR_WAKE_PHASES_ENABLED
  value: "false"
{{- end }}
{{- include "http.routes.env" . }}
{{- end }}
