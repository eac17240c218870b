//! From TLS options to a connector: which authorities are believed, which certificate we show. Only rustls with ring.

use std::sync::Arc;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;

use super::read;
use crate::config::http::{TlsOptions, certificates, private_key};
use crate::config::secret::{Secret, Text};

/// What a connector is made of, as it was read.
#[derive(Clone, PartialEq)]
pub(super) struct TlsMaterial {
    ca: Option<Secret>,
    identity: Option<(Secret, Secret)>,
    options: TlsOptions,
}

impl TlsMaterial {
    /// Reads the files.
    pub async fn read(options: &TlsOptions) -> Result<Self, String> {
        let ca = match &options.ca {
            Some(text) => Some(read(text).await?),
            None => None,
        };
        let identity = match &options.identity {
            Some((cert, key)) => Some((read(cert).await?, read(key).await?)),
            None => None,
        };
        Ok(Self { ca, identity, options: options.clone() })
    }

    /// A connector for http and https.
    pub fn connector(&self) -> Result<HttpsConnector<HttpConnector>, String> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.config()?).https_or_http();
        let builder = match &self.options.server_name {
            None => builder,
            Some(name) => {
                let name = ServerName::try_from(name.clone()).map_err(|error| format!("server_name: {error}"))?;
                builder.with_server_name_resolver(FixedServerNameResolver::new(name))
            }
        };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        Ok(builder.enable_http1().wrap_connector(http))
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for every version that rustls deems safe");
        let builder = if self.options.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else if let Some(ca) = &self.ca {
            let mut roots = RootCertStore::empty();
            for certificate in
                certificates(ca.expose().as_bytes()).map_err(|error| place(self.options.ca.as_ref(), &error))?
            {
                roots.add(certificate).map_err(|error| place(self.options.ca.as_ref(), &error.to_string()))?;
            }
            builder.with_root_certificates(roots)
        } else if let Ok(builder) = builder.clone().with_platform_verifier() {
            builder
        } else {
            // No authority is known to this system, as in an image from scratch: https then fails, http does not need one.
            builder.with_root_certificates(RootCertStore::empty())
        };
        let Some((cert, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let texts = self.options.identity.as_ref();
        let chain =
            certificates(cert.expose().as_bytes()).map_err(|error| place(texts.map(|(cert, _)| cert), &error))?;
        let key = private_key(key.expose().as_bytes()).map_err(|error| place(texts.map(|(_, key)| key), &error))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| format!("the client's certificate: {error}"))
    }
}

/// An error with the file that it is about.
fn place(text: Option<&Text>, error: &str) -> String {
    match text {
        Some(Text::File(path)) => format!("{} {error}", path.display()),
        _ => format!("tls_config {error}"),
    }
}

/// Believes everybody, as `insecure_skip_verify` asks for; who answers must still hold the key of what it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
