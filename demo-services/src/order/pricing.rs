//! What an order costs: product's prices at the moment it is placed. Customers' own ideas of a price do not count.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use http::StatusCode;

use crate::chassis::{AppError, CallError, Peer, RequestContext};
use crate::contract::{Line, Product};

/// Adds orders up.
#[derive(Debug, Clone)]
pub struct Prices {
    product: Peer,
}

impl Prices {
    pub fn new(product: Peer) -> Self {
        Self { product }
    }

    /// The total of all lines, or why there is none: a product that does not exist is the order's fault (422), a product
    /// service that gives no answer is not (503).
    pub async fn total_cents(&self, lines: &[Line], request: &RequestContext) -> Result<u64, AppError> {
        let ids: BTreeSet<&str> = lines.iter().map(|line| line.product_id.as_str()).collect();
        let products = try_join_all(ids.into_iter().map(|id| self.product(id, request))).await?;
        let price =
            |id: &str| products.iter().find(|product| product.id == id).map_or(0, |product| product.price_cents);
        let sum = lines.iter().try_fold(0_u64, |sum, line| {
            sum.checked_add(price(&line.product_id).checked_mul(u64::from(line.quantity))?)
        });
        sum.filter(|total| *total > 0).ok_or_else(|| AppError::invalid("lines: the order has no sensible total"))
    }

    async fn product(&self, id: &str, request: &RequestContext) -> Result<Product, AppError> {
        let path = format!("/products/{}", path_segment(id));
        self.product.get(&path, &[], request).await.map_err(|error| match error {
            CallError::Rejected { status: StatusCode::NOT_FOUND, .. } => {
                AppError::invalid(format!("lines: there is no product {id:?}"))
            }
            other => AppError::unavailable(format!("prices are not available: {other}")),
        })
    }
}

/// An id as it may stand in a path.
fn path_segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}
