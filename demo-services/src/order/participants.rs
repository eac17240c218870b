//! Who takes part in a saga: makes a step's call and reads from the answer whether it is done, refused or unknown.

use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};

use super::saga::{Outcome, Refusal, Step};
use super::store::StoredOrder;
use crate::chassis::{Answer, Call, CallError, Peer, RequestContext};
use crate::contract::{ChargeRequest, Reservation};

/// How long one step's call may take, retries included: short of the lease, so that a holder knows its outcome in time.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes the calls of a saga. Every call may be repeated, and may have had its effect whatever the outcome says.
#[async_trait]
pub trait Participants: Send + Sync + 'static {
    async fn perform(&self, order: &StoredOrder, request: &RequestContext) -> Outcome;
}

/// Inventory and payment over HTTP.
pub struct Services {
    inventory: Peer,
    payment: Peer,
}

impl Services {
    pub fn new(inventory: Peer, payment: Peer) -> Self {
        Self { inventory, payment }
    }

    fn call(&self, stored: &StoredOrder) -> Result<Call, CallError> {
        let order = &stored.order;
        let id = &order.id;
        match stored.step {
            Step::Reserve => {
                let wish = Reservation { order_id: id.clone(), lines: order.lines.clone() };
                self.inventory.call(Method::POST, "/reservations").json(&wish)
            }
            Step::Charge => {
                let charge = ChargeRequest {
                    order_id: id.clone(),
                    amount_cents: order.total_cents,
                    card_token: stored.card_token.clone(),
                };
                self.payment.call(Method::POST, "/charges").json(&charge)
            }
            Step::Commit => Ok(self.inventory.call(Method::POST, &format!("/reservations/{id}/commit"))),
            Step::Refund => Ok(self.payment.call(Method::POST, &format!("/charges/{id}/refund"))),
            Step::Release | Step::Confirmed | Step::Cancelled => {
                Ok(self.inventory.call(Method::DELETE, &format!("/reservations/{id}")))
            }
        }
    }
}

#[async_trait]
impl Participants for Services {
    async fn perform(&self, order: &StoredOrder, request: &RequestContext) -> Outcome {
        if order.step.is_end() {
            return Outcome::Done;
        }
        match self.call(order) {
            Ok(call) => outcome(call.idempotent().timeout(STEP_TIMEOUT).send(request).await),
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }
}

/// Only answers that the contract gives as a final no are one; everything else may be different next time.
fn outcome(result: Result<Answer, CallError>) -> Outcome {
    const FINAL: [StatusCode; 4] =
        [StatusCode::BAD_REQUEST, StatusCode::PAYMENT_REQUIRED, StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY];
    match result {
        Ok(_) => Outcome::Done,
        Err(CallError::Rejected { status, problem, .. }) if FINAL.contains(&status) => {
            Outcome::Refused(Refusal { code: problem.code, reason: problem.error })
        }
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}
