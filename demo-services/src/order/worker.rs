//! Completes orders that wait, and those whose replica died. Runs in every replica; leases share the orders out. While a
//! peer is down it only tries a few orders at a time; when these succeed, more at a time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lifecycle::CancellationToken;
use uuid::Uuid;

use super::meters::OrderMeters;
use super::runner::{Halt, Runner};
use super::store::{Orders, StoredOrder};
use crate::chassis::{Context, RequestContext};

/// How often due orders are looked for.
const POLL: Duration = Duration::from_millis(500);

/// Orders tried at once while nothing succeeds ...
const BATCH_MIN: u32 = 2;

/// ... and at most. All of a batch are under way together, each holding one of the peer's slots.
const BATCH_MAX: u32 = 16;

/// How long one order may keep the worker; the steps' own timeouts are shorter.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the number of pending orders is counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Completes pending orders.
pub struct Worker {
    pub context: Context,
    pub orders: Orders,
    pub runner: Arc<Runner>,
    pub meters: OrderMeters,
}

impl Worker {
    /// Works until shutdown; a failing store is tried again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut batch = BATCH_MIN;
        let mut count = tokio::time::interval(COUNT_EVERY);
        count.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = count.tick() => self.count().await,
                () = tokio::time::sleep(pause) => {
                    let tried = self.complete(batch).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "pending orders could not be read; trying again");
                        Tried::default()
                    });
                    let went_well = tried.orders > 0 && tried.waiting == 0;
                    batch = if went_well { (batch * 2).min(BATCH_MAX) } else { BATCH_MIN };
                    pause = if went_well { Duration::ZERO } else { POLL };
                }
            }
        }
    }

    async fn count(&self) {
        match tokio::try_join!(self.orders.pending(), self.orders.undelivered()) {
            Ok((pending, undelivered)) => {
                self.meters.pending(pending);
                self.meters.undelivered(undelivered);
            }
            Err(error) => tracing::warn!(%error, "what is pending could not be counted"),
        }
    }

    /// Runs up to `batch` due orders side by side.
    async fn complete(&self, batch: u32) -> Result<Tried, sqlx::Error> {
        let holder = Uuid::now_v7().to_string();
        let due = self.orders.claim(&holder, batch, self.context.clock().now_ms()).await?;
        let mut tried = Tried { orders: due.len(), waiting: 0 };
        let mut runs: futures::stream::FuturesUnordered<_> = due.into_iter().map(|order| self.one(order)).collect();
        while let Some(halt) = runs.next().await {
            tried.waiting += usize::from(halt != Some(Halt::Ended));
        }
        Ok(tried)
    }

    async fn one(&self, mut stored: StoredOrder) -> Option<Halt> {
        let request = RequestContext::background(&self.context, "complete order", ORDER_TIMEOUT)
            .as_user(Some(&stored.order.user_id));
        request.annotate("order.id", stored.order.id.clone());
        match self.runner.run(&mut stored, &request).await {
            Ok(halt) => Some(halt),
            Err(error) => {
                tracing::warn!(%error, order_id = stored.order.id, "an order's step could not be stored; it goes on when its lease ends");
                None
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tried {
    orders: usize,
    waiting: usize,
}
