//! Stock and reservations: never sells what is not there, and never takes twice for one order.

mod store;

use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};
use http::StatusCode;
use lifecycle::{Clock, Supervisor};
use serde::Deserialize;
use std::sync::Arc;

pub use self::store::{Committed, Reserved, SCHEMA, StaleReservation, StockBook};
use crate::chassis::{AppError, Context, Json, Path, Query, StartError};
use crate::contract::{InventoryAudit, Reservation, Stock};
use crate::product::seed;

/// Of each product at the start: more than any demo sells.
const START: u64 = 100_000;

/// Of each limited edition at the start: few enough to be sold out on the first evening.
const START_SCARCE: u64 = 5;

/// Products that one request may ask for.
const STOCK_IDS_MAX: usize = 100;

/// Lines of one reservation; the order service accepts no more either.
const LINES_MAX: usize = 50;

/// Stale reservations listed at once; the next request has the next ones.
const STALE_MAX: u32 = 500;

#[derive(Clone)]
struct Service {
    book: StockBook,
    clock: Arc<dyn Clock>,
}

/// What every product starts with.
pub fn starting_stock() -> Vec<(String, u64)> {
    let quantity = |index| if seed::is_scarce(index) { START_SCARCE } else { START };
    (0..seed::PRODUCTS).map(|index| (seed::product_id(index), quantity(index))).collect()
}

/// Starts the service.
pub async fn start(context: &Context, _supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let pool = context.store(&[SCHEMA]).await?;
    let book = StockBook::seeded(pool, &starting_stock())
        .await
        .map_err(|error| StartError::other("cannot fill the shelves", error))?;
    Ok(Router::new()
        .route("/stock", get(stock))
        .route("/reservations", post(reserve))
        .route("/reservations/stale", get(stale))
        .route("/reservations/{order_id}", delete(release))
        .route("/reservations/{order_id}/commit", post(commit))
        .route("/audit", get(audit))
        .with_state(Service { book, clock: Arc::clone(context.clock()) }))
}

#[derive(Debug, Deserialize)]
struct Ids {
    ids: String,
}

#[derive(Debug, Deserialize)]
struct Age {
    older_than_seconds: u32,
}

async fn stock(State(service): State<Service>, Query(Ids { ids }): Query<Ids>) -> Result<Json<Vec<Stock>>, AppError> {
    let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    if ids.len() > STOCK_IDS_MAX {
        return Err(AppError::invalid(format!("ids: expected at most {STOCK_IDS_MAX}, found {}", ids.len())));
    }
    let mut stock = Vec::with_capacity(ids.len());
    for id in ids {
        stock.extend(service.book.available(id).await?);
    }
    Ok(Json(stock))
}

async fn reserve(
    State(service): State<Service>,
    Json(wish): Json<Reservation>,
) -> Result<(StatusCode, Json<Reservation>), AppError> {
    if wish.order_id.is_empty() || wish.lines.is_empty() || wish.lines.len() > LINES_MAX {
        return Err(AppError::invalid(format!("expected an order_id and 1 to {LINES_MAX} lines")));
    }
    if let Some(line) = wish.lines.iter().find(|line| line.quantity == 0) {
        return Err(AppError::invalid(format!("lines: expected a quantity above 0 for {:?}", line.product_id)));
    }
    match service.book.reserve(&wish.order_id, &wish.lines, service.clock.now_ms()).await? {
        Reserved::Held => Ok((StatusCode::CREATED, Json(wish))),
        Reserved::OutOfStock { product_id } => {
            Err(AppError::conflict("out_of_stock", format!("there is not enough of {product_id}")))
        }
        Reserved::Released => Err(AppError::conflict("released", "the order has given its stock back")),
    }
}

async fn commit(State(service): State<Service>, Path(order_id): Path<String>) -> Result<StatusCode, AppError> {
    match service.book.commit(&order_id).await? {
        Committed::Sold => Ok(StatusCode::NO_CONTENT),
        Committed::NotHeld => Err(AppError::conflict("released", "the order holds no reservation")),
    }
}

async fn release(State(service): State<Service>, Path(order_id): Path<String>) -> Result<StatusCode, AppError> {
    service.book.release(&order_id, service.clock.now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stale(
    State(service): State<Service>,
    Query(age): Query<Age>,
) -> Result<Json<Vec<StaleReservation>>, AppError> {
    let before_ms = service.clock.now_ms() - i64::from(age.older_than_seconds) * 1_000;
    Ok(Json(service.book.stale(before_ms, STALE_MAX).await?))
}

async fn audit(State(service): State<Service>) -> Result<Json<InventoryAudit>, AppError> {
    Ok(Json(service.book.audit().await?))
}
