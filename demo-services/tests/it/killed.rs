//! Orders while replicas are killed with SIGKILL at any moment, as real processes on shared stores: customers repeat what
//! was not answered, as customers do, and afterwards the books must agree.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use demo_services::audit::{AuditUrls, OrdersReport, audit};
use demo_services::contract::{Card, CardToken, IDEMPOTENCY_HEADER, Line, Order, PlaceOrder, USER_HEADER};
use lifecycle::CancellationToken;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, StatusCode};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use crate::started::nobody;

/// How long replicas are killed.
const CHAOS: Duration = Duration::from_secs(4);

/// Between two kills.
const KILL_EVERY: Duration = Duration::from_millis(300);

/// Processes, with the service each runs.
const PROCESSES: [(&str, &str); 7] = [
    ("product", "product"),
    ("notification", "notification"),
    ("recommendation", "recommendation"),
    ("inventory", "inventory"),
    ("payment", "payment"),
    ("order", "order"),
    ("order-2", "order"),
];

/// Those that are killed.
const VICTIMS: [&str; 4] = ["inventory", "payment", "order", "order-2"];

struct Shop {
    folder: tempfile::TempDir,
    addresses: BTreeMap<&'static str, SocketAddr>,
    running: BTreeMap<&'static str, Child>,
}

impl Shop {
    async fn open() -> Self {
        let mut shop =
            Self { folder: tempfile::tempdir().unwrap(), addresses: BTreeMap::new(), running: BTreeMap::new() };
        for (process, _) in PROCESSES {
            shop.addresses.insert(process, nobody().await);
        }
        for (process, _) in PROCESSES {
            shop.start(process);
        }
        for (process, _) in PROCESSES {
            shop.ready(process).await;
        }
        shop
    }

    fn start(&mut self, process: &'static str) {
        let name = PROCESSES.iter().find(|(known, _)| *known == process).unwrap().1;
        let peers: BTreeMap<_, _> =
            self.addresses.iter().map(|(name, address)| (*name, format!("http://{address}"))).collect();
        let child = Command::new(env!("CARGO_BIN_EXE_replica"))
            .env("REPLICA", name)
            .env("REPLICA_ADDRESS", self.addresses[process].to_string())
            .env("REPLICA_PEERS", serde_json::to_string(&peers).unwrap())
            .env("STORE_URL", format!("sqlite://{}/{name}.db", self.folder.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.running.insert(process, child);
    }

    async fn ready(&self, process: &str) {
        let url = format!("http://{}/readyz", self.addresses[process]);
        let give_up = Instant::now() + Duration::from_secs(20);
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(Instant::now() < give_up, "{process} does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL, and another process in its place.
    async fn kill(&mut self, process: &'static str) {
        self.running.remove(process).unwrap().kill().await.unwrap();
        self.start(process);
    }

    fn url(&self, process: &str) -> Url {
        Url::parse(&format!("http://{}", self.addresses[process])).unwrap()
    }
}

/// What customers do until told to stop: order, and repeat with the same key until there is an answer.
async fn customer(number: usize, orders: [Url; 2], card_token: String, stop: CancellationToken) -> Vec<String> {
    let http = Client::builder().timeout(Duration::from_secs(3)).build().unwrap();
    let (mut acknowledged, mut count) = (Vec::new(), 0);
    while !stop.is_cancelled() {
        count += 1;
        let line = Line { product_id: format!("p-{:04}", 1 + (number + count) % 20), quantity: 1 };
        let wish = PlaceOrder { lines: vec![line], card_token: card_token.clone() };
        for attempt in 0.. {
            assert!(attempt < 200, "an order is never answered");
            let url = orders[(count + attempt) % 2].join("/orders").unwrap();
            let request = http.post(url).header(USER_HEADER, format!("user-{number}"));
            let answer = request.header(IDEMPOTENCY_HEADER, count.to_string()).json(&wish).send().await;
            if let Ok(answer) = answer
                && matches!(answer.status(), StatusCode::CREATED | StatusCode::ACCEPTED)
                && let Ok(order) = answer.json::<Order>().await
            {
                acknowledged.push(order.id);
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_lost_or_paid_twice_when_replicas_are_killed() {
    let mut shop = Shop::open().await;
    let card = Card { number: "4242424242424242".into(), expiry: "12/30".into(), cvc: "123".into() };
    let tokenised = Client::new().post(shop.url("payment").join("/cards").unwrap()).json(&card).send().await.unwrap();
    let token = Arc::new(tokenised.json::<CardToken>().await.unwrap().token);

    let stop = CancellationToken::new();
    let mut customers = JoinSet::new();
    for number in 0..4 {
        let orders = [shop.url("order"), shop.url("order-2")];
        customers.spawn(customer(number, orders, token.to_string(), stop.clone()));
    }
    let mut dice = StdRng::seed_from_u64(7);
    let end = Instant::now() + CHAOS;
    while Instant::now() < end {
        tokio::time::sleep(KILL_EVERY).await;
        shop.kill(VICTIMS[dice.random_range(0..VICTIMS.len())]).await;
    }
    for process in VICTIMS {
        shop.ready(process).await;
    }
    stop.cancel();
    let acknowledged: Vec<String> = customers.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() > 20, "only {} orders were placed", acknowledged.len());

    let urls = AuditUrls { order: shop.url("order"), payment: shop.url("payment"), inventory: shop.url("inventory") };
    let report = audit(&urls, &acknowledged, Instant::now() + Duration::from_secs(30)).await.unwrap();
    assert_eq!(report.paid_not_confirmed, 0);
    let orders = acknowledged.len() as u64;
    let expected = OrdersReport {
        placed: orders,
        confirmed: orders,
        undelivered_events: report.undelivered_events,
        ..OrdersReport::default()
    };
    assert_eq!(report, expected);
}
