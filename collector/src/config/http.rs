//! How a server is called: who we say we are, and whom we believe. Prometheus' HTTP client options, checked; files that they
//! name are not read here, because they may come later and change at any time.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::raw::http as raw;
use super::secret::{Secret, Text};

/// Prometheus' default for `authorization.type`.
const SCHEME_DEFAULT: &str = "Bearer";

/// How a server is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpOptions {
    /// What is sent in the header `Authorization`.
    pub authorization: Option<Authorization>,
    /// For `https`.
    pub tls: TlsOptions,
}

/// What is sent in the header `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Authorization {
    /// `authorization`, `bearer_token`, `bearer_token_file`
    Token {
        /// Such as `Bearer`.
        scheme: String,
        /// What stands behind it.
        credentials: Text,
    },
    /// `basic_auth`
    Basic {
        /// Who.
        username: Text,
        /// With which password.
        password: Text,
    },
}

/// Whom we believe, and how we prove who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlsOptions {
    /// Authorities that are believed, as PEM; else those of the system.
    pub ca: Option<Text>,
    /// Our certificate and its key, as PEM.
    pub identity: Option<(Text, Text)>,
    /// The name that the server's certificate must carry, if not the address's.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

/// A field, and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

/// Checks the options; files are named relative to `folder`.
pub(super) fn check(raw: raw::HttpClient, folder: &Path) -> Result<HttpOptions, Wrong> {
    let given = [
        raw.basic_auth.is_some(),
        raw.authorization.is_some(),
        raw.bearer_token.is_some() || raw.bearer_token_file.is_some(),
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        let message = "only one of basic_auth, authorization and bearer_token may be given; remove the others";
        return Err(("authorization", message.to_owned()));
    }
    let authorization = match (raw.basic_auth, raw.authorization) {
        (Some(basic), _) => Some(basic_auth(basic, folder)?),
        (None, Some(authorization)) => token(authorization, folder)?,
        (None, None) => {
            let bearer =
                either(("bearer_token", raw.bearer_token), ("bearer_token_file", raw.bearer_token_file), folder)?;
            bearer.map(|credentials| Authorization::Token { scheme: SCHEME_DEFAULT.to_owned(), credentials })
        }
    };
    Ok(HttpOptions {
        authorization,
        tls: raw.tls_config.map(|tls| tls_options(tls, folder)).transpose()?.unwrap_or_default(),
    })
}

fn basic_auth(raw: raw::BasicAuth, folder: &Path) -> Result<Authorization, Wrong> {
    let username =
        either(("basic_auth.username", raw.username), ("basic_auth.username_file", raw.username_file), folder)?;
    let password =
        either(("basic_auth.password", raw.password), ("basic_auth.password_file", raw.password_file), folder)?;
    let none = || Text::Inline(Secret::new(""));
    Ok(Authorization::Basic { username: username.unwrap_or_else(none), password: password.unwrap_or_else(none) })
}

fn token(raw: raw::Authorization, folder: &Path) -> Result<Option<Authorization>, Wrong> {
    let scheme = raw.kind.map(|kind| kind.trim().to_owned()).filter(|kind| !kind.is_empty());
    let scheme = scheme.unwrap_or_else(|| SCHEME_DEFAULT.to_owned());
    if scheme.eq_ignore_ascii_case("basic") {
        return Err(("authorization.type", "is \"Basic\"; write basic_auth with a username and a password".to_owned()));
    }
    let credentials = either(
        ("authorization.credentials", raw.credentials),
        ("authorization.credentials_file", raw.credentials_file),
        folder,
    )?;
    Ok(credentials.map(|credentials| Authorization::Token { scheme, credentials }))
}

fn tls_options(raw: raw::TlsConfig, folder: &Path) -> Result<TlsOptions, Wrong> {
    let ca = either(("tls_config.ca", raw.ca), ("tls_config.ca_file", raw.ca_file), folder)?;
    let cert = either(("tls_config.cert", raw.cert), ("tls_config.cert_file", raw.cert_file), folder)?;
    let key = either(("tls_config.key", raw.key), ("tls_config.key_file", raw.key_file), folder)?;
    if let Some(Text::Inline(pem)) = &ca {
        certificates(pem.expose().as_bytes()).map_err(|message| ("tls_config.ca", message))?;
    }
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(("tls_config.key_file", "is missing: a certificate needs its key".to_owned())),
        (None, Some(_)) => return Err(("tls_config.cert_file", "is missing: a key needs its certificate".to_owned())),
    };
    if let Some((cert, key)) = &identity {
        if let Text::Inline(pem) = cert {
            certificates(pem.expose().as_bytes()).map_err(|message| ("tls_config.cert", message))?;
        }
        if let Text::Inline(pem) = key {
            private_key(pem.expose().as_bytes()).map_err(|message| ("tls_config.key", message))?;
        }
    }
    let server_name = raw.server_name.filter(|name| !name.is_empty());
    if let Some(name) = &server_name {
        let bad = |_| ("tls_config.server_name", format!("{name:?} is neither a host's name nor an IP address"));
        ServerName::try_from(name.clone()).map_err(bad)?;
    }
    Ok(TlsOptions { ca, identity, server_name, insecure_skip_verify: raw.insecure_skip_verify.unwrap_or(false) })
}

/// The certificates of a PEM text.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => {
            Err("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

/// The private key of a PEM text.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("holds no private key in PEM form: {error}"))
}

/// A text that stands in one of two fields; an empty one is none.
fn either(
    (name, inline): (&'static str, Option<String>),
    (file_name, file): (&'static str, Option<PathBuf>),
    folder: &Path,
) -> Result<Option<Text>, Wrong> {
    let inline = inline.filter(|text| !text.is_empty());
    let file = file.filter(|path| !path.as_os_str().is_empty());
    match (inline, file) {
        (Some(_), Some(_)) => Err((name, format!("and {file_name} may not both be given; remove one"))),
        (Some(text), None) => Ok(Some(Text::Inline(Secret::new(text)))),
        (None, Some(path)) => Ok(Some(Text::File(folder.join(path)))),
        (None, None) => Ok(None),
    }
}
