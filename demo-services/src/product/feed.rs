//! Follows product's feed of changes from another service: all products first, then what changes. Keeps nothing itself.

use std::convert::Infallible;
use std::time::Duration;

use async_trait::async_trait;

use crate::chassis::{CallError, Context, Peer, RequestContext};
use crate::contract::{Product, ProductChanges};

/// How soon a change is seen; each look costs product one request a replica.
const POLL: Duration = Duration::from_secs(5);

/// Between tries before all products were seen once: soon, for the follower may not be ready before, but not so often that
/// the breaker opens while product starts.
const RETRY: Duration = Duration::from_millis(400);

/// One answer of the feed.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Who takes the products.
#[async_trait]
pub trait Follower: Send + 'static {
    /// New products and new versions of known ones.
    async fn take(&mut self, products: Vec<Product>) -> Result<(), String>;

    /// All products there are were taken; called after each time that was so.
    fn caught_up(&mut self);
}

/// Follows the feed until shutdown; a product service that is away is asked again and again.
pub async fn follow(context: Context, product: Peer, mut follower: impl Follower) -> Result<(), Infallible> {
    let shutdown = context.shutdown();
    let (mut since, mut complete) = (0, false);
    loop {
        let pause = match fetch(&context, &product, since).await {
            Ok(changes) if changes.products.is_empty() => {
                follower.caught_up();
                complete = true;
                POLL
            }
            Ok(changes) => match follower.take(changes.products).await {
                Ok(()) => {
                    since = changes.sequence;
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::warn!(%error, "changes of products could not be taken in");
                    POLL
                }
            },
            Err(error) => {
                tracing::info!(%error, "the feed of products gives no answer");
                if complete { POLL } else { RETRY }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn fetch(context: &Context, product: &Peer, since: u64) -> Result<ProductChanges, CallError> {
    let request = RequestContext::background(context, "follow products", CALL_TIMEOUT);
    product.get("/products/changes", &[("since", &since.to_string())], &request).await
}
