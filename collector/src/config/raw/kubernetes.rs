//! `kubernetes_sd_configs` as they are written.

use std::path::PathBuf;

use serde::Deserialize;

use super::Unsupported;
use super::http::{Authorization, BasicAuth, HttpClient, TlsConfig};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(in crate::config) struct KubernetesSdConfig {
    pub role: Option<String>,
    pub api_server: Option<String>,
    pub kubeconfig_file: Option<PathBuf>,
    #[serde(default)]
    pub namespaces: Namespaces,
    #[serde(default)]
    pub selectors: Vec<Selector>,
    #[serde(default)]
    pub attach_metadata: AttachMetadata,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    bearer_token: Option<String>,
    bearer_token_file: Option<PathBuf>,
    tls_config: Option<TlsConfig>,
    oauth2: Option<Unsupported>,
    http_headers: Option<Unsupported>,
    follow_redirects: Option<Unsupported>,
    enable_http2: Option<Unsupported>,
    proxy_url: Option<Unsupported>,
    no_proxy: Option<Unsupported>,
    proxy_from_environment: Option<Unsupported>,
    proxy_connect_header: Option<Unsupported>,
}

impl KubernetesSdConfig {
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Namespaces {
    #[serde(default)]
    pub own_namespace: bool,
    #[serde(default)]
    pub names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Selector {
    pub role: String,
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub field: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "unsupported fields exist only to be refused by name")]
pub(in crate::config) struct AttachMetadata {
    #[serde(default)]
    pub node: bool,
    #[serde(default)]
    pub namespace: bool,
    deployment: Option<Unsupported>,
    job: Option<Unsupported>,
    cronjob: Option<Unsupported>,
}
