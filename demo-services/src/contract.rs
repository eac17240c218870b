//! What the shop's services say to each other: request and answer bodies of every internal API. Holds no behaviour.
//! Internal paths are listed beside each type; the gateway serves them under `/api`.

use serde::{Deserialize, Serialize};

/// The header in which the gateway tells services who is signed in. Services trust it: only the gateway faces outside.
pub const USER_HEADER: &str = "x-user-id";

/// The header with the milliseconds that a caller still waits; each hop subtracts what it has used.
pub const DEADLINE_HEADER: &str = "x-request-timeout-ms";

/// The header that makes a POST safe to repeat.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Body of every answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code, such as `out_of_stock`, `card_declined`, `not_found`, `unavailable`, `invalid`.
    pub code: String,
    /// In words.
    pub error: String,
}

// user -----------------------------------------------------------------------------------------------------------

/// `POST /users` → 201 [`User`]; 409 when the address is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    pub email: String,
    pub name: String,
    pub password: String,
}

/// `GET /users/me` → 200; `PATCH /users/me` with [`ProfileChange`] → 200.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub id: String,
    pub email: String,
    pub name: String,
}

/// `PATCH /users/me`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileChange {
    pub name: String,
}

/// `POST /sessions` → 200 [`Session`]; 401.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    pub email: String,
    pub password: String,
}

/// A signed token (JWT, HS256, `sub` = user id) for `authorization: Bearer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub token: String,
    pub expires_in_seconds: u64,
}

// product --------------------------------------------------------------------------------------------------------

/// `GET /products/{id}` → 200; `GET /products?category=&page=&size=` → 200 [`ProductPage`]; `GET /categories` → 200
/// `Vec<String>`; `GET /products/changes?since=SEQUENCE&limit=` → 200 [`ProductChanges`]; `PUT /products/{id}` with the
/// whole product → 201 when it is new, 200 when it replaces one. Pages count from 1, here and in search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    pub id: String,
    pub name: String,
    pub description: String,
    pub category: String,
    pub price_cents: u64,
    /// Whatever this kind of product has: colour, size, material ... ; a flexible document.
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
}

/// One page of products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductPage {
    pub products: Vec<Product>,
    pub page: u32,
    pub total: u64,
}

/// Products changed after a sequence number, in order; the search index follows this feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductChanges {
    pub products: Vec<Product>,
    /// Pass it as `since` next time.
    pub sequence: u64,
}

// search ---------------------------------------------------------------------------------------------------------

/// `GET /search?q=&category=&price_min=&price_max=&sort=&page=&size=` → 200. `sort`: `relevance` (default),
/// `price_asc`, `price_desc`, `newest`. Prices in cents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchPage {
    pub hits: Vec<Product>,
    pub total: u64,
    pub page: u32,
}

// inventory ------------------------------------------------------------------------------------------------------

/// `GET /stock?ids=a,b` → 200 `Vec<Stock>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stock {
    pub product_id: String,
    pub available: u64,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub product_id: String,
    pub quantity: u32,
}

/// `POST /reservations` → 201 (also when it exists already); 409 `out_of_stock`. `POST /reservations/{order_id}/commit` → 204.
/// `DELETE /reservations/{order_id}` → 204: gives the stock back; also 204 when there is none. All may be repeated.
/// 409 `released` when the order's stock was given back before: a late repetition cannot take it again.
/// `GET /reservations/stale?older_than_seconds=` → 200 `Vec<StaleReservation>`: neither committed nor released since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    pub order_id: String,
    pub lines: Vec<Line>,
}

/// `GET /audit` of inventory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InventoryAudit {
    /// Products whose stock went below nothing or whose book does not add up: start = available + reserved + sold.
    pub oversold: u64,
    pub reserved: u64,
    pub sold: u64,
}

// payment --------------------------------------------------------------------------------------------------------

/// `POST /cards` → 201 [`CardToken`]; 422 when the number fails Luhn or the card has expired. The number is never stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub number: String,
    /// `MM/YY`.
    pub expiry: String,
    pub cvc: String,
}

/// Stands for a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardToken {
    pub token: String,
    pub brand: String,
    pub last4: String,
}

/// `POST /charges` → 201 [`Charge`] (the same one when repeated for the order); 402 `card_declined`; 409 `refunded`
/// when the order's money was returned before (no late repetition takes it again) and `other_charge`; 503.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeRequest {
    /// Also the idempotency key.
    pub order_id: String,
    pub amount_cents: u64,
    pub card_token: String,
}

