//! Orders through the real services: what happens while payment is away, when a key comes twice, when two replicas of each
//! service share a store, and whether the audit sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use demo_services::audit::{AuditUrls, OrdersReport, audit};
use demo_services::chassis::Config;
use demo_services::contract::{
    Card, CardToken, IDEMPOTENCY_HEADER, Line, Notification, Order, OrderState, PlaceOrder, Product, Recommendations,
    SearchPage, Stock, TrackingEvent, USER_HEADER,
};
use demo_services::service;
use lifecycle::CancellationToken;
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

/// Services in an order in which each finds the peers it needs.
const START_ORDER: [&str; 8] =
    ["product", "inventory", "payment", "notification", "review", "search", "recommendation", "order"];

struct Shop {
    folder: tempfile::TempDir,
    urls: BTreeMap<String, Url>,
    admin: BTreeMap<String, Url>,
    stop: CancellationToken,
    running: JoinSet<()>,
    http: Client,
}

impl Shop {
    async fn open() -> Self {
        let mut shop = Self {
            folder: tempfile::tempdir().unwrap(),
            urls: BTreeMap::new(),
            admin: BTreeMap::new(),
            stop: CancellationToken::new(),
            running: JoinSet::new(),
            http: Client::new(),
        };
        for name in START_ORDER {
            let (url, admin) = shop.replica(name).await;
            shop.urls.insert(name.to_owned(), url);
            shop.admin.insert(name.to_owned(), admin);
        }
        shop
    }

    /// Starts one more replica on the service's store; returns where it is.
    async fn replica(&mut self, name: &str) -> (Url, Url) {
        let mut config = Config::on_loopback(name);
        config.store_url = Some(format!("sqlite://{}/{name}.db", self.folder.path().display()));
        config.peers = self.urls.clone();
        let service = service::start(config, self.stop.clone()).await.unwrap();
        let url = |address| Url::parse(&format!("http://{address}")).unwrap();
        let (http, admin) = (url(service.http_address()), url(service.admin_address()));
        self.running.spawn(async move { service.run().await.unwrap() });
        (http, admin)
    }

