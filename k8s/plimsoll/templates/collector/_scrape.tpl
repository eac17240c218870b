{{/*
What the collector scrapes: the collector's own example for clusters, with what the values say put in its place.
*/}}
{{- define "plimsoll.scrapeConfig" -}}
{{- $config := .Files.Get "files/scrape.yml" | fromYaml }}
{{- with .Values.collector.scrape }}
{{- $_ := set $config "global" (dict "scrape_interval" .interval "scrape_timeout" .interval) }}
{{- end }}
{{- $jobs := list }}
{{- range $job := $config.scrape_configs }}
{{- $wanted := true }}
{{- if eq $job.job_name "kubernetes-pods" }}
{{- include "plimsoll.confine" (list $job $.Values.collector.namespaces) }}
{{- else if eq $job.job_name "kubernetes-cadvisor" }}
{{- $wanted = $.Values.collector.nodes }}
{{- $_ := set $job.tls_config "insecure_skip_verify" $.Values.collector.scrape.kubeletInsecureSkipVerify }}
{{- else }}
{{- include "plimsoll.confine" (list $job (list $.Release.Namespace)) }}
{{- $wanted = or $.Values.autoscaler.enabled (ne $job.job_name "plimsoll-workloads") }}
{{- end }}
{{- if $wanted }}
{{- $jobs = append $jobs $job }}
{{- end }}
{{- end }}
{{- $_ := set $config "scrape_configs" (concat $jobs (.Values.collector.scrape.extraConfigs | default list)) }}
{{- toYaml $config }}
{{- end }}

{{/* Has a job look for pods in these namespaces only: (list JOB NAMESPACES). Writes nothing. */}}
{{- define "plimsoll.confine" -}}
{{- $namespaces := index . 1 }}
{{- range (index . 0).kubernetes_sd_configs }}
{{- if $namespaces }}
{{- $_ := set . "namespaces" (dict "names" $namespaces) }}
{{- end }}
{{- end }}
{{- end }}
