//! The gateway with a real user service and stand-ins for the others.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use demo_services::chassis::Config;
use demo_services::contract::{ProductView, Session, User};
use demo_services::user::{DEMO_PASSWORD, demo_email};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::started::{SECRET, Started, peers, stand_in};

async fn user_service(folder: &tempfile::TempDir) -> Started {
    Started::service(Config {
        store_url: Some(format!("sqlite://{}/user.db", folder.path().display())),
        token_secret: Some(SECRET.to_owned()),
        ..Config::on_loopback("user")
    })
    .await
}

async fn gateway(named: &[(&str, std::net::SocketAddr)]) -> Started {
    Started::service(Config {
        token_secret: Some(SECRET.to_owned()),
        peers: peers(named).await,
        ..Config::on_loopback("gateway")
    })
    .await
}

fn product(id: &str) -> Value {
    json!({"id": id, "name": "Kettle", "description": "", "category": "kitchen", "price_cents": 100,
           "attributes": {}, "created_at_ms": 0})
}

fn catalogue() -> Router {
    Router::new()
        .route("/products", get(|| async { Json(json!({"products": [product("p-1")], "page": 1, "total": 1})) }))
        .route("/products/{id}", get(|| async { Json(product("p-1")) }))
}

async fn sign_in(gateway: &Started, email: &str, password: &str) -> (StatusCode, String) {
    let claimed = json!({"email": email, "password": password});
    let answer = Client::new().post(gateway.url("/api/sessions")).json(&claimed).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_customer_signs_up_signs_in_and_changes_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let users = user_service(&folder).await;
    let gateway = gateway(&[("user", users.http)]).await;
    let http = Client::new();

    let wanted = json!({"email": "Ann@example.com", "name": "Ann", "password": "correct horse"});
    let created = http.post(gateway.url("/api/users")).json(&wanted).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let taken = http.post(gateway.url("/api/users")).json(&wanted).send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::CONFLICT);

    let (status, body) = sign_in(&gateway, "ann@example.com", "correct horse").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let token = serde_json::from_str::<Session>(&body).unwrap().token;
    let me = gateway.url("/api/users/me");
    let changed = http.patch(&me).bearer_auth(&token).json(&json!({"name": "Ann B."})).send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
    let profile: User = http.get(&me).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert_eq!((profile.name.as_str(), profile.email.as_str()), ("Ann B.", "ann@example.com"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let folder = tempfile::tempdir().unwrap();
    let users = user_service(&folder).await;
    let gateway = gateway(&[("user", users.http)]).await;
    let known = demo_email(1);
    assert_eq!(sign_in(&gateway, &known, DEMO_PASSWORD).await.0, StatusCode::OK);
    let wrong = sign_in(&gateway, &known, "not the password").await;
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong, sign_in(&gateway, "nobody@example.com", "not the password").await);
}

#[tokio::test]
async fn only_a_token_says_who_is_asking() {
    let folder = tempfile::tempdir().unwrap();
    let users = user_service(&folder).await;
    let gateway = gateway(&[("user", users.http)]).await;
    let http = Client::new();
    let me = gateway.url("/api/users/me");
    let claimed = http.get(&me).header("x-user-id", "shopper-0002").send().await.unwrap();
    assert_eq!(claimed.status(), StatusCode::UNAUTHORIZED);
    let forged = http.get(&me).bearer_auth("a.b.c").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);

    let (_, body) = sign_in(&gateway, &demo_email(1), DEMO_PASSWORD).await;
    let token = serde_json::from_str::<Session>(&body).unwrap().token;
    let both = http.get(&me).bearer_auth(&token).header("x-user-id", "shopper-0002").send().await.unwrap();
    assert_eq!(both.json::<User>().await.unwrap().id, "shopper-0001");
}

#[tokio::test]
async fn a_product_page_names_the_parts_that_are_missing() {
    let slow = Router::new().route("/stock", get(|| async { std::future::pending::<()>().await }));
    let reviews = Router::new().route(
        "/products/{id}/reviews",
        get(|| async { Json(json!({"average_stars": 4.5, "count": 2, "reviews": []})) }),
    );
    let gateway = gateway(&[
        ("product", stand_in(catalogue()).await),
        ("inventory", stand_in(slow).await),
        ("review", stand_in(reviews).await),
    ])
    .await;
    let begun = Instant::now();
    let answer = reqwest::get(gateway.url("/api/products/p-1")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let view: ProductView = answer.json().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1_500), "took {:?}", begun.elapsed());
    assert_eq!(view.missing, ["stock", "recommendations"]);
    assert_eq!(view.reviews.unwrap().count, 2);
    let odd = reqwest::get(gateway.url("/api/products/..%2Faudit")).await.unwrap();
    assert_eq!(odd.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_payment_outage_is_said_at_once_and_leaves_browsing_alone() {
    let folder = tempfile::tempdir().unwrap();
    let users = user_service(&folder).await;
    let broken = Router::new().fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR });
    let gateway =
        gateway(&[("user", users.http), ("product", stand_in(catalogue()).await), ("payment", stand_in(broken).await)])
            .await;
    let (_, body) = sign_in(&gateway, &demo_email(1), DEMO_PASSWORD).await;
    let token = serde_json::from_str::<Session>(&body).unwrap().token;
    let http = Client::new();
    for _ in 0..12 {
        let card = json!({"number": "4242424242424242", "expiry": "12/30", "cvc": "123"});
        let refused = http.post(gateway.url("/api/cards")).bearer_auth(&token).json(&card).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        let page = http.get(gateway.url("/api/products")).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
    }
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("circuit_breaker_state{peer=\"payment\"} 2"), "{metrics}");
    assert!(metrics.contains("circuit_breaker_state{peer=\"product\"} 0"), "{metrics}");
}

#[tokio::test]
async fn passes_on_trace_deadline_user_and_key_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let users = user_service(&folder).await;
    let echo = Router::new().route(
        "/orders",
        post(|headers: HeaderMap| async move {
            let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            Json(json!({"trace": text("traceparent"), "deadline": text("x-request-timeout-ms"), "key": text("idempotency-key"),
                        "user": text("x-user-id"), "token": text("authorization")}))
        }),
    );
    let gateway = gateway(&[("user", users.http), ("order", stand_in(echo).await)]).await;
    let (_, body) = sign_in(&gateway, &demo_email(3), DEMO_PASSWORD).await;
    let token = serde_json::from_str::<Session>(&body).unwrap().token;
    let call = Client::new().post(gateway.url("/api/orders")).bearer_auth(token).json(&json!({}));
    let call = call.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let call = call.header("x-request-timeout-ms", "3000").header("idempotency-key", "k-1");
    let seen: Value = call.send().await.unwrap().json().await.unwrap();
    assert!(seen["trace"].as_str().unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{seen}");
    assert!(!seen["trace"].as_str().unwrap().contains("b7ad6b7169203331"), "the parent is our own span: {seen}");
    let left: u64 = seen["deadline"].as_str().unwrap().parse().unwrap();
    assert!((1..3_000).contains(&left), "{seen}");
    assert_eq!((&seen["key"], &seen["user"], &seen["token"]), (&json!("k-1"), &json!("shopper-0003"), &json!("")));
}