    fn url(&self, service: &str, path: &str) -> Url {
        self.urls[service].join(path).unwrap()
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, service: &str, path: &str) -> T {
        let response = self.http.get(self.url(service, path)).header(USER_HEADER, "ann").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    async fn card(&self, number: &str) -> String {
        let card = Card { number: number.into(), expiry: "12/30".into(), cvc: "123".into() };
        let response = self.http.post(self.url("payment", "/cards")).json(&card).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json::<CardToken>().await.unwrap().token
    }

    async fn place_at(&self, order_service: &Url, key: &str, wish: &PlaceOrder) -> Response {
        let request = self.http.post(order_service.join("/orders").unwrap()).json(wish);
        request.header(USER_HEADER, "ann").header(IDEMPOTENCY_HEADER, key).send().await.unwrap()
    }

    async fn place(&self, key: &str, card_token: &str, lines: &[(&str, u32)]) -> Response {
        self.place_at(&self.urls["order"], key, &wish(card_token, lines)).await
    }

    async fn fault(&self, service: &str, kind: &str, value: Option<&str>) {
        let url = self.admin[service].join(&format!("/faults/{kind}")).unwrap();
        let response = match value {
            Some(value) => self.http.put(url).json(&json!({ "value": value })).send().await.unwrap(),
            None => self.http.delete(url).send().await.unwrap(),
        };
        assert!(response.status().is_success(), "{}", response.status());
    }

    /// The report, and how many events are not delivered yet.
    async fn audit(&self, acknowledged: &[String]) -> (OrdersReport, u64) {
        let url = |name: &str| self.urls[name].clone();
        let urls = AuditUrls { order: url("order"), payment: url("payment"), inventory: url("inventory") };
        let report = audit(&urls, acknowledged, Instant::now() + Duration::from_secs(15)).await.unwrap();
        (OrdersReport { undelivered_events: 0, ..report.clone() }, report.undelivered_events)
    }

    async fn close(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}

fn wish(card_token: &str, lines: &[(&str, u32)]) -> PlaceOrder {
    let line = |(id, quantity): &(&str, u32)| Line { product_id: (*id).to_owned(), quantity: *quantity };
    PlaceOrder { lines: lines.iter().map(line).collect(), card_token: card_token.to_owned() }
}

/// Waits for something that becomes true by itself.
async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !check().await {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

const GOOD: &str = "4242424242424242";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_reserved_paid_confirmed_told_and_learnt_from() {
    let shop = Shop::open().await;
    let token = shop.card(GOOD).await;
    let product: Product = shop.get("product", "/products/p-0001").await;
    let response = shop.place("k1", &token, &[("p-0001", 2), ("p-0002", 1)]).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let order: Order = response.json().await.unwrap();
    let other: Product = shop.get("product", "/products/p-0002").await;
    assert_eq!((order.state, order.total_cents), (OrderState::Confirmed, 2 * product.price_cents + other.price_cents));

    let again: Order = shop.place("k1", &token, &[("p-0001", 2), ("p-0002", 1)]).await.json().await.unwrap();
    assert_eq!(again, order);
    let changed = shop.place("k1", &token, &[("p-0001", 3)]).await;
    assert_eq!(changed.status(), StatusCode::UNPROCESSABLE_ENTITY);

    let tracking: Vec<TrackingEvent> = shop.get("order", &format!("/orders/{}/tracking", order.id)).await;
    let what: Vec<&str> = tracking.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(what, ["placed", "stock_reserved", "paid", "confirmed"]);
    let stock: Vec<Stock> = shop.get("inventory", "/stock?ids=p-0001,nothing").await;
    assert_eq!(stock, [Stock { product_id: "p-0001".into(), available: 99_998 }]);

    eventually("two notifications", || async {
        shop.get::<Vec<Notification>>("notification", "/notifications").await.len() == 2
    })
    .await;
    eventually("a recommendation", || async {
        let together: Recommendations = shop.get("recommendation", "/recommendations?product_id=p-0001&limit=3").await;
        together.product_ids.len() == 3 && together.product_ids[0] == "p-0002"
    })
    .await;
    eventually("the index", || async {
        let page: SearchPage = shop.get("search", "/search?q=&size=1").await;
        page.total == 1_000
    })
    .await;
    let (report, _) = shop.audit(&[order.id]).await;
    assert_eq!(report, OrdersReport { placed: 1, confirmed: 1, ..OrdersReport::default() });
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definite_no_leaves_nothing_behind() {
    let shop = Shop::open().await;
    let declined = shop.place("k1", &shop.card("4000000000000002").await, &[("p-0001", 1)]).await;
    assert_eq!(declined.status(), StatusCode::PAYMENT_REQUIRED);
    let good = shop.card(GOOD).await;
    let too_many = shop.place("k2", &good, &[("p-0001", 1), ("p-1000", 6)]).await;
    assert_eq!(too_many.status(), StatusCode::CONFLICT);
    let unknown = shop.place("k3", &good, &[("zeppelin", 1)]).await;
    assert_eq!(unknown.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let unsigned = shop.http.get(shop.url("order", "/orders")).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    let (report, _) = shop.audit(&[]).await;
    assert_eq!(report, OrdersReport { placed: 2, cancelled: 2, ..OrdersReport::default() });
    let stock: Vec<Stock> = shop.get("inventory", "/stock?ids=p-0001,p-1000").await;
    assert_eq!(stock.iter().map(|stock| stock.available).collect::<Vec<_>>(), [100_000, 5]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_outage_leaves_orders_pending_and_they_complete_when_it_is_over() {
    let mut shop = Shop::open().await;
    let (second, _) = shop.replica("order").await;
    let token = shop.card(GOOD).await;
    shop.fault("payment", "error", Some("1")).await;
    let mut acknowledged = Vec::new();
    for index in 0..12 {
        let service = if index % 2 == 0 { shop.urls["order"].clone() } else { second.clone() };
        let response = shop.place_at(&service, &format!("k{index}"), &wish(&token, &[("p-0003", 1)])).await;
        let status = response.status();
        assert_eq!(status, StatusCode::ACCEPTED, "{}", response.text().await.unwrap());
        let order: Order = response.json().await.unwrap();
        assert_eq!(order.state, OrderState::Pending);
        assert!(order.reason.contains("payment"), "{}", order.reason);
        acknowledged.push(order.id);
    }
    // Meanwhile everything that does not need payment answers.
    let _: Product = shop.get("product", "/products/p-0003").await;
    let _: Vec<Order> = shop.get("order", "/orders").await;
    shop.fault("payment", "error", None).await;
    let (report, _) = shop.audit(&acknowledged).await;
    assert_eq!(report, OrdersReport { placed: 12, confirmed: 12, ..OrdersReport::default() });
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_answer_one_key_with_one_order() {
    let mut shop = Shop::open().await;
    let (second, _) = shop.replica("order").await;
    let token = shop.card(GOOD).await;
    let lines = wish(&token, &[("p-0004", 1)]);
    for round in 0..5 {
        let key = format!("k{round}");
        let (one, two) =
            tokio::join!(shop.place_at(&shop.urls["order"], &key, &lines), shop.place_at(&second, &key, &lines),);
        let (one, two): (Order, Order) = (one.json().await.unwrap(), two.json().await.unwrap());
        assert_eq!(one.id, two.id);
    }
    let (report, _) = shop.audit(&[]).await;
    assert_eq!((report.placed, report.confirmed, report.charged_twice), (5, 5, 0));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_away_gets_its_events_later_and_delays_no_other() {
    let shop = Shop::open().await;
    shop.fault("notification", "error", Some("1")).await;
    let token = shop.card(GOOD).await;
    let response = shop.place("k", &token, &[("p-0001", 1), ("p-0005", 1)]).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    eventually("the other destination's event", || async {
        let together: Recommendations = shop.get("recommendation", "/recommendations?product_id=p-0001&limit=1").await;
        together.product_ids == ["p-0005"]
    })
    .await;
    assert!(shop.audit(&[]).await.1 >= 1);
    shop.fault("notification", "error", None).await;
    eventually("the events of the destination that was away", || async {
        shop.get::<Vec<Notification>>("notification", "/notifications").await.len() == 2
    })
    .await;
    shop.close().await;
}
