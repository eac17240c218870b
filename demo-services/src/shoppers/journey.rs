//! What customers do: browse, search, sign in, check out, track. Every choice follows from the customer's seed.

use std::time::Duration;

use http::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::arrivals::Arrival;
use super::client::{Client, Failure};
use super::wallet::Wallet;
use crate::contract::{
    Line, Notification, Order, PlaceOrder, Product, ProductPage, ProductView, SearchPage, Session, SignIn,
    TrackingEvent, User,
};
use crate::user::{DEMO_PASSWORD, DEMO_USERS, demo_email};

/// Products on a page of the catalogue.
const PAGE_SIZE: u32 = 20;
/// Pages of the catalogue that customers leaf through.
const PAGES: u32 = 40;
/// Tries to place an order, with one key: the first and two more.
const ORDER_TRIES: u32 = 3;
/// Between them.
const ORDER_PAUSE: Duration = Duration::from_millis(200);

/// What customers look for.
const WORDS: [&str; 16] = [
    "kettle",
    "jacket",
    "boots",
    "atlas",
    "walnut chair",
    "headphones",
    "lantern",
    "puzzle",
    "tent",
    "teapot",
    "desk",
    "camera",
    "wool sweater",
    "kite",
    "planter",
    "sleeping bag",
];
const SORTS: [&str; 4] = ["relevance", "price_asc", "price_desc", "newest"];

/// A kind of journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JourneyKind {
    Browse,
    Search,
    SignIn,
    Checkout,
    Track,
}

impl JourneyKind {
    /// What share of customers does what; together 1.
    pub const SHARES: [(Self, f64); 5] =
        [(Self::Browse, 0.45), (Self::Search, 0.20), (Self::SignIn, 0.12), (Self::Checkout, 0.15), (Self::Track, 0.08)];

    /// As metrics and reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browse => "browse",
            Self::Search => "search",
            Self::SignIn => "sign-in",
            Self::Checkout => "checkout",
            Self::Track => "track",
        }
    }

    /// The kind at a point between 0 and 1 of the shares.
    pub(super) fn pick(point: f64) -> Self {
        let mut sum = 0.0;
        for (kind, share) in Self::SHARES {
            sum += share;
            if point < sum {
                return kind;
            }
        }
        Self::Browse
    }
}

/// How a journey went.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Or what went wrong.
    pub result: Result<(), String>,
    /// The order the shop has accepted.
    pub acknowledged: Option<String>,
}

/// Walks a customer's journey.
pub(super) async fn walk(arrival: Arrival, client: &Client, wallet: &Wallet) -> Outcome {
    let mut dice = StdRng::seed_from_u64(arrival.seed);
    let mut acknowledged = None;
    let result = match arrival.kind {
        JourneyKind::Browse => browse(&mut dice, client).await,
        JourneyKind::Search => search(&mut dice, client).await,
        JourneyKind::SignIn => sign_in(&mut dice, client).await,
        JourneyKind::Checkout => checkout(&mut dice, client, wallet, &mut acknowledged).await,
        JourneyKind::Track => track(&mut dice, client, wallet).await,
    };
    Outcome { result: result.map_err(|failure| failure.reason), acknowledged }
}

async fn page(dice: &mut StdRng, client: &Client) -> Result<Vec<Product>, Failure> {
    let pages = client.get("/api/products").query("page", &dice.random_range(1..=PAGES)).query("size", &PAGE_SIZE);
    Ok(pages.send::<ProductPage>().await?.products)
}

async fn look_at(dice: &mut StdRng, client: &Client, products: &[Product]) -> Result<(), Failure> {
    if products.is_empty() {
        return Ok(());
    }
    let product = &products[dice.random_range(0..products.len())];
    client.get("/api/products/{}").id(&product.id).send::<ProductView>().await.map(drop)
}

async fn browse(dice: &mut StdRng, client: &Client) -> Result<(), Failure> {
    let categories: Vec<String> = client.get("/api/categories").send().await?;
    let products = if categories.is_empty() {
        page(dice, client).await?
    } else {
        let category = &categories[dice.random_range(0..categories.len())];
        let pages = client.get("/api/products").query("category", category).query("size", &PAGE_SIZE);
        pages.send::<ProductPage>().await?.products
    };
    look_at(dice, client, &products).await
}

