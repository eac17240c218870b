//! The product page: the product itself, and beside it whatever other services add in time. A part that fails is named and
//! left out.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use crate::chassis::{AppError, CallError, Context, Json, Path, Peer, RequestContext, StartError};
use crate::contract::{Product, ProductView, Recommendations, Reviews, Stock};

/// The product itself.
const PRODUCT_TIMEOUT: Duration = Duration::from_secs(2);
/// The page does not wait longer for what it can do without.
const PART_TIMEOUT: Duration = Duration::from_millis(500);
/// Recommendations on a page.
const RECOMMENDATIONS: &str = "6";
/// Ids are short; anything longer is no id of ours.
const ID_MAX: usize = 64;

#[derive(Clone)]
struct Parts {
    product: Peer,
    inventory: Peer,
    review: Peer,
    recommendation: Peer,
}

pub(super) fn routes(context: &Context) -> Result<Router, StartError> {
    let parts = Parts {
        product: context.peer("product")?,
        inventory: context.peer("inventory")?,
        review: context.peer("review")?,
        recommendation: context.peer("recommendation")?,
    };
    Ok(Router::new().route("/api/products/{id}", get(view)).with_state(parts))
}

async fn view(
    State(parts): State<Parts>,
    Path(id): Path<String>,
    request: RequestContext,
) -> Result<Json<ProductView>, AppError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > ID_MAX || !id.chars().all(plain) {
        return Err(AppError::not_found("such product"));
    }
    let (must, may) = (request.within(PRODUCT_TIMEOUT), request.within(PART_TIMEOUT));
    let (product_path, reviews_path) = (format!("/products/{id}"), format!("/products/{id}/reviews"));
    let stock_query = [("ids", id.as_str())];
    let recommendations_query = [("product_id", id.as_str()), ("limit", RECOMMENDATIONS)];
    let optional = async {
        tokio::join!(
            parts.inventory.get::<Vec<Stock>>("/stock", &stock_query, &may),
            parts.review.get::<Reviews>(&reviews_path, &[], &may),
            parts.recommendation.get::<Recommendations>("/recommendations", &recommendations_query, &may),
        )
    };
    // Without the product there is no page, and nothing to wait for.
    let product = async { parts.product.get::<Product>(&product_path, &[], &must).await.map_err(AppError::from) };
    let (product, (stock, reviews, recommendations)) =
        tokio::try_join!(product, async { Ok::<_, AppError>(optional.await) })?;

    let mut missing = Vec::new();
    let stock = part(stock, "stock", &mut missing).and_then(|stocks| stocks.into_iter().find(|s| s.product_id == id));
    let reviews = part(reviews, "reviews", &mut missing);
    let recommendations = part(recommendations, "recommendations", &mut missing);
    Ok(Json(ProductView { product, stock, reviews, recommendations, missing }))
}

/// The part, or its name among the missing ones.
fn part<T>(result: Result<T, CallError>, name: &str, missing: &mut Vec<String>) -> Option<T> {
    match result {
        Ok(part) => Some(part),
        Err(error) => {
            tracing::debug!(part = name, %error, "a part of the product page is missing");
            missing.push(name.to_owned());
            None
        }
    }
}
