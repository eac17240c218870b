//! Takes money once per order; keeps no card numbers: they go to the card processor, a token stands for them here.

pub mod card;
pub mod cashier;
pub mod processor;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use lifecycle::Supervisor;

use self::cashier::{Cashier, PaymentError};
use self::processor::{FakeProcessor, fake};
pub use self::store::Charges;
use crate::chassis::{AppError, Context, Json, Path, StartError};
use crate::contract::{Card, CardToken, Charge, ChargeRequest, PaymentAudit};

/// The tables of the service and, as the default processor lives in the same database, of that.
pub const MIGRATIONS: [&str; 2] = [store::SCHEMA, fake::SCHEMA];

/// Starts the service.
pub async fn start(context: &Context, _supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let pool = context.store(&MIGRATIONS).await?;
    let processor = Arc::new(FakeProcessor::new(pool.clone()));
    let cashier = Cashier::new(Charges::new(pool), processor, Arc::clone(context.clock()));
    Ok(Router::new()
        .route("/cards", post(tokenise))
        .route("/charges", post(charge))
        .route("/charges/{order_id}/refund", post(refund))
        .route("/audit", get(audit))
        .with_state(cashier))
}

impl From<PaymentError> for AppError {
    fn from(error: PaymentError) -> Self {
        let message = error.to_string();
        match error {
            PaymentError::BadCard(_) => Self::invalid(message),
            PaymentError::Declined => Self::new(StatusCode::PAYMENT_REQUIRED, "card_declined", message),
            PaymentError::Refunded => Self::conflict("refunded", message),
            PaymentError::OtherCharge => Self::conflict("other_charge", message),
            PaymentError::Processor(_) => Self::unavailable(message),
            PaymentError::Store(error) => error.into(),
        }
    }
}

async fn tokenise(
    State(cashier): State<Cashier>,
    Json(card): Json<Card>,
) -> Result<(StatusCode, Json<CardToken>), AppError> {
    Ok((StatusCode::CREATED, Json(cashier.tokenise(&card).await?)))
}

async fn charge(
    State(cashier): State<Cashier>,
    Json(request): Json<ChargeRequest>,
) -> Result<(StatusCode, Json<Charge>), AppError> {
    if request.order_id.is_empty() || request.amount_cents == 0 {
        return Err(AppError::invalid("expected an order_id and an amount above 0"));
    }
    Ok((StatusCode::CREATED, Json(cashier.charge(&request).await?)))
}

async fn refund(State(cashier): State<Cashier>, Path(order_id): Path<String>) -> Result<StatusCode, AppError> {
    cashier.refund(&order_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn audit(State(cashier): State<Cashier>) -> Result<Json<PaymentAudit>, AppError> {
    Ok(Json(cashier.audit().await?))
}
