//! What is bought together, counted from confirmed orders; where that is not known, products of the same category, then
//! popular ones. Answers from its own data alone, so that no other service's trouble makes it slow.

mod catalogue;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use lifecycle::Supervisor;
use serde::Deserialize;

use self::catalogue::{Catalogue, CatalogueFollower};
use self::store::{Purchases, SCHEMA};
use crate::chassis::{AppError, Context, Faults, Json, Query, StartError};
use crate::contract::{OrderEvent, OrderEventKind, Recommendations};
use crate::product::feed;

/// Recommendations unless the caller says otherwise: a row on the screen.
const LIMIT_DEFAULT: u32 = 5;

/// Recommendations at most.
const LIMIT_MAX: u32 = 50;

#[derive(Clone)]
struct Service {
    faults: Faults,
    purchases: Purchases,
    catalogue: Arc<Catalogue>,
}

/// Starts the service.
pub async fn start(context: &Context, supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let purchases = Purchases::new(context.store(&[SCHEMA]).await?);
    let catalogue = Arc::new(Catalogue::default());
    let follower = CatalogueFollower::new(Arc::clone(&catalogue));
    supervisor.spawn("follow products", feed::follow(context.clone(), context.peer("product")?, follower));
    Ok(Router::new().route("/recommendations", get(recommend)).route("/events", post(take_event)).with_state(Service {
        faults: context.faults().clone(),
        purchases,
        catalogue,
    }))
}

#[derive(Debug, Deserialize)]
struct Asked {
    product_id: String,
    limit: Option<u32>,
}

async fn recommend(
    State(service): State<Service>,
    Query(asked): Query<Asked>,
) -> Result<Json<Recommendations>, AppError> {
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let enough = limit as usize;
    let mut product_ids = service.purchases.together_with(&asked.product_id, limit).await?;
    if product_ids.len() < enough {
        add(&mut product_ids, service.catalogue.beside(&asked.product_id, enough), &asked.product_id, enough);
    }
    if product_ids.len() < enough {
        add(&mut product_ids, service.purchases.popular(limit).await?, &asked.product_id, enough);
    }
    Ok(Json(Recommendations { product_ids }))
}

fn add(to: &mut Vec<String>, from: Vec<String>, except: &str, enough: usize) {
    for id in from {
        if to.len() < enough && id != except && !to.contains(&id) {
            to.push(id);
        }
    }
}

async fn take_event(State(service): State<Service>, Json(event): Json<OrderEvent>) -> Result<StatusCode, AppError> {
    service.faults.on_event(&event.id).await?;
    if event.kind == OrderEventKind::Confirmed {
        service.purchases.count(&event.id, &event.order.lines).await?;
    }
    Ok(StatusCode::ACCEPTED)
}
