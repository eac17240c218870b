//! The shoppers against a stand-in for the front door.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use axum::{Json, Router};
use demo_services::shoppers::{Options, Profile, Shoppers};
use lifecycle::CancellationToken;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use crate::started::stand_in;

/// A shop that has nothing: all that browsing and searching needs.
fn empty_shop() -> Router {
    Router::new()
        .route("/api/categories", get(|| async { Json(json!([])) }))
        .route("/api/products", get(|| async { Json(json!({"products": [], "page": 1, "total": 0})) }))
        .route("/api/search", get(|| async { Json(json!({"hits": [], "total": 0, "page": 1})) }))
        .fallback(|| async { StatusCode::UNAUTHORIZED })
}

async fn shoppers(shop: Router, rate: f64, seconds: Option<u64>) -> Shoppers {
    Shoppers::bind(Options {
        gateway: Url::parse(&format!("http://{}", stand_in(shop).await)).unwrap(),
        profile: Profile::Steady,
        rate,
        duration: seconds.map(Duration::from_secs),
        seed: 1,
        listen: "127.0.0.1:0".parse().unwrap(),
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_counts_against_every_customer_it_made_wait() {
    // The shop stands still from second 1 to second 2 of 4.
    let begun = Instant::now();
    let stall = move |request: Request, next: Next| async move {
        let now = begun.elapsed();
        if (Duration::from_secs(1)..Duration::from_secs(2)).contains(&now) {
            tokio::time::sleep(Duration::from_secs(2) - now).await;
        }
        next.run(request).await
    };
    let shoppers = shoppers(empty_shop().layer(from_fn(stall)), 100.0, Some(4)).await;
    let report = shoppers.run(CancellationToken::new()).await.unwrap();
    let browse = report.stats.journeys.iter().find(|journey| journey.name == "browse").unwrap();
    // 45 in a hundred browse; about a quarter of them come during the stall and wait half a second on average. Whoever
    // sends the next request only after the last answer would see one slow request in a hundred.
    assert!((140..=220).contains(&browse.requests), "they come although the shop stands still: {browse:?}");
    assert_eq!(browse.errors, 0);
    assert!(browse.p99_ms.unwrap() > 800.0, "{browse:?}");
    assert!(browse.p50_ms.unwrap() < 500.0, "{browse:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_who_find_no_room_are_errors_with_a_reason_and_a_stop_is_quick() {
    let closed = Router::new().fallback(|| async { std::future::pending::<()>().await });
    let sessions = axum::routing::post(|| async { StatusCode::SERVICE_UNAVAILABLE });
    let shoppers = shoppers(closed.route("/api/sessions", sessions), 2_000.0, None).await;
    let (stats, stop) = (shoppers.stats(), CancellationToken::new());
    let running = tokio::spawn(shoppers.run(stop.clone()));
    let no_room = "no room: 512 journeys are under way";
    crate::started::eventually("somebody finds no room", async || stats.stats().errors.contains_key(no_room)).await;
    stop.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(3), running).await.unwrap().unwrap().unwrap();
    let errors: u64 = stopped.stats.errors.values().sum();
    assert_eq!(errors, stopped.stats.journeys.iter().map(|journey| journey.errors).sum::<u64>());
    assert!(stopped.stats.errors.contains_key("did not end before the load did"), "{:?}", stopped.stats.errors);
}

#[tokio::test]
async fn metrics_are_served_from_the_start_to_the_last_look() {
    let shoppers = shoppers(empty_shop(), 50.0, Some(1)).await;
    let (stats, address) = (shoppers.stats(), shoppers.address());
    let metrics = async || reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics().await.contains("journeys_total{journey=\"browse\",outcome=\"error\"} 0"));
    shoppers.run(CancellationToken::new()).await.unwrap();
    let after = metrics().await;
    assert!(
        after.contains("journey_duration_seconds_bucket{journey=\"browse\",outcome=\"ok\",le=\"0.0025\"}")
            || after.contains("journey_duration_seconds_bucket{le=\"0.0025\",journey=\"browse\",outcome=\"ok\"}"),
        "{after}"
    );
    drop(stats);
}
