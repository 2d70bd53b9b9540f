{{/* The labels that selectors use. Selectors are immutable: a release of 0.16 is
     upgraded only if these are exactly its own. Takes (list $ component). */}}
{{- define "http.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/name: http-add-on
app.kubernetes.io/part-of: {{ $root.Chart.Name }}
{{- end }}

{{/* The labels of an object. Takes (list $ component). */}}
{{- define "http.labels" -}}
{{- $root := index . 0 -}}
{{- $own := include "http.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own ($root.Values.additionalLabels | default dict)) -}}
{{- end }}

{{/* True or nothing: "true" and "false" as text are what they say. */}}
{{- define "http.on" -}}
{{- if eq (toString .) "true" }}true{{ end -}}
{{- end }}

{{/* What a value says, or nothing for one that is null or empty; zeros count. */}}
{{- define "http.given" -}}
{{- if not (kindIs "invalid" .) }}{{ . }}{{ end -}}
{{- end }}

{{/* A list, or what separated by commas is one, separated by commas. */}}
{{- define "http.commas" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else }}{{ include "http.given" . }}{{ end -}}
{{- end }}

{{/* An image. Takes (list $ component). */}}
{{- define "http.image" -}}
{{- $root := index . 0 -}}
{{- $image := get $root.Values.images (index . 1) -}}
{{- if contains "@" $image }}{{ $image }}{{ else }}{{ $image }}:{{ $root.Values.images.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* The zap flags of a component. */}}
{{- define "http.logging" -}}
- --zap-log-level={{ .level }}
- --zap-encoder={{ .format }}
- --zap-time-encoding={{ .timeEncoding }}
- --zap-stacktrace-level={{ ternary "error" "panic" (eq (include "http.on" .stackTracesEnabled) "true") }}
{{- end }}

{{/* A security context without the maps of the other components, that of this one
     on top. Takes (list contexts component). */}}
{{- define "http.securityContext" -}}
{{- $all := index . 0 | default dict -}}
{{- $own := get $all (index . 1) | default dict -}}
{{- toYaml (mergeOverwrite (omit $all "operator" "interceptor" "scaler" | deepCopy) $own) -}}
{{- end }}

{{/* The environment of a container: the chart's own, as YAML, but for what the
     user sets, then the user's, as a list or a map. A name that came twice would
     confuse the merge of an upgrade. Takes (list own user component-values). */}}
{{- define "http.env" -}}
{{- $user := index . 1 | default list -}}
{{- if kindIs "map" $user -}}
{{- $list := list -}}
{{- range $name, $value := $user }}{{ $list = append $list (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- $user = $list -}}
{{- end -}}
{{- $names := list -}}
{{- range $user }}{{ $names = append $names .name }}{{ end -}}
{{- $env := list -}}
{{- range index . 0 | fromYamlArray }}{{ if not (has .name $names) }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- $limit := include "http.memory" (index . 2) -}}
{{- if and $limit (not (has "GOMEMLIMIT" $names)) }}{{ $env = append $env (dict "name" "GOMEMLIMIT" "value" $limit) }}{{ end -}}
{{- toYaml (concat $env $user) -}}
{{- end }}

{{/* Nine tenths of a container's memory limit in bytes, which is what Go should
     stay under; nothing without a limit. A limit is a quantity of Kubernetes: 64Mi, 1e9, 1500m. */}}
{{- define "http.memory" -}}
{{- $limit := dig "limits" "memory" "" (.resources | default dict) | toString -}}
{{- $units := dict "" 1 "n" 0.000000001 "u" 0.000001 "m" 0.001 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 "E" 1000000000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- if regexMatch "^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]+$" $limit -}}
{{- mulf (float64 $limit) 0.9 | int64 -}}
{{- else if regexMatch "^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([numkMGTPE]|[KMGTPE]i)?$" $limit -}}
{{- mulf (regexFind "[0-9.]+" $limit | float64) (get $units (regexFind "[A-Za-z]*$" $limit)) 0.9 | int64 -}}
{{- end -}}
{{- end }}

{{/* What all pods have in common. Takes (list $ component component-values). */}}
{{- define "http.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- with index . 2 -}}
# Services in the namespace must not become environment variables of ours.
enableServiceLinks: false
{{- with .imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
  {{- end }}
{{- end }}
{{- with include "http.securityContext" (list $root.Values.podSecurityContext $component) | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
nodeSelector:
  {{- merge (dict) (.nodeSelector | default dict) (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- /* Without a selector a constraint would count no pods at all. */}}
  {{- $selector := .labelSelector | default (dict "matchLabels" (include "http.selector" (list $root $component) | fromYaml)) }}
  {{- toYaml (list (merge (dict "labelSelector" $selector) .)) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
{{- end }}

{{/* What all containers have in common. Takes (list $ component component-values). */}}
{{- define "http.container" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
name: {{ $root.Chart.Name }}-{{ $component | replace "scaler" "external-scaler" }}
image: {{ include "http.image" (list $root $component) | quote }}
{{- with index . 2 }}
imagePullPolicy: {{ .pullPolicy }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with include "http.securityContext" (list $root.Values.securityContext $component) | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A binding of a ClusterRole: in all namespaces, or in the one that is watched.
     Takes (dict "root" $ "component" "name" "role" "account"). */}}
{{- define "http.binding" -}}
{{- $namespace := .root.Values.operator.watchNamespace -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (not (empty $namespace)) }}
metadata:
  name: {{ .name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "http.labels" (list .root .component) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/* The variables for metrics, traces and pprof, as a YAML list. Takes
     (list component-values profiling-values). */}}
{{- define "http.telemetry.env" -}}
{{- $values := index . 0 -}}
- name: OTEL_PROM_EXPORTER_ENABLED
  value: {{ $values.metrics.prometheus.enabled | quote }}
- name: OTEL_PROM_EXPORTER_PORT
  value: {{ int64 $values.metrics.prometheus.port | quote }}
- name: OTEL_EXPORTER_OTLP_METRICS_ENABLED
  value: {{ $values.metrics.otlp.enabled | quote }}
- name: OTEL_EXPORTER_OTLP_TRACES_ENABLED
  value: {{ $values.tracing.enabled | quote }}
- name: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
  value: {{ $values.tracing.protocol | quote }}
{{- with index . 1 }}
{{- if include "http.on" .enabled }}
- name: PROFILING_BIND_ADDRESS
  value: "127.0.0.1:{{ int64 .port }}"
{{- end }}
{{- end }}
{{- end }}

{{/* The variables that interceptor and operator must agree on, as a YAML list. */}}
{{- define "http.routes.env" -}}
{{- with .Values.routes -}}
{{- if include "http.given" .maxMatchesPerObject }}
- name: KEDA_HTTP_MAX_MATCHES_PER_OBJECT
  value: {{ int64 .maxMatchesPerObject | quote }}
{{- end }}
{{- if include "http.given" .maxMatchesPerNamespace }}
- name: KEDA_HTTP_MAX_MATCHES_PER_NAMESPACE
  value: {{ int64 .maxMatchesPerNamespace | quote }}
{{- end }}
{{- if not (include "http.on" .configMaps.enabled) }}
- name: KEDA_HTTP_CONFIG_MAPS_ENABLED
  value: "false"
{{- end }}
{{- with include "http.commas" .configMaps.namespaces }}
- name: KEDA_HTTP_CONFIG_MAP_NAMESPACES
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* A Go duration in milliseconds. */}}
{{- define "http.milliseconds" -}}
{{- $units := dict "ns" 0.000001 "us" 0.001 "µs" 0.001 "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ns|us|µs|ms|s|m|h)" (toString .) -1 -}}
{{- $sum = addf $sum (mulf (regexFind "^[0-9.]+" .) (get $units (regexFind "[^0-9.]+$" .))) -}}
{{- end -}}
{{- int64 $sum -}}
{{- end }}
