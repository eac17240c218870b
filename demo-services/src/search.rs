//! Full-text search with filters and sorting over an index in memory that follows product's changes. Stores nothing.

pub mod index;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use lifecycle::Supervisor;
use serde::Deserialize;

use self::index::{ProductIndex, Question, Sort};
use crate::chassis::{AppError, Context, Gate, Query, StartError};
use crate::contract::Product;
use crate::product::{feed, raw};

/// Hits of a page unless the caller says otherwise: a screenful.
const PAGE_DEFAULT: usize = 20;

/// Hits of a page at most.
const PAGE_MAX: usize = 100;

/// Starts the service; it is ready once it has the whole catalogue.
pub async fn start(context: &Context, supervisor: &mut Supervisor) -> Result<Router, StartError> {
    let index = Arc::new(ProductIndex::new().map_err(|error| StartError::other("cannot make the index", error))?);
    let follower = Indexer { index: Arc::clone(&index), gate: context.gate("the catalogue") };
    supervisor.spawn("follow products", feed::follow(context.clone(), context.peer("product")?, follower));
    Ok(Router::new().route("/search", get(search)).with_state(index))
}

struct Indexer {
    index: Arc<ProductIndex>,
    gate: Gate,
}

#[async_trait]
impl feed::Follower for Indexer {
    async fn take(&mut self, products: Vec<Product>) -> Result<(), String> {
        let index = Arc::clone(&self.index);
        let applied = tokio::task::spawn_blocking(move || index.apply(&products)).await;
        applied.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn caught_up(&mut self) {
        self.gate.open();
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    category: Option<String>,
    price_min: Option<u64>,
    price_max: Option<u64>,
    #[serde(default)]
    sort: Sort,
    page: Option<usize>,
    size: Option<usize>,
}

async fn search(State(index): State<Arc<ProductIndex>>, Query(asked): Query<Asked>) -> Result<Response, AppError> {
    let page = asked.page.unwrap_or(1).max(1);
    let size = asked.size.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
    let question = Question {
        text: asked.q,
        category: asked.category.filter(|category| !category.is_empty()),
        price_min_cents: asked.price_min,
        price_max_cents: asked.price_max,
        sort: asked.sort,
        offset: (page - 1).saturating_mul(size),
        size,
    };
    let hits = index.search(&question).map_err(AppError::internal)?;
    Ok(raw::json(format!(r#"{{"hits":{},"total":{},"page":{page}}}"#, raw::array(&hits.bodies), hits.total)))
}