/// Money taken. `POST /charges/{order_id}/refund` → 204, may be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    pub id: String,
    pub order_id: String,
    pub amount_cents: u64,
}

/// `GET /audit` of payment, counted in the card processor's own ledger and not in the service's tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PaymentAudit {
    /// Orders with more than one capture that was not refunded.
    pub charged_twice: u64,
    /// Orders with a capture that was not refunded.
    pub paid_orders: Vec<String>,
}

// order ----------------------------------------------------------------------------------------------------------

/// `POST /orders` with [`IDEMPOTENCY_HEADER`] and [`USER_HEADER`] → 201 [`Order`] confirmed; 202 pending (payment or
/// inventory cannot answer now; it is completed later); 409 `out_of_stock`; 402 `card_declined`; 422 when a product is
/// unknown or the key was used with another body; 503 when product cannot give prices: nothing is recorded then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    pub lines: Vec<Line>,
    pub card_token: String,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Accepted; the saga is under way or waits for a service to come back.
    Pending,
    /// Stock is reserved and paid for.
    Confirmed,
    /// Ended without effect: stock given back, money returned.
    Cancelled,
}

/// `GET /orders/{id}` → 200; `GET /orders` → 200 `Vec<Order>` of the signed-in user, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub user_id: String,
    pub state: OrderState,
    pub lines: Vec<Line>,
    pub total_cents: u64,
    /// Why it was cancelled or what it waits for; empty otherwise.
    pub reason: String,
    pub created_at_ms: i64,
}

/// `GET /orders/{id}/tracking` → 200 `Vec<TrackingEvent>`, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackingEvent {
    pub at_ms: i64,
    /// `placed`, `stock_reserved`, `paid`, `confirmed`, `stock_released`, `refunded`, `cancelled`.
    pub what: String,
}

/// `GET /audit?ids=a,b` is too long for a URL: `POST /audit` of order with `Vec<String>` of ids known to shoppers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderAudit {
    pub placed: u64,
    pub confirmed: u64,
    pub pending: u64,
    pub cancelled: u64,
    /// Of the ids asked for, those that the service does not know.
    pub unknown: u64,
    pub confirmed_ids: Vec<String>,
    /// Events in the outbox that are not delivered yet.
    pub undelivered_events: u64,
}

// notification, recommendation: both take order events -------------------------------------------------------------

/// `POST /events` → 202; delivered at least once, recognised by `id`. From the order service's outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderEvent {
    pub id: String,
    pub kind: OrderEventKind,
    pub order: Order,
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderEventKind {
    Placed,
    Confirmed,
    Cancelled,
}

/// `GET` and `PUT /preferences` with [`USER_HEADER`] → 200: channels beside e-mail. Nobody is disturbed without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preferences {
    #[serde(default)]
    pub sms: bool,
    #[serde(default)]
    pub push: bool,
}

/// `GET /notifications` with [`USER_HEADER`] → 200 `Vec<Notification>`, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    pub id: String,
    pub user_id: String,
    /// `email`, `sms` or `push`.
    pub channel: String,
    pub subject: String,
    pub at_ms: i64,
}

/// `GET /recommendations?product_id=&limit=` → 200: products bought together with it, then of its category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendations {
    pub product_ids: Vec<String>,
}

// review ---------------------------------------------------------------------------------------------------------

/// `POST /products/{id}/reviews` with [`USER_HEADER`] → 201 [`Review`] (one a user and product: a second replaces it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteReview {
    /// 1 to 5.
    pub stars: u8,
    pub text: String,
}

/// A review as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    pub product_id: String,
    pub user_id: String,
    pub stars: u8,
    pub text: String,
    pub at_ms: i64,
}

/// `GET /products/{id}/reviews` → 200.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reviews {
    pub average_stars: Option<f64>,
    pub count: u64,
    /// The newest 20.
    pub reviews: Vec<Review>,
}

// gateway --------------------------------------------------------------------------------------------------------

/// `GET /api/products/{id}` of the gateway: the product with what other services add. A part whose service fails is
/// absent and named in `missing`; only the product itself is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductView {
    pub product: Product,
    pub stock: Option<Stock>,
    pub reviews: Option<Reviews>,
    pub recommendations: Option<Recommendations>,
    pub missing: Vec<String>,
}
