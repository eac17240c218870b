//! Targets that speak https and want to know who asks: whom the collector believes, what it sends, and what it never shows.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::running::Running;

/// Certificates by an authority of these tests alone, good for a hundred years; `server` is 127.0.0.1 and target.test.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");

/// What a target demands, and what it saw.
#[derive(Clone, Default)]
struct Guard {
    wants: Arc<Mutex<Option<String>>>,
    saw: Arc<Mutex<Vec<Option<String>>>>,
}

impl Guard {
    fn wants(&self, authorization: &str) {
        *self.wants.lock() = Some(authorization.to_owned());
    }

    fn routes(&self) -> Router {
        Router::new().route("/metrics", get(answer)).with_state(self.clone())
    }
}

async fn answer(State(guard): State<Guard>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    guard.saw.lock().push(given.clone());
    let wanted = guard.wants.lock().clone();
    if wanted.is_some() && wanted != given {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], "a 1\n").into_response()
}

fn server_config(name: &str, wants_certificate: bool) -> ServerConfig {
    let file = |name: &str| Path::new(FOLDER).join(name);
    let chain = vec![CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).unwrap()
}

/// Serves over TLS; its address.
async fn serve(tasks: &mut JoinSet<()>, config: ServerConfig, routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, routes) = (acceptor.clone(), routes.clone());
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(routes);
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn job(address: &str, options: &str) -> String {
    format!(
        "global: {{ scrape_interval: 100ms }}\nscrape_configs:\n- job_name: t\n  scheme: https\n{options}  \
         static_configs: [{{ targets: [{address:?}] }}]\n"
    )
}

/// The health of the only target and its last error, once it has been scraped.
async fn outcome(running: &Running) -> (String, String) {
    running.becomes("count(up)", 1.0).await;
    let view = running.client.targets().await.unwrap().active_targets.remove(0);
    (view.health, view.last_error)
}

#[tokio::test]
async fn a_certificate_is_believed_if_its_authority_and_its_name_are_right() {
    let mut tasks = JoinSet::new();
    let server = serve(&mut tasks, server_config("server", false), Guard::default().routes()).await;
    let other = serve(&mut tasks, server_config("other", false), Guard::default().routes()).await;
    let picky = serve(&mut tasks, server_config("server", true), Guard::default().routes()).await;
    let (ca, client) = (format!("ca_file: {FOLDER}/ca.pem"), format!("cert_file: {FOLDER}/client.pem"));
    for (address, tls, health, error) in [
        (&server, ca.clone(), "up", ""),
        (&server, format!("{ca}, server_name: target.test"), "up", ""),
        (&server, String::new(), "down", "UnknownIssuer"),
        (&server, format!("{ca}, server_name: elsewhere.test"), "down", "not valid for name"),
        (&other, ca.clone(), "down", "not valid for name"),
        (&other, format!("{ca}, server_name: other.test"), "up", ""),
        (&other, "insecure_skip_verify: true".to_owned(), "up", ""),
        (&server, format!("ca_file: {FOLDER}/nothing.pem"), "down", "nothing.pem: cannot be read: No such file"),
        (
            &server,
            format!("ca_file: {FOLDER}/ca.pem, {client}, key_file: {FOLDER}/ca.pem"),
            "down",
            "ca.pem holds no private",
        ),
        (&picky, ca.clone(), "down", ""),
        (&picky, format!("{ca}, {client}, key_file: {FOLDER}/client.key"), "up", ""),
    ] {
        let (mut own, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
        let config = job(address, &format!("  tls_config: {{ {tls} }}\n"));
        let running = Running::start(&mut own, folder.path(), &config).await;
        let found = outcome(&running).await;
        assert!(found.0 == health && found.1.contains(error), "{tls}: {found:?}");
    }
}

#[tokio::test]
async fn a_token_that_rotates_is_read_again_at_once_and_shown_nowhere() {
    let mut tasks = JoinSet::new();
    let (guard, folder) = (Guard::default(), tempfile::tempdir().unwrap());
    guard.wants("Bearer hush-1");
    let address = serve(&mut tasks, server_config("server", false), guard.routes()).await;
    let file = folder.path().join("token");
    std::fs::write(&file, "hush-1\n").unwrap();
    let options =
        format!("  authorization: {{ credentials_file: token }}\n  tls_config: {{ ca_file: {FOLDER}/ca.pem }}\n");
    let running = Running::start(&mut tasks, folder.path(), &job(&address, &options)).await;
    running.becomes("up", 1.0).await;
    guard.wants("Bearer hush-2");
    running.becomes("up", 0.0).await;
    std::fs::write(&file, "hush-2\n").unwrap();
    running.becomes("up", 1.0).await;
    // A file that is gone for a moment is not a token that is lost.
    std::fs::remove_file(&file).unwrap();
    guard.wants("Bearer hush-3");
    running.becomes("up", 0.0).await;
    std::fs::write(&file, "hush-3").unwrap();
    running.becomes("up", 1.0).await;
    for path in ["/api/v1/targets", "/api/v1/status/config", "/metrics", "/api/v1/status/flags"] {
        assert!(!running.get(path).await.1.contains("hush"), "{path}");
    }
}

#[tokio::test]
async fn an_authority_that_rotates_is_believed_without_a_restart() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let address = serve(&mut tasks, server_config("server", false), Guard::default().routes()).await;
    let file = folder.path().join("ca.crt");
    // Not the authority of the server, as before a rotation.
    std::fs::copy(format!("{FOLDER}/other.pem"), &file).unwrap();
    let running =
        Running::start(&mut tasks, folder.path(), &job(&address, "  tls_config: { ca_file: ca.crt }\n")).await;
    running.becomes("up", 0.0).await;
    std::fs::copy(format!("{FOLDER}/ca.pem"), &file).unwrap();
    running.becomes("up", 1.0).await;
}

#[tokio::test]
async fn each_kind_of_credentials_is_sent_as_prometheus_sends_it() {
    for (options, header) in [
        ("  basic_auth: { username: ann, password: 'p:w' }\n", "Basic YW5uOnA6dw=="),
        ("  bearer_token: abc\n", "Bearer abc"),
        ("  authorization: { type: Token, credentials: abc }\n", "Token abc"),
    ] {
        let (mut tasks, folder, guard) = (JoinSet::new(), tempfile::tempdir().unwrap(), Guard::default());
        guard.wants(header);
        let address = serve(&mut tasks, server_config("server", false), guard.routes()).await;
        let options = format!("{options}  tls_config: {{ ca_file: {FOLDER}/ca.pem }}\n");
        let running = Running::start(&mut tasks, folder.path(), &job(&address, &options)).await;
        running.becomes("up", 1.0).await;
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_somebody_else() {
    let (mut tasks, folder, guard) = (JoinSet::new(), tempfile::tempdir().unwrap(), Guard::default());
    let stranger = serve(&mut tasks, server_config("server", false), guard.routes()).await;
    let to = format!("https://{stranger}/metrics");
    let routes = Router::new().route("/metrics", get(move || async move { Redirect::temporary(&to) }));
    let address = serve(&mut tasks, server_config("server", false), routes).await;
    let options = format!("  bearer_token: hush\n  tls_config: {{ ca_file: {FOLDER}/ca.pem }}\n");
    let running = Running::start(&mut tasks, folder.path(), &job(&address, &options)).await;
    running.becomes("up", 1.0).await;
    let saw = guard.saw.lock().clone();
    assert!(!saw.is_empty() && saw.iter().all(Option::is_none), "{saw:?}");
}
