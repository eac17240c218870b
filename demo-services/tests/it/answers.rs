//! What the smaller services answer, to good requests and to bad ones, as the contract says.

use demo_services::chassis::Config;
use demo_services::contract::{
    Preferences, Problem, Product, ProductChanges, ProductPage, Review, Reviews, SearchPage, USER_HEADER,
};
use reqwest::{Client, Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::started::{Started, eventually, peers};

async fn started(name: &str, folder: &tempfile::TempDir, known: &[(&str, std::net::SocketAddr)]) -> Started {
    let mut config = Config::on_loopback(name);
    config.store_url = Some(format!("sqlite://{}/{name}.db", folder.path().display()));
    config.peers = peers(known).await;
    Started::service(config).await
}

async fn call(method: Method, url: String, body: Option<Value>) -> Response {
    let mut request = Client::new().request(method, url).header(USER_HEADER, "ann");
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.unwrap()
}

async fn get<T: DeserializeOwned>(url: String) -> T {
    let response = call(Method::GET, url, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

/// The status and the code of an answer that is a problem.
async fn problem(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.json::<Problem>().await.unwrap().code)
}

#[tokio::test]
async fn products_are_paged_found_changed_and_fed() {
    let folder = tempfile::tempdir().unwrap();
    let product = started("product", &folder, &[]).await;
    let categories: Vec<String> = get(product.url("/categories")).await;
    assert!(categories.contains(&"books".to_owned()));
    let first: ProductPage = get(product.url("/products?category=books&size=3")).await;
    let second: ProductPage = get(product.url("/products?category=books&size=3&page=2")).await;
    assert_eq!((first.products.len(), first.page, second.page, first.total), (3, 1, 2, second.total));
    assert!(first.products.iter().all(|p| p.category == "books" && !second.products.contains(p)));
    let beyond: ProductPage = get(product.url("/products?page=4000000000")).await;
    assert!(beyond.products.is_empty());

    let mut changed: Product = get(product.url("/products/p-0001")).await;
    changed.name = "A name of its own".into();
    changed.attributes.insert("anything".into(), json!({"nested": [1, 2]}));
    let body = serde_json::to_value(&changed).unwrap();
    let put = call(Method::PUT, product.url("/products/p-0001"), Some(body.clone())).await;
    assert_eq!(put.status(), StatusCode::OK);
    let feed: ProductChanges = get(product.url("/products/changes?since=1000")).await;
    assert_eq!((feed.products, feed.sequence), (vec![changed], 1_001));
    let wrong = call(Method::PUT, product.url("/products/p-0002"), Some(body)).await;
    assert_eq!(problem(wrong).await, (422, "invalid".to_owned()));
    let missing = call(Method::GET, product.url("/products/nothing"), None).await;
    assert_eq!(problem(missing).await, (404, "not_found".to_owned()));
    let garbage = call(Method::GET, product.url("/products?page=minus"), None).await;
    assert_eq!(problem(garbage).await, (400, "invalid".to_owned()));
}

#[tokio::test]
async fn search_is_ready_with_the_whole_catalogue_and_takes_any_text() {
    let folder = tempfile::tempdir().unwrap();
    let product = started("product", &folder, &[]).await;
    let search = started("search", &folder, &[("product", product.http)]).await;
    eventually("search is ready", async || reqwest::get(search.url("/readyz")).await.unwrap().status().is_success())
        .await;
    let all: SearchPage = get(search.url("/search?q=&size=2&page=500&sort=newest")).await;
    assert_eq!((all.total, all.page, all.hits.len()), (1_000, 500, 2));
    let query = "/search?q=running+shoes&category=shoes&price_min=3000&price_max=9000&sort=price_asc";
    let shoes: SearchPage = get(search.url(query)).await;
    assert!(shoes.total > 0 && shoes.hits.iter().all(|p| p.category == "shoes" && p.price_cents <= 9_000));
    let odd: SearchPage = get(search.url("/search?q=%22%28%29%5B%3A%2A+AND+-")).await;
    assert_eq!(odd.page, 1);
    let unknown = call(Method::GET, search.url("/search?q=a&sort=random"), None).await;
    assert_eq!(problem(unknown).await, (400, "invalid".to_owned()));
}

#[tokio::test]
async fn reviews_are_checked_and_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let review = started("review", &folder, &[]).await;
    let url = || review.url("/products/p-0001/reviews");
    for (stars, expected) in [(2, 201), (4, 201), (0, 422), (6, 422)] {
        let response = call(Method::POST, url(), Some(json!({"stars": stars, "text": "as expected"}))).await;
        assert_eq!(response.status().as_u16(), expected, "{stars} stars");
    }
    let long = call(Method::POST, url(), Some(json!({"stars": 3, "text": "x".repeat(4_001)}))).await;
    assert_eq!(problem(long).await, (422, "invalid".to_owned()));
    let anonymous = Client::new().post(url()).json(&json!({"stars": 3, "text": ""})).send().await.unwrap();
    assert_eq!(problem(anonymous).await, (401, "unauthorized".to_owned()));
    let reviews: Reviews = get(url()).await;
    let texts: Vec<Review> = reviews.reviews;
    assert_eq!((reviews.average_stars, reviews.count, texts[0].stars), (Some(4.0), 1, 4));
}

#[tokio::test]
async fn cards_are_refused_with_the_field_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let payment = started("payment", &folder, &[]).await;
    for (number, expiry, field) in
        [("4242424242424241", "12/40", "number"), ("4242424242424242", "01/20", "expiry"), ("1", "12/40", "number")]
    {
        let card = json!({"number": number, "expiry": expiry, "cvc": "123"});
        let response = call(Method::POST, payment.url("/cards"), Some(card)).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let message = response.json::<Problem>().await.unwrap().error;
        assert!(message.starts_with(field) && !message.contains("424242"), "{message}");
    }
    let unknown = json!({"order_id": "o", "amount_cents": 5, "card_token": "tok_none"});
    let declined = call(Method::POST, payment.url("/charges"), Some(unknown)).await;
    assert_eq!(problem(declined).await, (402, "card_declined".to_owned()));
}

#[tokio::test]
async fn customers_choose_their_channels() {
    let folder = tempfile::tempdir().unwrap();
    let notification = started("notification", &folder, &[]).await;
    assert_eq!(get::<Preferences>(notification.url("/preferences")).await, Preferences::default());
    let put = call(Method::PUT, notification.url("/preferences"), Some(json!({"push": true}))).await;
    assert_eq!(put.status(), StatusCode::OK);
    let expected = Preferences { sms: false, push: true };
    assert_eq!(get::<Preferences>(notification.url("/preferences")).await, expected);
}
