//! Tells customers about their orders, once each: takes order events in, renders messages and hands them to transports.

mod message;
mod sender;
mod store;
mod transport;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use lifecycle::{Clock, Supervisor};
use tokio::sync::Notify;

use self::sender::Sender;
pub use self::store::NotificationAudit;
use self::store::{Messages, SCHEMA};
use self::transport::LogTransport;
use crate::chassis::{AppError, Context, Faults, Json, SignedIn, StartError};
use crate::contract::{Notification, OrderEvent, Preferences};

/// Messages that a customer is shown.
const SHOWN_MAX: u32 = 50;

#[derive(Clone)]
struct Service {
    faults: Faults,
    messages: Messages,
    clock: Arc<dyn Clock>,
    arrived: Arc<Notify>,
}

/// Starts the service.
pub async fn start(context: &Context, supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let messages = Messages::new(context.store(&[SCHEMA]).await?);
    let arrived = Arc::new(Notify::new());
    let sender = Sender::new(context, messages.clone(), Arc::new(LogTransport), Arc::clone(&arrived));
    supervisor.spawn("send messages", sender.run(context.shutdown()));
    Ok(Router::new()
        .route("/events", post(take_event))
        .route("/notifications", get(list))
        .route("/preferences", get(preferences).put(prefer))
        .route("/audit", get(audit))
        .with_state(Service {
            faults: context.faults().clone(),
            messages,
            clock: Arc::clone(context.clock()),
            arrived,
        }))
}

async fn take_event(State(service): State<Service>, Json(event): Json<OrderEvent>) -> Result<StatusCode, AppError> {
    service.faults.on_event(&event.id).await?;
    if service.messages.take_in(&event, service.clock.now_ms()).await? {
        service.arrived.notify_one();
    }
    Ok(StatusCode::ACCEPTED)
}

async fn list(
    State(service): State<Service>,
    SignedIn(user_id): SignedIn,
) -> Result<Json<Vec<Notification>>, AppError> {
    Ok(Json(service.messages.of_user(&user_id, SHOWN_MAX).await?))
}

async fn preferences(
    State(service): State<Service>,
    SignedIn(user_id): SignedIn,
) -> Result<Json<Preferences>, AppError> {
    Ok(Json(service.messages.preferences(&user_id).await?))
}

async fn prefer(
    State(service): State<Service>,
    SignedIn(user_id): SignedIn,
    Json(wishes): Json<Preferences>,
) -> Result<Json<Preferences>, AppError> {
    service.messages.prefer(&user_id, &wishes).await?;
    Ok(Json(wishes))
}

async fn audit(State(service): State<Service>) -> Result<Json<NotificationAudit>, AppError> {
    Ok(Json(service.messages.audit().await?))
}
