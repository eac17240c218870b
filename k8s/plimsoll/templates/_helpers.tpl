{{/* Names, labels and the parts of pods that the templates share. */}}

{{- define "plimsoll.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "plimsoll.fullname" -}}
{{- $name := include "plimsoll.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "plimsoll.collector" -}}
{{ include "plimsoll.fullname" . }}-collector
{{- end }}

{{- define "plimsoll.autoscaler" -}}
{{ include "plimsoll.fullname" . }}-autoscaler
{{- end }}

{{/* Objects of the whole cluster carry the namespace too: releases of one name may stand in several. */}}
{{- define "plimsoll.clusterPrefix" -}}
{{ .Release.Namespace }}-{{ include "plimsoll.fullname" . }}
{{- end }}

{{- define "plimsoll.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "plimsoll.collectorUrl" -}}
{{- if .Values.autoscaler.collector.url }}
{{- .Values.autoscaler.collector.url }}
{{- else if not .Values.collector.enabled }}
{{- fail "autoscaler.collector.url: is needed where collector.enabled is false: the address of a Prometheus-compatible server" }}
{{- else if gt (int .Values.collector.shards) 1 }}
{{- fail "autoscaler.collector.url: is needed where collector.shards is above 1: each shard knows its own targets only, so name a Prometheus-compatible server that reads them all" }}
{{- else }}
{{- printf "http://%s.%s.svc:9090" (include "plimsoll.collector" .) .Release.Namespace }}
{{- end }}
{{- end }}

{{/* What never changes and selects pods: (list CONTEXT COMPONENT). */}}
{{- define "plimsoll.selectorLabels" -}}
{{- $context := index . 0 -}}
app.kubernetes.io/name: {{ include "plimsoll.name" $context | quote }}
app.kubernetes.io/instance: {{ $context.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The screen finds pods by part-of and component. */}}
{{- define "plimsoll.podLabels" -}}
{{ include "plimsoll.selectorLabels" . }}
app.kubernetes.io/part-of: plimsoll
{{- end }}

{{- define "plimsoll.labels" -}}
{{- $context := index . 0 -}}
{{ include "plimsoll.podLabels" . }}
app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $context.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Name, namespace and labels of an object: (list CONTEXT COMPONENT NAME). */}}
{{- define "plimsoll.metadata" -}}
{{- $context := index . 0 -}}
name: {{ index . 2 | quote }}
namespace: {{ $context.Release.Namespace | quote }}
labels: {{- include "plimsoll.labels" . | nindent 2 }}
{{- end }}

{{- define "plimsoll.clusterMetadata" -}}
name: {{ index . 2 | quote }}
labels: {{- include "plimsoll.labels" . | nindent 2 }}
{{- end }}

{{/* The Secret with the token of the autoscaler's API. */}}
{{- define "plimsoll.apiSecret" -}}
{{- .Values.autoscaler.api.existingSecret | default (printf "%s-api" (include "plimsoll.autoscaler" .)) }}
{{- end }}

{{/* What the restricted Pod Security Standard asks of a pod, with the users that the values name, and of a container. */}}
{{- define "plimsoll.podSecurity" -}}
{{- $asked := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- toYaml (merge $asked (.Values.podSecurityContext | default dict)) }}
{{- end }}

{{- define "plimsoll.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod runs: (list CONTEXT SETTINGS). */}}
{{- define "plimsoll.placement" -}}
{{- $context := index . 0 }}
{{- with $context.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with index . 1 }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Rights: (list CONTEXT COMPONENT NAMESPACES RULES). On the whole cluster, or in each namespace named. The rules are plain YAML in
rbac/, so that a test compares them with what ARCHITECTURE.md says.
*/}}
{{- define "plimsoll.rights" -}}
{{- $context := index . 0 }}
{{- $component := index . 1 }}
{{- $account := printf "%s-%s" (include "plimsoll.fullname" $context) $component }}
{{- $cluster := printf "%s-%s" (include "plimsoll.clusterPrefix" $context) $component }}
{{- $rules := $context.Files.Get (index . 3) }}
{{- if index . 2 }}
{{- range $namespace := index . 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $cluster | quote }}
  namespace: {{ $namespace | quote }}
  labels: {{- include "plimsoll.labels" (list $context $component) | nindent 4 }}
{{ $rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $cluster | quote }}
  namespace: {{ $namespace | quote }}
  labels: {{- include "plimsoll.labels" (list $context $component) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $cluster | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ $account | quote }}
    namespace: {{ $context.Release.Namespace | quote }}
{{- end }}
{{- else }}
{{- include "plimsoll.clusterRights" (list $context $component $cluster (index . 3)) }}
{{- end }}
{{- end }}

{{/* Rights on the whole cluster: (list CONTEXT COMPONENT NAME RULES). */}}
{{- define "plimsoll.clusterRights" -}}
{{- $context := index . 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "plimsoll.clusterMetadata" . | nindent 2 }}
{{ $context.Files.Get (index . 3) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "plimsoll.clusterMetadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ index . 2 | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "plimsoll.fullname" $context }}-{{ index . 1 }}
    namespace: {{ $context.Release.Namespace | quote }}
{{- end }}

{{/* Egress that discovery and leader election need: names, and the API server, whose address no selector knows. */}}
{{- define "plimsoll.egressToCluster" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    - {port: 5353, protocol: UDP} # where OpenShift's DNS pods listen: most networks look at the port behind the Service
    - {port: 5353, protocol: TCP}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
