//! What this test binary does when it is started as a replica: a small HTTP server whose behaviour its environment sets.
//! Run as an ordinary test, without a runtime as its parent, it does nothing.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use cluster::local::{die_with_parent, enter_cgroups};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[test]
fn replica() {
    if std::env::var_os("PLIMSOLL_PARENT_PID").is_none() {
        return;
    }
    die_with_parent().unwrap();
    enter_cgroups().unwrap();
    let version = std::env::var("VERSION").unwrap();
    if version == "bad" {
        eprintln!("cannot read the price list");
        std::process::exit(3);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve());
}

async fn serve() {
    let name = std::env::var("POD_NAME").unwrap();
    let router = Router::new()
        .route("/", get(move || async move { name }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
        .route("/env/{name}", get(|Path(name): Path<String>| async { std::env::var(name).unwrap_or_default() }))
        .route(
            "/slow/{ms}",
            get(|Path(ms): Path<u64>| async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                "slow"
            }),
        )
        .route("/echo", axum::routing::post(|body: axum::body::Bytes| async { body }))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .route("/burn/{ms}", get(|Path(ms): Path<u64>| async move { burn(Duration::from_millis(ms)) }))
        .route("/eat/{mebibytes}", get(|Path(mebibytes): Path<usize>| async move { eat(mebibytes << 20) }))
        .route("/hang", get(|| async { std::thread::sleep(Duration::from_secs(3600)) }));
    let address: SocketAddr = format!("{}:8080", std::env::var("POD_IP").unwrap()).parse().unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await.unwrap();
}

fn eat(bytes: usize) -> String {
    let eaten = std::hint::black_box(vec![1u8; bytes]);
    eaten.len().to_string()
}

fn burn(time: Duration) -> String {
    let began = std::time::Instant::now();
    let mut rounds = 0u64;
    while began.elapsed() < time {
        rounds += 1;
    }
    rounds.to_string()
}
