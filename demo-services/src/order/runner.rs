//! Carries a saga out: makes a step's call, asks the rules what follows, stores that, and goes on until the order ends or
//! has to wait. Whoever runs an order holds its lease; one that lost it stops at once.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Clock;

use super::meters::OrderMeters;
use super::participants::Participants;
use super::relay::Nudges;
use super::saga::{Action, Outcome, Step, next};
use super::store::{Orders, StoredOrder};
use crate::chassis::RequestContext;

/// A waiting order is tried again after this; doubles with each try ...
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// ... up to this, so that orders complete soon after what they wait for is back.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// An order that cannot be paid for this long is given up: its customer has gone elsewhere.
const PENDING_MAX: Duration = Duration::from_secs(15 * 60);

/// How a run of a saga came to a halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    Ended,
    /// It is tried again later.
    Waits,
    /// Somebody else has taken the order over.
    Lost,
}

/// Carries sagas out.
pub struct Runner {
    pub orders: Orders,
    pub participants: Arc<dyn Participants>,
    pub clock: Arc<dyn Clock>,
    pub meters: OrderMeters,
    pub nudges: Nudges,
}

impl Runner {
    /// Runs an order whose lease is held as far as it goes; `stored` shows afterwards how far that was.
    pub async fn run(&self, stored: &mut StoredOrder, request: &RequestContext) -> Result<Halt, sqlx::Error> {
        while !stored.step.is_end() {
            let outcome = if stored.step.may_expire() && self.age_ms(stored) > millis(PENDING_MAX) {
                Outcome::Expired
            } else {
                self.participants.perform(stored, request).await
            };
            match next(stored.step, outcome) {
                Action::Advance { to, tracking, refusal } => {
                    let now_ms = self.clock.now_ms();
                    if !self.orders.advance(stored, to, tracking, refusal, now_ms).await? {
                        return Ok(Halt::Lost);
                    }
                    self.announce(to);
                }
                Action::Retry { reason } => {
                    let pause = RETRY_FIRST.saturating_mul(1 << stored.attempts.min(8)).min(RETRY_MAX);
                    tracing::debug!(order_id = stored.order.id, step = stored.step.as_str(), reason, "an order waits");
                    self.orders.defer(stored, &reason, self.clock.now_ms() + millis(pause)).await?;
                    return Ok(Halt::Waits);
                }
            }
        }
        Ok(Halt::Ended)
    }

    fn age_ms(&self, stored: &StoredOrder) -> i64 {
        self.clock.now_ms() - stored.order.created_at_ms
    }

    fn announce(&self, reached: Step) {
        match reached {
            Step::Confirmed => self.meters.reached("confirmed"),
            Step::Cancelled => self.meters.reached("cancelled"),
            _ => return,
        }
        self.nudges.all();
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
