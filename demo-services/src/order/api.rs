//! The order service's routes. Placing an order records it first and then runs its saga as far as the caller's patience
//! allows; what is left is the worker's.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::pricing::Prices;
use super::runner::Runner;
use super::saga::CARD_DECLINED;
use super::store::{NewOrder, Orders, StoredOrder};
use crate::chassis::{AppError, Json, Path, RequestContext, SignedIn};
use crate::contract::{IDEMPOTENCY_HEADER, Order, OrderAudit, OrderState, PlaceOrder, TrackingEvent};

/// Lines of one order; inventory accepts no more either.
const LINES_MAX: usize = 50;

/// Pieces of one product in one order.
const QUANTITY_MAX: u32 = 1_000;

/// Longest idempotency key: a UUID and room for other tastes.
const KEY_CHARS_MAX: usize = 128;

/// Orders that a history shows.
const HISTORY_MAX: u32 = 50;

/// Of the caller's patience this much is kept for storing where the order stands and answering.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// Body of an audit: a quarter of a million ids.
const AUDIT_BODY_BYTES_MAX: usize = 10 << 20;

/// What the routes work with.
#[derive(Clone)]
pub struct Service {
    pub orders: Orders,
    pub runner: Arc<Runner>,
    pub prices: Prices,
}

pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/orders", get(history).post(place))
        .route("/orders/{id}", get(one))
        .route("/orders/{id}/tracking", get(tracking))
        .route("/audit", post(audit).layer(DefaultBodyLimit::max(AUDIT_BODY_BYTES_MAX)))
        .with_state(service)
}

type Placed = Result<(StatusCode, Json<Order>), AppError>;

async fn place(
    State(service): State<Service>,
    request: RequestContext,
    SignedIn(user_id): SignedIn,
    headers: HeaderMap,
    Json(wish): Json<PlaceOrder>,
) -> Placed {
    let key = idempotency_key(&headers)?;
    check(&wish)?;
    if let Some(earlier) = service.orders.placed_with(&user_id, key).await? {
        return repeated(earlier, &wish);
    }
    let total_cents = service.prices.total_cents(&wish.lines, &request).await?;
    let new = NewOrder {
        id: Uuid::now_v7().to_string(),
        user_id: user_id.clone(),
        idempotency_key: key.to_owned(),
        lines: wish.lines.clone(),
        card_token: wish.card_token.clone(),
        total_cents,
    };
    let runner = &service.runner;
    let holder = Uuid::now_v7().to_string();
    let Some(mut stored) = service.orders.place(new, &holder, runner.clock.now_ms()).await? else {
        // The same key at the same moment: the other request was first.
        let earlier = service.orders.placed_with(&user_id, key).await?;
        return repeated(earlier.ok_or_else(|| AppError::internal("an order vanished"))?, &wish);
    };
    runner.meters.reached("placed");
    request.annotate("order.id", stored.order.id.clone());
    let patience = request.within(request.remaining().saturating_sub(ANSWER_TIME));
    if let Err(error) = runner.run(&mut stored, &patience).await {
        // It is recorded, so it is not lost: the worker goes on with it when its lease ends.
        tracing::warn!(%error, order_id = stored.order.id, "an order's step could not be stored");
    }
    answer(stored)
}

fn idempotency_key(headers: &HeaderMap) -> Result<&str, AppError> {
    headers
        .get(IDEMPOTENCY_HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|key| !key.is_empty() && key.len() <= KEY_CHARS_MAX)
        .ok_or_else(|| {
            AppError::bad_request(format!(
                "expected the header {IDEMPOTENCY_HEADER} with 1 to {KEY_CHARS_MAX} characters"
            ))
        })
}

fn check(wish: &PlaceOrder) -> Result<(), AppError> {
    if wish.lines.is_empty() || wish.lines.len() > LINES_MAX {
        return Err(AppError::invalid(format!("lines: expected 1 to {LINES_MAX}, found {}", wish.lines.len())));
    }
    match wish.lines.iter().find(|line| !(1..=QUANTITY_MAX).contains(&line.quantity)) {
        Some(line) => Err(AppError::invalid(format!(
            "lines: expected a quantity of 1 to {QUANTITY_MAX} for {:?}, found {}",
            line.product_id, line.quantity
        ))),
        None => Ok(()),
    }
}

/// The answer to a key that was used before: the same order, unless the body is another one.
fn repeated(earlier: StoredOrder, wish: &PlaceOrder) -> Placed {
    if earlier.order.lines != wish.lines || earlier.card_token != wish.card_token {
        return Err(AppError::invalid(format!("{IDEMPOTENCY_HEADER}: it was used before with another body")));
    }
    answer(earlier)
}

/// A definite no is answered as soon as it is known, also while what was taken is still being given back.
fn answer(stored: StoredOrder) -> Placed {
    if !stored.refusal.is_empty() {
        let (code, reason) = (stored.refusal, stored.order.reason);
        let status = if code == CARD_DECLINED { StatusCode::PAYMENT_REQUIRED } else { StatusCode::CONFLICT };
        return Err(AppError::new(status, code, reason));
    }
    let status = match stored.order.state {
        OrderState::Confirmed => StatusCode::CREATED,
        OrderState::Pending | OrderState::Cancelled => StatusCode::ACCEPTED,
    };
    Ok((status, Json(stored.order)))
}

async fn history(State(service): State<Service>, SignedIn(user_id): SignedIn) -> Result<Json<Vec<Order>>, AppError> {
    Ok(Json(service.orders.of_user(&user_id, HISTORY_MAX).await?))
}

async fn one(
    State(service): State<Service>,
    SignedIn(user_id): SignedIn,
    Path(id): Path<String>,
) -> Result<Json<Order>, AppError> {
    Ok(Json(service.of_user(&user_id, &id).await?))
}

async fn tracking(
    State(service): State<Service>,
    SignedIn(user_id): SignedIn,
    Path(id): Path<String>,
) -> Result<Json<Vec<TrackingEvent>>, AppError> {
    service.of_user(&user_id, &id).await?;
    Ok(Json(service.orders.tracking(&id).await?))
}

async fn audit(State(service): State<Service>, Json(ids): Json<Vec<String>>) -> Result<Json<OrderAudit>, AppError> {
    Ok(Json(service.orders.audit(&ids).await?))
}

impl Service {
    /// Other people's orders do not exist.
    async fn of_user(&self, user_id: &str, id: &str) -> Result<Order, AppError> {
        let stored = self.orders.get(id).await?.filter(|stored| stored.order.user_id == user_id);
        stored.map(|stored| stored.order).ok_or_else(|| AppError::not_found(format!("order {id}")))
    }
}