async fn search(dice: &mut StdRng, client: &Client) -> Result<(), Failure> {
    let word = WORDS[dice.random_range(0..WORDS.len())];
    let sort = SORTS[dice.random_range(0..SORTS.len())];
    let found: SearchPage =
        client.get("/api/search").query("q", &word).query("sort", &sort).query("size", &PAGE_SIZE).send().await?;
    look_at(dice, client, &found.hits).await
}

async fn sign_in(dice: &mut StdRng, client: &Client) -> Result<(), Failure> {
    let email = demo_email(dice.random_range(1..=DEMO_USERS));
    let claimed = SignIn { email, password: DEMO_PASSWORD.to_owned() };
    let session: Session = client.post("/api/sessions", &claimed).send().await?;
    client.get("/api/users/me").token(&session.token).send::<User>().await.map(drop)
}

async fn checkout(
    dice: &mut StdRng,
    client: &Client,
    wallet: &Wallet,
    acknowledged: &mut Option<String>,
) -> Result<(), Failure> {
    let (number, regular) = wallet.any(dice, client).await?;
    let products = page(dice, client).await?;
    if products.is_empty() {
        return Ok(());
    }
    look_at(dice, client, &products).await?;
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..dice.random_range(1..=3) {
        let product_id = &products[dice.random_range(0..products.len())].id;
        if lines.iter().all(|line| line.product_id != *product_id) {
            lines.push(Line { product_id: product_id.clone(), quantity: dice.random_range(1..=2) });
        }
    }
    let wanted = PlaceOrder { lines, card_token: regular.card };
    // Not from the seed: a second run with the same seed must not place the first run's orders again.
    let key = uuid::Uuid::new_v4().to_string();
    match place(client, &regular.token, &key, &wanted).await {
        Ok(order) => {
            *acknowledged = Some(order.id.clone());
            client.get("/api/orders/{}").id(&order.id).token(&regular.token).send::<Order>().await.map(drop)
        }
        Err(failure) => {
            if failure.status == Some(StatusCode::UNAUTHORIZED) {
                wallet.forget(number);
            }
            // The shop has answered as a shop may: the goods are gone, the bank says no.
            if matches!(failure.code.as_str(), "out_of_stock" | "card_declined") { Ok(()) } else { Err(failure) }
        }
    }
}

/// Places an order; a connection that breaks or a "not now" is tried again with the same key, which can do no harm.
async fn place(client: &Client, token: &str, key: &str, wanted: &PlaceOrder) -> Result<Order, Failure> {
    let call = client.post("/api/orders", wanted).token(token).idempotency_key(key);
    let mut tries = 1;
    loop {
        match call.send::<Order>().await {
            Err(failure) if tries < ORDER_TRIES && failure.may_pass() => {
                tokio::time::sleep(ORDER_PAUSE * tries).await;
                tries += 1;
            }
            other => return other,
        }
    }
}

async fn track(dice: &mut StdRng, client: &Client, wallet: &Wallet) -> Result<(), Failure> {
    let (number, regular) = wallet.any(dice, client).await?;
    let token = &regular.token;
    let orders: Result<Vec<Order>, Failure> = client.get("/api/orders").token(token).send().await;
    if orders.as_ref().is_err_and(|failure| failure.status == Some(StatusCode::UNAUTHORIZED)) {
        wallet.forget(number);
    }
    if let Some(order) = orders?.first() {
        client.get("/api/orders/{}/tracking").id(&order.id).token(token).send::<Vec<TrackingEvent>>().await?;
    }
    client.get("/api/notifications").token(token).send::<Vec<Notification>>().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_a_whole() {
        let sum: f64 = JourneyKind::SHARES.iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert_eq!(JourneyKind::pick(0.0), JourneyKind::Browse);
        assert_eq!(JourneyKind::pick(0.9999), JourneyKind::Track);
    }
}
