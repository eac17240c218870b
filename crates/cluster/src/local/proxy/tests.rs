//! The proxy against made-up replicas: balancing, trying another one, and what a client is told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use lifecycle::CancellationToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Backend, InFlight, Route, pick, serve};

fn nowhere() -> SocketAddr {
    // Bound and dropped again, so nobody listens there.
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn proxy(backends: &[SocketAddr]) -> (Arc<Route>, String) {
    let route = Route::new("order");
    let backend = |(index, address): (usize, &SocketAddr)| Backend::new(&index.to_string(), *address, Arc::default());
    route.set_backends(backends.iter().enumerate().map(backend).collect());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, route.clone(), CancellationToken::new()));
    (route, url)
}

#[test]
fn draws_every_replica_but_those_tried_or_leaving() {
    let leaving = Arc::new(InFlight::default());
    leaving.leave();
    let in_flights = [Arc::default(), leaving, Arc::default(), Arc::default()];
    let backends: Vec<_> = in_flights.into_iter().map(|in_flight| Backend::new("", nowhere(), in_flight)).collect();
    let drawn = |tried: &[usize]| -> BTreeSet<usize> {
        (0..200).filter_map(|_| pick(&backends, tried).map(|(position, _)| position)).collect()
    };
    assert_eq!(drawn(&[]), BTreeSet::from([0, 2, 3]));
    assert_eq!(drawn(&[3]), BTreeSet::from([0, 2]));
    assert_eq!(drawn(&[0, 2, 3]), BTreeSet::new());
}

#[test]
fn requests_in_flight_stay_even() {
    let backends: Vec<_> = (0..4).map(|_| Backend::new("", nowhere(), Arc::default())).collect();
    let leases: Vec<_> = (0..400).filter_map(|_| pick(&backends, &[])).collect();
    let loads: Vec<usize> = backends.iter().map(|backend| backend.load()).collect();
    assert!(loads.iter().all(|load| (90..=110).contains(load)), "{loads:?}");
    drop(leases);
    assert!(backends.iter().all(|backend| backend.load() == 0));
}

#[tokio::test]
async fn a_replica_that_cannot_be_reached_is_passed_over() {
    let good = listen(Router::new().route("/", post(|body: String| async { body }))).await;
    let (route, url) = proxy(&[nowhere(), good, nowhere()]).await;
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let answer = client.post(&url).body("once").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "once"));
    }
    assert_eq!(route.answered().collect::<Vec<_>>(), [(200, 20)]);
}

#[tokio::test]
async fn says_when_none_is_ready_or_none_can_be_reached() {
    let (route, url) = proxy(&[nowhere()]).await;
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("no replica of Service order can be reached: 0 at 127.0.0.1:"), "{text}");
    route.set_backends(Vec::new());
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (503, "no replica of Service order is ready\n")
    );
}

#[tokio::test]
async fn what_a_replica_may_have_seen_is_not_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rude = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let mut seen = 0;
        // Reads the request and hangs up; a second connection would be a second try.
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.shutdown().await;
            seen += 1;
        }
        seen
    });
    let (_, url) = proxy(&[rude, rude]).await;
    let answer = reqwest::Client::new().post(&url).body("pay").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 502);
    assert_eq!(seen.await.unwrap(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_replica_closed_does_no_harm() {
    let close = || async { ([("connection", "close")], "bye") };
    let (route, url) = proxy(&[listen(Router::new().route("/", get(close))).await]).await;
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.headers().get("connection"), None, "it concerns the replica's connection only");
        assert_eq!(answer.text().await.unwrap(), "bye");
    }
    assert_eq!(route.answered().collect::<Vec<_>>(), [(200, 20)]);
}

#[tokio::test]
async fn drained_waits_for_the_last_byte() {
    let in_flight = Arc::new(InFlight::default());
    let backend = Backend::new("a", nowhere(), in_flight.clone());
    let lease = backend.lease().unwrap();
    in_flight.leave();
    assert!(backend.lease().is_none());
    let waiting = tokio::spawn({
        let in_flight = in_flight.clone();
        async move { in_flight.drained().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(lease);
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
}
