//! From the configuration to a client of the API server. Asks the server nothing yet: that it does not answer is for the
//! watches to say, and to get over.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lifecycle::words;

use super::trouble::Trouble;
use crate::config::http::{Authorization, HttpOptions, TlsOptions, certificates};
use crate::config::kubernetes::ApiServer;
use crate::config::secret::Text;

/// How long the API server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where a pod finds the name of its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The same by the downward API, for pods without a service account's volume.
const NAMESPACE_VARIABLE: &str = "POD_NAMESPACE";

/// A client that breaks off an answer which has not gone on for `read_patience`. Every file is read anew.
pub(super) async fn client(server: &ApiServer, read_patience: Duration) -> Result<Client, Trouble> {
    let mut config = match server {
        ApiServer::InCluster => Config::incluster().map_err(|error| Trouble::NoCluster { reason: words(&error) })?,
        ApiServer::Kubeconfig(path) => kubeconfig(path).await?,
        ApiServer::At { url, http } => at(url.as_str(), http)?,
    };
    config.connect_timeout = Some(CONNECT_PATIENCE);
    config.read_timeout = Some(read_patience);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| Trouble::Credentials { reason: words(&error) })
}

/// The namespace that this process runs in.
pub(super) fn own_namespace() -> Result<String, Trouble> {
    let found = std::fs::read_to_string(NAMESPACE_FILE).ok().or_else(|| std::env::var(NAMESPACE_VARIABLE).ok());
    let name = found.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.ok_or_else(|| Trouble::NoCluster {
        reason: format!(
            "own_namespace: neither {NAMESPACE_FILE} nor the variable {NAMESPACE_VARIABLE} names a namespace"
        ),
    })
}

async fn kubeconfig(path: &Path) -> Result<Config, Trouble> {
    let wrong = |reason: String| Trouble::Kubeconfig { path: path.to_owned(), reason };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| wrong(words(&error)))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.map_err(|error| wrong(words(&error)))
}

fn at(url: &str, http: &HttpOptions) -> Result<Config, Trouble> {
    let wrong = |reason: String| Trouble::Credentials { reason };
    let mut config = Config::new(url.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?);
    authorize(&mut config, http).map_err(wrong)?;
    identify(&mut config, &http.tls).map_err(wrong)?;
    config.accept_invalid_certs = http.tls.insecure_skip_verify;
    config.tls_server_name.clone_from(&http.tls.server_name);
    match &http.tls.ca {
        Some(text @ Text::File(path)) => {
            // Read again each minute by kube, which does not say which file it could not read.
            let pem = read(text).map_err(wrong)?;
            certificates(pem.as_bytes()).map_err(|reason| wrong(format!("{} {reason}", path.display())))?;
            config.root_cert_file = Some(path.clone());
        }
        Some(Text::Inline(pem)) => {
            let read =
                certificates(pem.expose().as_bytes()).map_err(|reason| wrong(format!("tls_config.ca {reason}")))?;
            config.root_cert = Some(read.iter().map(|certificate| certificate.to_vec()).collect());
        }
        None => {}
    }
    Ok(config)
}

fn authorize(config: &mut Config, http: &HttpOptions) -> Result<(), String> {
    let mut who = AuthInfo::default();
    match &http.authorization {
        None => {}
        Some(Authorization::Basic { username, password }) => {
            who.username = Some(read(username)?);
            who.password = Some(read(password)?.into());
        }
        Some(Authorization::Token { scheme, credentials }) if scheme == "Bearer" => match credentials {
            Text::Inline(token) => who.token = Some(token.expose().to_owned().into()),
            // Read again each minute by kube.
            Text::File(path) => who.token_file = Some(path.display().to_string()),
        },
        Some(Authorization::Token { scheme, credentials }) => {
            let value = format!("{scheme} {}", read(credentials)?);
            let mut value = http::HeaderValue::try_from(value).map_err(|_| "the credentials are no header's value")?;
            value.set_sensitive(true);
            config.headers.push((http::header::AUTHORIZATION, value));
        }
    }
    config.auth_info = who;
    Ok(())
}

fn identify(config: &mut Config, tls: &TlsOptions) -> Result<(), String> {
    let Some((cert, key)) = &tls.identity else { return Ok(()) };
    config.auth_info.client_certificate_data = Some(STANDARD.encode(read(cert)?));
    config.auth_info.client_key_data = Some(STANDARD.encode(read(key)?).into());
    Ok(())
}

fn read(text: &Text) -> Result<String, String> {
    match text {
        Text::Inline(text) => Ok(text.expose().to_owned()),
        Text::File(path) => {
            let read = std::fs::read_to_string(path).map(|text| text.trim().to_owned());
            read.map_err(|error| format!("{}: cannot be read: {error}", path.display()))
        }
    }
}
