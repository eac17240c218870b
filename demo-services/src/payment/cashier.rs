//! Takes and returns money, each once an order, whatever is lost, repeated or late on the way to the card processor.
//! The intent is stored before the processor is asked, and an answer that never came is asked for by key.

use std::sync::Arc;

use lifecycle::Clock;
use uuid::Uuid;

use super::card::{BadCard, CheckedCard};
use super::processor::{Capture, Processor, ProcessorError, Verdict};
use super::store::{ChargeState, Charges, StoredCharge};
use crate::contract::{Card, CardToken, Charge, ChargeRequest, PaymentAudit};

/// How often the processor is asked within one request when it gives no answer; after that the caller asks again.
const ATTEMPTS: u32 = 2;

/// Why there is no charge or no token.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    #[error(transparent)]
    BadCard(#[from] BadCard),
    /// The processor's final no; also for a token that stands for no card.
    #[error("the card was declined")]
    Declined,
    /// The order's money was returned before; it is not taken again.
    #[error("the order's payment was refunded; it is not taken again")]
    Refunded,
    /// The order was charged with another amount or card.
    #[error("the order was charged before with another amount or card")]
    OtherCharge,
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error("the payment store failed: {0}")]
    Store(#[from] sqlx::Error),
}

/// Takes and returns money.
#[derive(Clone)]
pub struct Cashier {
    charges: Charges,
    processor: Arc<dyn Processor>,
    clock: Arc<dyn Clock>,
}

impl Cashier {
    pub fn new(charges: Charges, processor: Arc<dyn Processor>, clock: Arc<dyn Clock>) -> Self {
        Self { charges, processor, clock }
    }

    /// Checks a card, hands it to the processor and returns what stands for it.
    pub async fn tokenise(&self, card: &Card) -> Result<CardToken, PaymentError> {
        let now_ms = self.clock.now_ms();
        let card = CheckedCard::check(card, now_ms)?;
        let reference = self.processor.keep_card(&card).await?;
        let token = CardToken {
            token: format!("tok_{}", Uuid::new_v4().simple()),
            brand: card.brand.to_owned(),
            last4: card.last4().to_owned(),
        };
        self.charges.keep_token(&token, &reference, now_ms).await?;
        Ok(token)
    }

    /// Charges an order once; repeated, it gives the same answer.
    pub async fn charge(&self, request: &ChargeRequest) -> Result<Charge, PaymentError> {
        let id = format!("ch_{}", Uuid::now_v7().simple());
        let charge = self.charges.begin(&id, request, self.clock.now_ms()).await?;
        match charge.state {
            ChargeState::Refunding | ChargeState::Refunded => return Err(PaymentError::Refunded),
            _ if charge.amount_cents != request.amount_cents || charge.card_token != request.card_token => {
                return Err(PaymentError::OtherCharge);
            }
            ChargeState::Captured => return Ok(answer(request, charge.id)),
            ChargeState::Declined => return Err(PaymentError::Declined),
            ChargeState::Attempted => {}
        }
        let verdict = self.verdict(request, &charge).await?;
        let state = if verdict == Verdict::Captured { ChargeState::Captured } else { ChargeState::Declined };
        let concluded = self.charges.conclude(&request.order_id, state).await?;
        match verdict {
            // A refund that began meanwhile also returns what has just been captured.
            _ if !concluded => Err(PaymentError::Refunded),
            Verdict::Captured => Ok(answer(request, charge.id)),
            Verdict::Declined => Err(PaymentError::Declined),
            Verdict::Reversed => Err(PaymentError::Refunded),
        }
    }

    /// Asks the processor; where an earlier attempt may have reached it, asks first what became of that.
    async fn verdict(&self, request: &ChargeRequest, charge: &StoredCharge) -> Result<Verdict, PaymentError> {
        let Some(reference) = self.charges.reference(&request.card_token).await? else {
            return Ok(Verdict::Declined);
        };
        let key = capture_key(&request.order_id);
        let capture = Capture {
            key: &key,
            order_id: &request.order_id,
            card_reference: &reference,
            amount_cents: request.amount_cents,
        };
        let mut ambiguous = !charge.new;
        for attempt in 1..=ATTEMPTS {
            if ambiguous && let Some(verdict) = self.processor.find(&key).await? {
                return Ok(verdict);
            }
            match self.processor.capture(capture).await {
                Ok(verdict) => return Ok(verdict),
                Err(error) if attempt == ATTEMPTS => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(order_id = request.order_id, %error, "the capture gave no answer; asking the ledger");
                    ambiguous = true;
                }
            }
        }
        Err(ProcessorError::TimedOut.into())
    }

    /// Returns an order's money, or sees to it that none is ever taken.
    pub async fn refund(&self, order_id: &str) -> Result<(), PaymentError> {
        if self.charges.begin_refund(order_id, self.clock.now_ms()).await? {
            self.processor.reverse(&capture_key(order_id), order_id).await?;
            self.charges.conclude_refund(order_id).await?;
        }
        Ok(())
    }

    /// What the processor's ledger says.
    pub async fn audit(&self) -> Result<PaymentAudit, PaymentError> {
        Ok(self.processor.audit().await?)
    }
}

fn capture_key(order_id: &str) -> String {
    format!("capture:{order_id}")
}

fn answer(request: &ChargeRequest, id: String) -> Charge {
    Charge { id, order_id: request.order_id.clone(), amount_cents: request.amount_cents }
}

#[cfg(test)]
mod tests;
