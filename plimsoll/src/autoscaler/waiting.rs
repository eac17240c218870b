//! What a pod answers while it waits for an API server that is away: it lives, and is not ready, with the reason. Without an answer it
//! would be killed for what a restart cannot mend. Waits for nothing by itself.

use std::io;
use std::os::fd::AsFd;

use axum::Router;
use lifecycle::Liveness;
use lifecycle::health::{Report, routes};
use tokio::net::TcpListener;

/// Answers `/healthz` and `/readyz` at the port for as long as it is polled; the port stays open for who comes after.
///
/// # Errors
/// When the port cannot be shared, or fails.
pub async fn answer(port: &TcpListener, reason: String) -> io::Result<()> {
    let shared = std::net::TcpListener::from(port.as_fd().try_clone_to_owned()?);
    let report = Report { missing: vec![reason], notes: Vec::new() };
    let router: Router = routes(&Liveness::default(), move || report.clone());
    axum::serve(TcpListener::from_std(shared)?, router).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_lives_and_is_not_ready_and_leaves_the_port_to_the_next() {
        let port = lifecycle::listen("127.0.0.1:0".parse().unwrap(), "--listen").await.unwrap();
        let base = format!("http://{}", port.local_addr().unwrap());
        let ask = async |path: &str| {
            let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let asked = async { (ask("/healthz").await, ask("/readyz").await) };
        let (healthy, ready) = tokio::select! {
            ended = answer(&port, "the API server is away".to_owned()) => panic!("{ended:?}"),
            asked = asked => asked,
        };
        assert_eq!(healthy, (200, "ok\n".to_owned()));
        assert_eq!(ready, (503, "not ready: the API server is away\n".to_owned()));
        let next: Router = Router::new().route("/", axum::routing::get(|| async { "next" }));
        tokio::select! {
            ended = axum::serve(port, next).into_future() => panic!("{ended:?}"),
            (code, text) = ask("/") => assert_eq!((code, text.as_str()), (200, "next")),
        }
    }
}
