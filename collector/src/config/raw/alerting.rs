//! The section `alerting` as it is written.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{
    FileSdConfig, HttpSdConfig, RelabelConfig, Sources, StaticConfig, Unsupported,
    http::{Authorization, BasicAuth, HttpClient, TlsConfig},
    kubernetes::KubernetesSdConfig,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Alerting {
    #[serde(default)]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    #[serde(default)]
    pub alertmanagers: Vec<Alertmanagers>,
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(in crate::config) struct Alertmanagers {
    pub scheme: Option<String>,
    pub path_prefix: Option<String>,
    #[serde(default, with = "protocol::duration::option")]
    pub timeout: Option<Duration>,
    pub api_version: Option<String>,
    #[serde(default)]
    static_configs: Vec<StaticConfig>,
    #[serde(default)]
    file_sd_configs: Vec<FileSdConfig>,
    #[serde(default)]
    http_sd_configs: Vec<HttpSdConfig>,
    #[serde(default)]
    kubernetes_sd_configs: Vec<KubernetesSdConfig>,
    #[serde(default)]
    pub relabel_configs: Vec<RelabelConfig>,
    #[serde(default)]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    bearer_token: Option<String>,
    bearer_token_file: Option<PathBuf>,
    tls_config: Option<TlsConfig>,
    oauth2: Option<Unsupported>,
    sigv4: Option<Unsupported>,
    http_headers: Option<Unsupported>,
    follow_redirects: Option<Unsupported>,
    enable_http2: Option<Unsupported>,
    proxy_url: Option<Unsupported>,
    no_proxy: Option<Unsupported>,
    proxy_from_environment: Option<Unsupported>,
    proxy_connect_header: Option<Unsupported>,
    consul_sd_configs: Option<Unsupported>,
    dns_sd_configs: Option<Unsupported>,
    docker_sd_configs: Option<Unsupported>,
    ec2_sd_configs: Option<Unsupported>,
    gce_sd_configs: Option<Unsupported>,
}

impl Alertmanagers {
    /// Takes the options of the HTTP client out.
    pub fn take_http(&mut self) -> HttpClient {
        HttpClient {
            basic_auth: self.basic_auth.take(),
            authorization: self.authorization.take(),
            bearer_token: self.bearer_token.take(),
            bearer_token_file: self.bearer_token_file.take(),
            tls_config: self.tls_config.take(),
        }
    }

    /// Takes the sources of Alertmanagers out.
    pub fn take_sources(&mut self) -> Sources {
        Sources {
            static_configs: std::mem::take(&mut self.static_configs),
            file_sd_configs: std::mem::take(&mut self.file_sd_configs),
            http_sd_configs: std::mem::take(&mut self.http_sd_configs),
            kubernetes_sd_configs: std::mem::take(&mut self.kubernetes_sd_configs),
        }
    }
}

/// Prometheus does not have this one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Webhook {
    pub url: String,
    #[serde(default, with = "protocol::duration::option")]
    pub timeout: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub repeat_interval: Option<Duration>,
    pub send_resolved: Option<bool>,
    #[serde(default)]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    tls_config: Option<TlsConfig>,
}

impl Webhook {
    /// Takes the options of the HTTP client out.
    pub fn take_http(&mut self) -> HttpClient {
        HttpClient {
            basic_auth: self.basic_auth.take(),
            authorization: self.authorization.take(),
            tls_config: self.tls_config.take(),
            ..HttpClient::default()
        }
    }
}
