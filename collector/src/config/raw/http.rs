//! HTTP client options as they are written.

use std::path::PathBuf;

use serde::Deserialize;

use super::Unsupported;

/// The options that scrape jobs and service discovery share.
#[derive(Debug, Default, PartialEq)]
pub(in crate::config) struct HttpClient {
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub bearer_token: Option<String>,
    pub bearer_token_file: Option<PathBuf>,
    pub tls_config: Option<TlsConfig>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BasicAuth {
    pub username: Option<String>,
    pub username_file: Option<PathBuf>,
    pub password: Option<String>,
    pub password_file: Option<PathBuf>,
    username_ref: Option<Unsupported>,
    password_ref: Option<Unsupported>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Authorization {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub credentials: Option<String>,
    pub credentials_file: Option<PathBuf>,
    credentials_ref: Option<Unsupported>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TlsConfig {
    pub ca: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub cert: Option<String>,
    pub cert_file: Option<PathBuf>,
    pub key: Option<String>,
    pub key_file: Option<PathBuf>,
    pub server_name: Option<String>,
    pub insecure_skip_verify: Option<bool>,
    ca_ref: Option<Unsupported>,
    cert_ref: Option<Unsupported>,
    key_ref: Option<Unsupported>,
    min_version: Option<Unsupported>,
    max_version: Option<Unsupported>,
}
