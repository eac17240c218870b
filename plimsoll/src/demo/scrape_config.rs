//! The scrape configuration of the demo, in Prometheus' format: any Prometheus given this file scrapes the same.

use std::net::SocketAddr;

/// Who is scraped.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// The local runtime: service discovery of the replicas, and the containers' metrics.
    pub runtime: SocketAddr,
    /// The shoppers' own metrics.
    pub shoppers: SocketAddr,
    /// The collector itself.
    pub collector: SocketAddr,
    /// The autoscaler.
    pub autoscaler: SocketAddr,
}

/// The file's text.
pub fn text(sources: &Sources) -> String {
    let Sources { runtime, shoppers, collector, autoscaler } = sources;
    format!(
        "# Written by `plimsoll demo`. Prometheus reads this file as it is.
global:
  scrape_interval: 1s
  scrape_timeout: 1s

scrape_configs:
  - job_name: shop
    http_sd_configs:
      - url: http://{runtime}/sd/http
        refresh_interval: 1s
    relabel_configs:
      - source_labels: [__meta_kubernetes_namespace]
        target_label: namespace
      - source_labels: [__meta_kubernetes_pod_name]
        target_label: pod
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name]
        target_label: service

  - job_name: containers
    honor_labels: true
    static_configs:
      - targets: ['{runtime}']

  - job_name: shoppers
    static_configs:
      - targets: ['{shoppers}']

  - job_name: plimsoll
    static_configs:
      - targets: ['{collector}', '{autoscaler}']
"
    )
}
