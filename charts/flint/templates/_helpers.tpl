{{/* image: the reference of one of Flint's images. Call with (list $ repository digest). */}}
{{- define "flint.image" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $root.Values.image.registry) (index . 1) -}}
{{- with index . 2 }}{{ printf "%s@%s" $name . }}{{ else }}{{ printf "%s:%s" $name ($root.Values.image.tag | default $root.Chart.AppVersion) }}{{ end }}
{{- end }}

{{/* labels: of every object. Call with (list $ component). */}}
{{- define "flint.labels" -}}
{{- $root := index . 0 -}}
{{ include "flint.selector" . }}
app.kubernetes.io/part-of: flint
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* selector: what never changes. Call with (list $ component). */}}
{{- define "flint.selector" -}}
app.kubernetes.io/name: flint
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* url: the functions' URL as clients see it, or nothing. */}}
{{- define "flint.publicUrl" -}}
{{- if .Values.publicUrl }}{{ trimSuffix "/" .Values.publicUrl }}
{{- else if and .Values.ingress.enabled .Values.ingress.host }}{{ ternary "https" "http" (ne .Values.ingress.tlsSecret "") }}://{{ .Values.ingress.host }}
{{- end }}
{{- end }}

{{- define "flint.keysSecret" -}}
{{ .Values.keys.existingSecret | default "flint-keys" }}
{{- end }}

{{/* authorities: the ConfigMap of the certificates that servers of sources may be signed by, or nothing. */}}
{{- define "flint.authorities" -}}
{{- if and .Values.sources.caBundle .Values.sources.caConfigMap }}{{ fail "sources.caBundle and sources.caConfigMap exclude each other: give one" }}{{ end }}
{{- if .Values.sources.caBundle }}flint-source-authorities{{ else }}{{ .Values.sources.caConfigMap }}{{ end }}
{{- end }}

{{/* buildAuthorities: the same for what builds fetch. */}}
{{- define "flint.buildAuthorities" -}}
{{- if and .Values.builds.caBundle .Values.builds.caConfigMap }}{{ fail "builds.caBundle and builds.caConfigMap exclude each other: give one" }}{{ end }}
{{- if .Values.builds.caBundle }}flint-build-authorities{{ else }}{{ .Values.builds.caConfigMap }}{{ end }}
{{- end }}

{{/* buildPod: what every build's pod has, as JSON in one line of YAML. */}}
{{- define "flint.buildPod" -}}
{{- $builds := .Values.builds -}}
{{- $env := list -}}
{{- range $name, $value := dict
  "PIP_INDEX_URL" $builds.indexes.python "UV_DEFAULT_INDEX" $builds.indexes.python "npm_config_registry" $builds.indexes.npm "GOPROXY" $builds.indexes.go
  "MAVEN_MIRROR_URL" $builds.indexes.maven "CARGO_MIRROR_URL" $builds.indexes.cargo
  "HTTP_PROXY" $builds.proxy.http "http_proxy" $builds.proxy.http "HTTPS_PROXY" $builds.proxy.https "https_proxy" $builds.proxy.https
  "NO_PROXY" $builds.proxy.noProxy "no_proxy" $builds.proxy.noProxy -}}
{{- if $value }}{{ $env = append $env (dict "name" $name "value" $value) }}{{ end -}}
{{- end -}}
{{- /* An empty list would become null. */}}
{{- $pod := dict "resources" $builds.resources "nodeSelector" $builds.nodeSelector "tolerations" $builds.tolerations -}}
{{- with concat $env $builds.env }}{{ $_ := set $pod "env" . }}{{ end }}
{{- with $builds.envFrom }}{{ $_ := set $pod "envFrom" . }}{{ end -}}
{{ toJson $pod | toJson }}
{{- end }}

{{/* podSecurity: what the profile `restricted` asks of a pod. */}}
{{- define "flint.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "flint.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* podEnv: what a pod knows of itself, and the keys. */}}
{{- define "flint.podEnv" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- name: FLINT_CONTROL_KEY
  valueFrom: {secretKeyRef: {name: {{ include "flint.keysSecret" . }}, key: control}}
{{- end }}

{{/* placement: where a component's pods go. Call with (list $ component values). */}}
{{- define "flint.placement" -}}
{{- $values := index . 2 -}}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "flint.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{/* probes: on the admin port. A part that is slow to start is not killed for it. */}}
{{- define "flint.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* deployment: the frame of both parts. Call with (list $ component values strategy extra). */}}
{{- define "flint.deploymentHead" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: flint-{{ $component }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "flint.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels: {{- include "flint.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  template:
    metadata:
      labels:
        {{- include "flint.labels" . | nindent 8 }}
        {{- with $values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ $component }}
        {{- with $values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
{{- end }}

{{/* curlImage: an image with a shell and curl, which the runtime `provided` is. */}}
{{- define "flint.curlImage" -}}
{{- $runtime := .Values.runtimes.provided | default dict -}}
{{- $runtime.image | default (include "flint.image" (list . ($runtime.repository | default "flint-provided") $runtime.digest)) -}}
{{- end }}

{{/* crdsMeta: of the objects that bring the kinds up to date before an upgrade; they are gone after it. */}}
{{- define "flint.crdsMeta" }}
  labels: {{- include "flint.labels" (list . "crds") | nindent 4 }}
  annotations:
    helm.sh/hook: pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
