//! Starts services and stand-ins for tests, each on a port of its own, and ends them with the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use demo_services::chassis::{Config, RunError};
use demo_services::service;
use lifecycle::CancellationToken;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

/// At least 32 characters, and nobody's.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running service or stand-in.
#[derive(Debug)]
pub struct Started {
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), RunError>>,
}

impl Started {
    pub async fn service(config: Config) -> Self {
        let stop = CancellationToken::new();
        let service = service::start(config, stop.clone()).await.unwrap();
        let (http, admin) = (service.http_address(), service.admin_address());
        Self { http, admin, stop, task: tokio::spawn(service.run()) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    pub async fn metrics(&self) -> String {
        reqwest::get(self.url("/metrics")).await.unwrap().text().await.unwrap()
    }
}

/// Serves `routes` as a stand-in for a peer.
pub async fn stand_in(routes: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// The peers of a service: those named, and nobody for the others.
pub async fn peers(named: &[(&str, SocketAddr)]) -> BTreeMap<String, Url> {
    let mut peers = BTreeMap::new();
    for name in service::NAMES {
        let known = named.iter().find(|(known, _)| *known == name).map(|(_, address)| *address);
        let address = match known {
            Some(address) => address,
            None => nobody().await,
        };
        peers.insert(name.to_owned(), Url::parse(&format!("http://{address}")).unwrap());
    }
    peers
}

/// Waits until `check` says yes, at most ten seconds.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !check().await {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
