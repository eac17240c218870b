//! What the shop needs from a card processor. A real gateway is another implementation of `Processor`; the default is
//! `FakeProcessor`. Never sees orders or customers, only keys, cards and amounts.

pub mod fake;

use async_trait::async_trait;

pub use fake::FakeProcessor;

use super::card::CheckedCard;
use crate::contract::PaymentAudit;

/// Money wanted. The key makes it safe to ask twice: one key moves money at most once.
#[derive(Debug, Clone, Copy)]
pub struct Capture<'a> {
    pub key: &'a str,
    /// What the capture is for; only the processor's own audit reads it.
    pub order_id: &'a str,
    pub card_reference: &'a str,
    pub amount_cents: u64,
}

/// What the processor did under a key, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Captured,
    Declined,
    /// Reversed before or after the money moved; nothing is taken under this key any more.
    Reversed,
}

/// The processor could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The call ended without an answer: the money may have moved or not. Only `Processor::find` knows.
    #[error("the card processor gave no answer in time")]
    TimedOut,
    /// It cannot be reached or has failed; nothing is known either.
    #[error("the card processor is not available: {0}")]
    Unavailable(String),
}

/// A card processor.
#[async_trait]
pub trait Processor: Send + Sync + 'static {
    /// Hands the card over and returns the processor's own reference to it.
    async fn keep_card(&self, card: &CheckedCard) -> Result<String, ProcessorError>;

    /// Takes money, at most once a key; repeated, it answers as the first time.
    async fn capture(&self, capture: Capture<'_>) -> Result<Verdict, ProcessorError>;

    /// What was done under a key, if anything.
    async fn find(&self, key: &str) -> Result<Option<Verdict>, ProcessorError>;

    /// Gives the money taken under a key back; if none was taken, none can be taken under this key any more.
    async fn reverse(&self, key: &str, order_id: &str) -> Result<(), ProcessorError>;

    /// What its ledger says.
    async fn audit(&self) -> Result<PaymentAudit, ProcessorError>;
}
