//! Hands messages over to the outside. Real transports (SMTP, an SMS gateway, a push service) are other implementations of
//! `Transport`; the built-in one writes log lines, for a demo must write to nobody.

use async_trait::async_trait;

use super::message::Message;

/// A message that could not be handed over; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("the transport did not take the message: {0}")]
pub struct TransportError(pub String);

/// Hands messages over. It may be asked twice for the same message (same id).
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    async fn send(&self, message: &Message) -> Result<(), TransportError>;
}

/// Writes messages to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogTransport;

#[async_trait]
impl Transport for LogTransport {
    async fn send(&self, message: &Message) -> Result<(), TransportError> {
        tracing::debug!(
            id = message.id,
            channel = message.channel.as_str(),
            user_id = message.user_id,
            subject = message.subject,
            "a message was sent"
        );
        Ok(())
    }
}
