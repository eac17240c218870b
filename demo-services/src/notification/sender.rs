//! Sends queued messages. Every replica runs one; a message's lease decides who sends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, Clock};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::Notify;

use super::message::Message;
use super::store::Messages;
use super::transport::Transport;
use crate::chassis::Context;

/// Messages sent under one lease.
const BATCH: u32 = 64;

/// How soon messages are seen that another replica has left behind.
const POLL: Duration = Duration::from_secs(2);

/// After a message arrives, others are waited for this long and sent with it: fewer and larger writes.
const GATHER: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SentLabels {
    channel: &'static str,
    kind: String,
}

/// Sends queued messages.
pub struct Sender {
    messages: Messages,
    transport: Arc<dyn Transport>,
    arrived: Arc<Notify>,
    clock: Arc<dyn Clock>,
    sent: Family<SentLabels, Counter>,
}

impl Sender {
    pub fn new(context: &Context, messages: Messages, transport: Arc<dyn Transport>, arrived: Arc<Notify>) -> Self {
        let sent = Family::default();
        context.metrics().register(|registry| {
            registry.register("notifications", "Messages handed to a transport", Family::clone(&sent));
        });
        Self { messages, transport, arrived, clock: Arc::clone(context.clock()), sent }
    }

    /// Sends until shutdown. A failing store or transport is tried again: the messages stay queued.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            let full = match self.send_due().await {
                Ok(count) => count == BATCH as usize,
                Err(error) => {
                    tracing::warn!(%error, "messages could not be sent; they stay queued");
                    false
                }
            };
            if full && !shutdown.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.arrived.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Sends what is due and says how much that was.
    async fn send_due(&self) -> Result<usize, sqlx::Error> {
        let due = self.messages.claim(BATCH, self.clock.now_ms()).await?;
        let mut sent: Vec<&Message> = Vec::with_capacity(due.len());
        for message in &due {
            match self.transport.send(message).await {
                Ok(()) => sent.push(message),
                Err(error) => tracing::warn!(%error, id = message.id, "a message stays queued"),
            }
        }
        if sent.is_empty() {
            return Ok(due.len());
        }
        let ids: Vec<&str> = sent.iter().map(|message| message.id.as_str()).collect();
        self.messages.sent(&ids, self.clock.now_ms()).await?;
        for message in sent {
            let labels = SentLabels { channel: message.channel.as_str(), kind: message.kind.clone() };
            self.sent.get_or_create(&labels).inc();
        }
        Ok(due.len())
    }
}
