{{/* What the collector scrapes, in Prometheus' format. */}}

{{- define "plimsoll.discovery" -}}
{{- $role := index . 0 }}
{{- $namespaces := index . 1 -}}
- role: {{ $role }}
  {{- with $namespaces }}
  namespaces:
    names: {{ toJson . }}
  {{- end }}
{{- end }}

{{- define "plimsoll.scrapeConfig" -}}
{{- $own := list .Release.Namespace -}}
global:
  scrape_interval: {{ .Values.collector.scrape.interval }}
  scrape_timeout: {{ .Values.collector.scrape.interval }}
scrape_configs:
  # Every pod that says so by the annotations prometheus.io/scrape, port, path and scheme.
  - job_name: pods
    kubernetes_sd_configs:
      {{- include "plimsoll.discovery" (list "pod" .Values.collector.namespaces) | nindent 6 }}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
        regex: "true"
        action: keep
      - source_labels: [__meta_kubernetes_pod_phase]
        regex: Pending|Succeeded|Failed
        action: drop
      - source_labels: [__meta_kubernetes_pod_container_init]
        regex: "true"
        action: drop
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scheme]
        regex: (https?)
        target_label: __scheme__
      - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
        regex: (.+)
        target_label: __metrics_path__
      # All ports of a pod become this one address, and equal targets are one.
      - source_labels: [__address__, __meta_kubernetes_pod_annotation_prometheus_io_port]
        regex: (.+?)(?::\d+)?;(\d+)
        replacement: $1:$2
        target_label: __address__
      {{- include "plimsoll.podIdentity" . | nindent 6 }}
      - source_labels: [__meta_kubernetes_pod_label_app]
        regex: (.+)
        target_label: service
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name]
        regex: (.+)
        target_label: service
  {{- if .Values.collector.nodes }}

  # CPU, memory and throttling of every container, from the kubelets.
  - job_name: containers
    scheme: https
    metrics_path: /metrics/cadvisor
    authorization:
      credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token
    tls_config:
      {{- if .Values.collector.scrape.kubeletInsecureSkipVerify }}
      insecure_skip_verify: true
      {{- else }}
      ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
      {{- end }}
    kubernetes_sd_configs:
      - role: node
    relabel_configs:
      - source_labels: [__meta_kubernetes_node_name]
        target_label: node
    metric_relabel_configs:
      # Sums over a pod or a node would count every container twice.
      - source_labels: [container, __name__]
        regex: (|POD);container_(cpu|memory|fs|oom|processes|threads|sockets|file).*
        action: drop
  {{- end }}
  {{- if .Values.autoscaler.enabled }}

  # What kube-state-metrics would say of the workloads: the autoscaler knows it anyway.
  - job_name: workloads
    honor_labels: true
    metrics_path: /metrics/workloads
    kubernetes_sd_configs:
      {{- include "plimsoll.discovery" (list "pod" $own) | nindent 6 }}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_part_of, __meta_kubernetes_pod_label_app_kubernetes_io_component, __meta_kubernetes_pod_container_port_name]
        regex: plimsoll;autoscaler;http
        action: keep
  {{- end }}

  - job_name: plimsoll
    kubernetes_sd_configs:
      {{- include "plimsoll.discovery" (list "pod" $own) | nindent 6 }}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_part_of, __meta_kubernetes_pod_container_port_name]
        regex: plimsoll;http
        action: keep
      {{- include "plimsoll.podIdentity" . | nindent 6 }}
  {{- with .Values.collector.scrape.extraConfigs }}

  {{ toYaml . | nindent 2 | trim }}
  {{- end }}
{{- end }}

{{- define "plimsoll.podIdentity" -}}
- source_labels: [__meta_kubernetes_namespace]
  target_label: namespace
- source_labels: [__meta_kubernetes_pod_name]
  target_label: pod
{{- end }}
