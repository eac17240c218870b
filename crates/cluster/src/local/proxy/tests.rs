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

/// Reads each request, says `says` and hangs up; answers how many connections there were until none came any more.
async fn rude(says: &'static str) -> (SocketAddr, tokio::task::JoinHandle<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let mut seen = 0;
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_millis(500), listener.accept()).await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(says.as_bytes()).await;
            let _ = stream.shutdown().await;
            seen += 1;
        }
        seen
    });
    (address, seen)
}

#[tokio::test]
async fn what_a_replica_may_have_seen_is_not_sent_twice() {
    let client = reqwest::Client::new();
    for request in [client.post("http://a/").body("pay"), client.post("http://a/"), client.put("http://a/").body("x")] {
        let (rude, seen) = rude("").await;
        let (route, url) = proxy(&[rude, rude]).await;
        let mut request = request.build().unwrap();
        *request.url_mut() = url.parse().unwrap();
        let answer = client.execute(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), route.repeated()), (502, 0));
        assert_eq!(seen.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_question_that_a_replica_broke_off_is_put_to_another_one() {
    let router = || {
        Router::new().route(
            "/{item}",
            get(|headers: http::HeaderMap, uri: http::Uri| async move {
                format!("{uri} {:?}", headers.get("x-trace").unwrap())
            }),
        )
    };
    let ((rude, _), good) = (rude("").await, listen(router()).await);
    let (route, url) = proxy(&[rude, good]).await;
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let answer = client.get(format!("{url}tea?cups=2")).header("x-trace", "7").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "/tea?cups=2 \"7\""));
    }
    assert!(route.repeated() > 0);
}

#[tokio::test]
async fn a_question_is_put_to_two_replicas_at_most() {
    let (rude, seen) = rude("").await;
    let (route, url) = proxy(&[rude, rude, rude]).await;
    assert_eq!(reqwest::get(&url).await.unwrap().status().as_u16(), 502);
    assert_eq!((seen.await.unwrap(), route.repeated()), (2, 1));
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let (rude, seen) = rude("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let (route, url) = proxy(&[rude, rude]).await;
    assert!(reqwest::get(&url).await.unwrap().text().await.is_err());
    assert_eq!((seen.await.unwrap(), route.repeated()), (1, 0));
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
