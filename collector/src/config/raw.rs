//! The configuration file as it is written; unknown fields are refused, known but unsupported ones by name.

pub(super) mod alerting;
pub(super) mod http;
pub(super) mod kubernetes;
pub(super) mod limits;
pub(super) mod otlp;
pub(super) mod protocols;
pub(super) mod remote_write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::RawLabels;

/// A field that Prometheus knows and this collector does not: giving it a value is an error.
#[derive(Debug, PartialEq)]
pub(super) struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("Prometheus knows this field, but this collector does not support it yet"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct Config {
    pub global: Option<Global>,
    #[serde(default)]
    pub scrape_configs: Vec<ScrapeConfig>,
    runtime: Option<Unsupported>,
    pub rule_files: Option<Vec<String>>,
    scrape_config_files: Option<Unsupported>,
    pub alerting: Option<alerting::Alerting>,
    #[serde(default)]
    pub remote_write: Vec<remote_write::RemoteWriteConfig>,
    remote_read: Option<Unsupported>,
    pub storage: Option<Storage>,
    tracing: Option<Unsupported>,
    pub otlp: Option<otlp::Otlp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct Storage {
    pub tsdb: Option<Tsdb>,
    exemplars: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct Tsdb {
    #[serde(default, with = "protocol::duration::option")]
    pub out_of_order_time_window: Option<Duration>,
    pub retention: Option<Retention>,
    stale_series_compaction_threshold: Option<Unsupported>,
    chunk_encoding: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct Retention {
    #[serde(default, with = "protocol::duration::option")]
    pub time: Option<Duration>,
    pub size: Option<String>,
    percentage: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct Global {
    #[serde(default, with = "protocol::duration::option")]
    pub scrape_interval: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub scrape_timeout: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub evaluation_interval: Option<Duration>,
    #[serde(default)]
    pub external_labels: RawLabels,
    query_log_file: Option<Unsupported>,
    scrape_failure_log_file: Option<Unsupported>,
    scrape_protocols: Option<Vec<String>>,
    #[serde(default, with = "protocol::duration::option")]
    pub rule_query_offset: Option<Duration>,
    body_size_limit: Option<String>,
    sample_limit: Option<usize>,
    series_limit: Option<i64>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    target_limit: Option<usize>,
    keep_dropped_targets: Option<usize>,
    metric_name_validation_scheme: Option<Unsupported>,
    metric_name_escaping_scheme: Option<Unsupported>,
    scrape_native_histograms: Option<bool>,
    convert_classic_histograms_to_nhcb: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    pub extra_scrape_metrics: Option<bool>,
}

impl Global {
    /// Takes out what targets are asked for and what becomes of their histograms.
    pub fn take_protocols(&mut self) -> protocols::Protocols {
        protocols::Protocols {
            scrape_protocols: self.scrape_protocols.take(),
            scrape_native_histograms: self.scrape_native_histograms,
            always_scrape_classic_histograms: self.always_scrape_classic_histograms,
            convert_classic_histograms_to_nhcb: self.convert_classic_histograms_to_nhcb,
            ..protocols::Protocols::default()
        }
    }

    /// Takes the limits out.
    pub fn take_limits(&mut self) -> limits::Limits {
        limits::take_limits!(self)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct ScrapeConfig {
    pub job_name: String,
    #[serde(default, with = "protocol::duration::option")]
    pub scrape_interval: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub scrape_timeout: Option<Duration>,
    pub metrics_path: Option<String>,
    pub scheme: Option<String>,
    #[serde(default)]
    pub params: BTreeMap<String, Vec<String>>,
    pub honor_labels: Option<bool>,
    pub honor_timestamps: Option<bool>,
    pub track_timestamps_staleness: Option<bool>,
    pub enable_compression: Option<bool>,
    pub follow_redirects: Option<bool>,
    body_size_limit: Option<String>,
    sample_limit: Option<usize>,
    series_limit: Option<i64>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    target_limit: Option<usize>,
    keep_dropped_targets: Option<usize>,
    pub extra_scrape_metrics: Option<bool>,
    #[serde(default)]
    pub static_configs: Vec<StaticConfig>,
    #[serde(default)]
    pub file_sd_configs: Vec<FileSdConfig>,
    #[serde(default)]
    pub http_sd_configs: Vec<HttpSdConfig>,
    #[serde(default)]
    pub kubernetes_sd_configs: Vec<kubernetes::KubernetesSdConfig>,
    #[serde(default)]
    pub relabel_configs: Vec<RelabelConfig>,
    #[serde(default)]
    pub metric_relabel_configs: Vec<RelabelConfig>,
    scrape_protocols: Option<Vec<String>>,
    fallback_scrape_protocol: Option<String>,
    scrape_failure_log_file: Option<Unsupported>,
    scrape_native_histograms: Option<bool>,
    convert_classic_histograms_to_nhcb: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    native_histogram_bucket_limit: Option<usize>,
    native_histogram_min_bucket_factor: Option<f64>,
    metric_name_validation_scheme: Option<Unsupported>,
    metric_name_escaping_scheme: Option<Unsupported>,
    basic_auth: Option<http::BasicAuth>,
    authorization: Option<http::Authorization>,
    bearer_token: Option<String>,
    bearer_token_file: Option<PathBuf>,
    tls_config: Option<http::TlsConfig>,
    oauth2: Option<Unsupported>,
    http_headers: Option<Unsupported>,
    enable_http2: Option<Unsupported>,
    proxy_url: Option<Unsupported>,
    no_proxy: Option<Unsupported>,
    proxy_from_environment: Option<Unsupported>,
    proxy_connect_header: Option<Unsupported>,
    aws_sd_configs: Option<Unsupported>,
    azure_sd_configs: Option<Unsupported>,
    consul_sd_configs: Option<Unsupported>,
    digitalocean_sd_configs: Option<Unsupported>,
    dns_sd_configs: Option<Unsupported>,
    docker_sd_configs: Option<Unsupported>,
    dockerswarm_sd_configs: Option<Unsupported>,
    ec2_sd_configs: Option<Unsupported>,
    eureka_sd_configs: Option<Unsupported>,
    gce_sd_configs: Option<Unsupported>,
    hetzner_sd_configs: Option<Unsupported>,
    ionos_sd_configs: Option<Unsupported>,
    kuma_sd_configs: Option<Unsupported>,
    lightsail_sd_configs: Option<Unsupported>,
    linode_sd_configs: Option<Unsupported>,
    marathon_sd_configs: Option<Unsupported>,
    nerve_sd_configs: Option<Unsupported>,
    nomad_sd_configs: Option<Unsupported>,
    openstack_sd_configs: Option<Unsupported>,
    ovhcloud_sd_configs: Option<Unsupported>,
    puppetdb_sd_configs: Option<Unsupported>,
    scaleway_sd_configs: Option<Unsupported>,
    serverset_sd_configs: Option<Unsupported>,
    stackit_sd_configs: Option<Unsupported>,
    triton_sd_configs: Option<Unsupported>,
    uyuni_sd_configs: Option<Unsupported>,
    vultr_sd_configs: Option<Unsupported>,
}

impl ScrapeConfig {
    /// Takes the limits out.
    pub fn take_limits(&mut self) -> limits::Limits {
        limits::take_limits!(self)
    }

    /// Takes out what targets are asked for and what becomes of their histograms.
    pub fn take_protocols(&mut self) -> protocols::Protocols {
        protocols::Protocols {
            scrape_protocols: self.scrape_protocols.take(),
            fallback_scrape_protocol: self.fallback_scrape_protocol.take(),
            scrape_native_histograms: self.scrape_native_histograms,
            always_scrape_classic_histograms: self.always_scrape_classic_histograms,
            convert_classic_histograms_to_nhcb: self.convert_classic_histograms_to_nhcb,
            native_histogram_bucket_limit: self.native_histogram_bucket_limit,
            native_histogram_min_bucket_factor: self.native_histogram_min_bucket_factor,
        }
    }

    /// Takes the options of the HTTP client out.
    pub fn take_http(&mut self) -> http::HttpClient {
        http::HttpClient {
            basic_auth: self.basic_auth.take(),
            authorization: self.authorization.take(),
            bearer_token: self.bearer_token.take(),
            bearer_token_file: self.bearer_token_file.take(),
            tls_config: self.tls_config.take(),
        }
    }

    /// Takes the sources of targets out.
    pub fn take_sources(&mut self) -> Sources {
        Sources {
            static_configs: std::mem::take(&mut self.static_configs),
            file_sd_configs: std::mem::take(&mut self.file_sd_configs),
            http_sd_configs: std::mem::take(&mut self.http_sd_configs),
            kubernetes_sd_configs: std::mem::take(&mut self.kubernetes_sd_configs),
        }
    }
}

/// Where targets come from, of scrapes and of alerts alike.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub static_configs: Vec<StaticConfig>,
    pub file_sd_configs: Vec<FileSdConfig>,
    pub http_sd_configs: Vec<HttpSdConfig>,
    pub kubernetes_sd_configs: Vec<kubernetes::KubernetesSdConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticConfig {
    #[serde(default)]
    pub targets: Vec<String>,
    #[serde(default)]
    pub labels: RawLabels,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSdConfig {
    pub files: Vec<String>,
    #[serde(default, with = "protocol::duration::option")]
    pub refresh_interval: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(super) struct HttpSdConfig {
    pub url: String,
    #[serde(default, with = "protocol::duration::option")]
    pub refresh_interval: Option<Duration>,
    basic_auth: Option<Unsupported>,
    authorization: Option<Unsupported>,
    oauth2: Option<Unsupported>,
    tls_config: Option<Unsupported>,
    http_headers: Option<Unsupported>,
    follow_redirects: Option<Unsupported>,
    enable_http2: Option<Unsupported>,
    proxy_url: Option<Unsupported>,
    no_proxy: Option<Unsupported>,
    proxy_from_environment: Option<Unsupported>,
    proxy_connect_header: Option<Unsupported>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelabelConfig {
    #[serde(default)]
    pub source_labels: Vec<String>,
    pub separator: Option<String>,
    pub target_label: Option<String>,
    pub regex: Option<String>,
    pub modulus: Option<u64>,
    pub replacement: Option<String>,
    pub action: Option<String>,
}

/// Reads `10MB` and its like; a unit is 1024 of the one below, with or without the `i`. Zero is no limit.
pub(super) fn parse_size(text: &str) -> Result<Option<usize>, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.replace('i', "").as_str() {
        "B" => Some(0),
        "KB" => Some(1),
        "MB" => Some(2),
        "GB" => Some(3),
        "TB" => Some(4),
        "" if number == "0" => Some(0),
        _ => None,
    };
    let bytes = power.and_then(|power| number.parse::<usize>().ok()?.checked_mul(1usize.checked_shl(10 * power)?));
    let bytes = bytes.ok_or_else(|| format!("{text:?} is not a size: write a number with a unit, such as 10MB"))?;
    Ok(Some(bytes).filter(|bytes| *bytes > 0))
}
