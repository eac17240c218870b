//! What customers think of products: one review a customer and product, with the average. Does not know who bought what.

mod store;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use lifecycle::{Clock, Supervisor};

use self::store::{ReviewStore, SCHEMA};
use crate::chassis::{AppError, Context, Json, Path, SignedIn, StartError};
use crate::contract::{Review, Reviews, WriteReview};

/// Longest review; a page of text.
const TEXT_CHARS_MAX: usize = 4_000;

/// Longest product id; those of the catalogue are shorter.
const PRODUCT_ID_CHARS_MAX: usize = 64;

#[derive(Clone)]
struct Service {
    store: ReviewStore,
    clock: Arc<dyn Clock>,
}

/// Starts the service.
pub async fn start(context: &Context, _supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let store = ReviewStore::new(context.store(&[SCHEMA]).await?);
    Ok(Router::new()
        .route("/products/{id}/reviews", get(read).post(write))
        .with_state(Service { store, clock: Arc::clone(context.clock()) }))
}

async fn read(State(service): State<Service>, Path(product_id): Path<String>) -> Result<Json<Reviews>, AppError> {
    Ok(Json(service.store.of_product(&product_id).await?))
}

async fn write(
    State(service): State<Service>,
    Path(product_id): Path<String>,
    SignedIn(user_id): SignedIn,
    Json(review): Json<WriteReview>,
) -> Result<(StatusCode, Json<Review>), AppError> {
    if !(1..=5).contains(&review.stars) {
        return Err(AppError::invalid(format!("stars: expected 1 to 5, found {}", review.stars)));
    }
    if review.text.chars().count() > TEXT_CHARS_MAX {
        return Err(AppError::invalid(format!("text: expected at most {TEXT_CHARS_MAX} characters")));
    }
    if product_id.chars().count() > PRODUCT_ID_CHARS_MAX {
        return Err(AppError::not_found(format!("product {product_id}")));
    }
    let review = Review { product_id, user_id, stars: review.stars, text: review.text, at_ms: service.clock.now_ms() };
    service.store.write(&review).await?;
    Ok((StatusCode::CREATED, Json(review)))
}
