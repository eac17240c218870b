//! Ends reservations that inventory still holds for orders that are cancelled or were never recorded. None should exist, as
//! an order is recorded before it reserves and releases before it is cancelled; a store restored from a copy makes some.

use std::convert::Infallible;
use std::time::Duration;

use lifecycle::CancellationToken;

use super::saga::Step;
use super::store::Orders;
use crate::chassis::{AppError, Context, Peer, RequestContext};
use crate::inventory::StaleReservation;

/// How often inventory is asked. The first time is one period after the start: a restart is not a reason to ask.
const PERIOD: Duration = Duration::from_secs(60);

/// A reservation is stale when it is older than any order may be pending.
const STALE_AFTER_SECONDS: &str = "1200";

/// How long one round may take.
const ROUND_TIMEOUT: Duration = Duration::from_secs(20);

/// Ends forgotten reservations.
pub struct Janitor {
    pub context: Context,
    pub orders: Orders,
    pub inventory: Peer,
}

impl Janitor {
    /// Works until shutdown; what fails is tried again in the next round.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(PERIOD) => {}
            }
            if let Err(error) = self.round().await {
                tracing::info!(%error, "forgotten reservations could not be looked for");
            }
        }
    }

    async fn round(&self) -> Result<(), AppError> {
        let request = RequestContext::background(&self.context, "end forgotten reservations", ROUND_TIMEOUT);
        let query = [("older_than_seconds", STALE_AFTER_SECONDS)];
        let stale: Vec<StaleReservation> = self.inventory.get("/reservations/stale", &query, &request).await?;
        for reservation in stale {
            let step = self.orders.get(&reservation.order_id).await?.map(|stored| stored.step);
            if matches!(step, None | Some(Step::Cancelled)) {
                tracing::warn!(order_id = reservation.order_id, "a forgotten reservation is released");
                self.inventory.delete(&format!("/reservations/{}", reservation.order_id), &request).await?;
            }
        }
        Ok(())
    }
}
