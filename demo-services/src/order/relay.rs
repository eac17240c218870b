//! Delivers the outbox to one destination, at least once. Runs in every replica and once for each destination, so that one
//! that is down delays no other; what it has not taken is tried again for ever, less and less often.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lifecycle::CancellationToken;
use tokio::sync::Notify;

use super::outbox::{DESTINATIONS, Outbox, Pending};
use crate::chassis::{CallError, Context, Peer, RequestContext};
use crate::contract::OrderEvent;

/// Events delivered under one lease.
const BATCH: u32 = 32;

/// Events under way at a time: enough to give a destination's replicas something to share.
const AT_ONCE: usize = 4;

/// How soon events are seen that another replica has left behind.
const POLL: Duration = Duration::from_secs(1);

/// After an event is written, others are waited for this long and go with it: fewer and larger writes.
const GATHER: Duration = Duration::from_millis(50);

/// An event that was not taken is tried again after this; doubles with each try ...
const RETRY_FIRST_MS: i64 = 500;

/// ... up to this.
const RETRY_MAX_MS: i64 = 10_000;

/// How long delivering one event may take. A whole batch stays below the outbox's lease because the first silence ends it.
const EVENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the relays that there is something to deliver.
#[derive(Debug, Clone)]
pub struct Nudges(Arc<HashMap<&'static str, Arc<Notify>>>);

impl Default for Nudges {
    fn default() -> Self {
        Self(Arc::new(DESTINATIONS.iter().map(|(name, _)| (*name, Arc::default())).collect()))
    }
}

impl Nudges {
    /// What the relay of one destination waits for.
    pub fn of(&self, destination: &str) -> Arc<Notify> {
        self.0.get(destination).cloned().unwrap_or_default()
    }

    /// Wakes all relays.
    pub fn all(&self) {
        self.0.values().for_each(|notify| notify.notify_one());
    }
}

/// Delivers events to one destination.
pub struct Relay {
    pub context: Context,
    pub outbox: Outbox,
    pub peer: Peer,
    pub destination: &'static str,
    pub nudge: Arc<Notify>,
}

impl Relay {
    /// Delivers until shutdown.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            let full = match self.deliver().await {
                Ok(full) => full,
                Err(error) => {
                    tracing::warn!(%error, destination = self.destination, "the outbox could not be read; trying again");
                    false
                }
            };
            if full && !shutdown.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.nudge.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Delivers one batch; says whether it was full and all taken, so that there may be more.
    async fn deliver(&self) -> Result<bool, sqlx::Error> {
        let now_ms = self.context.clock().now_ms();
        let due = self.outbox.claim(self.destination, BATCH, now_ms).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let request = RequestContext::background(&self.context, "deliver events", EVENT_TIMEOUT * BATCH);
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        let mut silent = false;
        for some in due.chunks(AT_ONCE) {
            // A destination that gives no answer is not asked for the rest of the batch; one that says no to an event is.
            if silent {
                left.extend(some.iter().map(|pending| (pending.event_id.as_str(), now_ms + RETRY_FIRST_MS)));
                continue;
            }
            let answers = join_all(some.iter().map(|pending| self.post(&pending.event, &request))).await;
            for (pending, answer) in some.iter().zip(answers) {
                match answer {
                    Ok(()) => taken.push(pending.event_id.as_str()),
                    Err(error) => {
                        silent |= !matches!(error, CallError::Rejected { .. });
                        tracing::debug!(%error, event = pending.event_id, "an event was not taken");
                        left.push((pending.event_id.as_str(), self.context.clock().now_ms() + pause_ms(pending)));
                    }
                }
            }
        }
        if !taken.is_empty() {
            self.outbox.delivered(self.destination, &taken).await?;
        }
        if !left.is_empty() {
            self.outbox.postpone(self.destination, &left).await?;
        }
        Ok(left.is_empty() && due.len() == BATCH as usize)
    }

    async fn post(&self, event: &OrderEvent, request: &RequestContext) -> Result<(), CallError> {
        let call = self.peer.call(http::Method::POST, "/events").json(event)?;
        call.idempotent().timeout(EVENT_TIMEOUT).send(request).await.map(drop)
    }
}

fn pause_ms(pending: &Pending) -> i64 {
    (RETRY_FIRST_MS << pending.attempts.min(8)).min(RETRY_MAX_MS)
}
