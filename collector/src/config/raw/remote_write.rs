//! `remote_write` as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{RelabelConfig, Unsupported, http};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(in crate::config) struct RemoteWriteConfig {
    pub url: String,
    #[serde(default)]
    pub name: String,
    #[serde(default, with = "protocol::duration::option")]
    pub remote_timeout: Option<Duration>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub write_relabel_configs: Vec<RelabelConfig>,
    pub protobuf_message: Option<String>,
    #[serde(default)]
    pub send_exemplars: bool,
    #[serde(default)]
    pub send_native_histograms: bool,
    #[serde(default)]
    pub queue_config: QueueConfig,
    #[serde(default)]
    pub metadata_config: MetadataConfig,
    basic_auth: Option<http::BasicAuth>,
    authorization: Option<http::Authorization>,
    bearer_token: Option<String>,
    bearer_token_file: Option<PathBuf>,
    tls_config: Option<http::TlsConfig>,
    follow_redirects: Option<Unsupported>,
    enable_http2: Option<Unsupported>,
    round_robin_dns: Option<Unsupported>,
    oauth2: Option<Unsupported>,
    sigv4: Option<Unsupported>,
    azuread: Option<Unsupported>,
    google_iam: Option<Unsupported>,
    http_headers: Option<Unsupported>,
    proxy_url: Option<Unsupported>,
    no_proxy: Option<Unsupported>,
    proxy_from_environment: Option<Unsupported>,
    proxy_connect_header: Option<Unsupported>,
}

impl RemoteWriteConfig {
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct QueueConfig {
    pub capacity: Option<usize>,
    pub max_shards: Option<usize>,
    pub min_shards: Option<usize>,
    pub max_samples_per_send: Option<usize>,
    #[serde(default, with = "protocol::duration::option")]
    pub batch_send_deadline: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub min_backoff: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub max_backoff: Option<Duration>,
    #[serde(default)]
    pub retry_on_http_429: bool,
    #[serde(default, with = "protocol::duration::option")]
    pub sample_age_limit: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MetadataConfig {
    pub send: Option<bool>,
    #[serde(default, with = "protocol::duration::option")]
    pub send_interval: Option<Duration>,
    pub max_samples_per_send: Option<usize>,
}
