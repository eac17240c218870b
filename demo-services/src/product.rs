//! The catalogue: flexible documents, listed by category, found by id, and a feed of their changes. Knows nothing of stock.

pub mod feed;
pub mod raw;
pub mod seed;
mod store;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use lifecycle::Supervisor;
use serde::Deserialize;

use self::store::{Documents, SCHEMA};
use crate::chassis::{AppError, Context, Json, Path, Query, StartError};
use crate::contract::Product;

/// Products of a page unless the caller says otherwise: a screenful.
const PAGE_DEFAULT: u32 = 20;

/// Products of a page at most; more is what the feed is for.
const PAGE_MAX: u32 = 100;

/// Products of one answer of the feed at most, some 300 KB.
const CHANGES_MAX: u32 = 500;

/// Longest id and category that are stored.
const NAME_CHARS_MAX: usize = 64;

/// Starts the service.
pub async fn start(context: &Context, _supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let pool = context.store(&[SCHEMA]).await?;
    let documents =
        Documents::seeded(pool).await.map_err(|error| StartError::other("cannot seed the catalogue", error))?;
    Ok(Router::new()
        .route("/products", get(list))
        .route("/products/changes", get(changes))
        .route("/products/{id}", get(one).put(put))
        .route("/categories", get(categories))
        .with_state(documents))
}

#[derive(Debug, Deserialize)]
struct Listing {
    category: Option<String>,
    page: Option<u32>,
    size: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Since {
    since: Option<u64>,
    limit: Option<u32>,
}

async fn list(State(documents): State<Documents>, Query(listing): Query<Listing>) -> Result<Response, AppError> {
    let size = listing.size.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
    let page = listing.page.unwrap_or(1).max(1);
    let category = listing.category.as_deref().filter(|category| !category.is_empty());
    let (bodies, total) = documents.page(category, (page - 1).saturating_mul(size), size).await?;
    Ok(raw::json(format!(r#"{{"products":{},"page":{page},"total":{total}}}"#, raw::array(&bodies))))
}

async fn one(State(documents): State<Documents>, Path(id): Path<String>) -> Result<Response, AppError> {
    let body = documents.get(&id).await?.ok_or_else(|| AppError::not_found(format!("product {id}")))?;
    Ok(raw::json(body))
}

async fn put(
    State(documents): State<Documents>,
    Path(id): Path<String>,
    Json(product): Json<Product>,
) -> Result<Response, AppError> {
    if product.id != id {
        return Err(AppError::invalid(format!("id: expected {id:?} as in the path, found {:?}", product.id)));
    }
    for (field, text) in [("id", &product.id), ("category", &product.category), ("name", &product.name)] {
        if text.is_empty() || text.chars().count() > NAME_CHARS_MAX {
            return Err(AppError::invalid(format!("{field}: expected 1 to {NAME_CHARS_MAX} characters")));
        }
    }
    let new = documents.put(&product).await?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(product)).into_response())
}

async fn categories(State(documents): State<Documents>) -> Result<Json<Vec<String>>, AppError> {
    Ok(Json(documents.categories().await?))
}

async fn changes(State(documents): State<Documents>, Query(since): Query<Since>) -> Result<Response, AppError> {
    let changes =
        documents.changes(since.since.unwrap_or(0), since.limit.unwrap_or(CHANGES_MAX).min(CHANGES_MAX)).await?;
    Ok(raw::json(format!(r#"{{"products":{},"sequence":{}}}"#, raw::array(&changes.bodies), changes.sequence)))
}
