//! What keeps one query from harming the others: it is cancelled when its client goes, waits its turn, and holds no more
//! than it may.

use std::time::Duration;

use collector::promql::EngineOptions;
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::running::{Running, scrape};

/// Four times ten to the tenth samples to look at: minutes.
const SLOW: &str = "stddev_over_time(stddev_over_time(vector(1)[200000s:1s])[200000s:1s])";

/// Far less than the slow query takes, far more than anything else here.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start(tasks: &mut JoinSet<()>, folder: &std::path::Path, queries: EngineOptions) -> Running {
    Running::start_with(tasks, folder, &scrape(&[]), |options| options.queries = queries).await
}

fn path(query: &str, rest: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    format!("/api/v1/query?query={encoded}{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_ends_when_its_client_hangs_up() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let running = start(&mut tasks, folder.path(), EngineOptions { queries_max: 1, ..EngineOptions::default() }).await;
    let mut client = TcpStream::connect(running.endpoints.http).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path(SLOW, ""));
    client.write_all(request.as_bytes()).await.unwrap();
    // The only place is taken as soon as somebody else has to wait for it.
    let deadline = Instant::now() + DEADLINE;
    while running.get(&path("1", "&timeout=100ms")).await.0 == StatusCode::OK {
        assert!(Instant::now() < deadline, "the slow query has not begun");
    }
    let (status, body) = running.get(&path("1", "&timeout=100ms")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("query timed out in query queue"), "{body}");
    drop(client);
    let answer = timeout(DEADLINE, running.get(&path("1", ""))).await.expect("the slow query went on for nobody");
    assert_eq!(answer.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_ask_for_too_much_are_refused_and_others_are_not() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let limits = EngineOptions { samples_max: 10_000, ..EngineOptions::default() };
    let running = start(&mut tasks, folder.path(), limits).await;
    let (status, body) = running.get(&path("vector(1)[100000s:1s]", "")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body.contains("too many samples"), "{body}");
    assert_eq!(running.get(&path("vector(1)[100s:1s]", "")).await.0, StatusCode::OK);
    let (status, body) = running.get(&path(SLOW, "")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}
