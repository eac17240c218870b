//! The saga's rules: what follows from a step's outcome. Pure: no store, no calls, no clock. The worker does what it says.
//!
//! Up to the payment an order may turn back; once it is paid it only goes on, because every step after that can be repeated
//! until it succeeds. An order that turns back sends every undo it may owe, also for steps whose outcome it never learnt:
//! inventory and payment remember the undo and refuse the step if it arrives late.

use crate::contract::OrderState;

/// What an order does next; stored before the step's call is made, so that whoever finds it knows what may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Asks inventory to set the stock aside.
    Reserve,
    /// Asks payment for the money.
    Charge,
    /// Asks inventory to turn the reservation into a sale.
    Commit,
    /// Asks payment to return the money, or never to take it.
    Refund,
    /// Asks inventory for the stock back.
    Release,
    /// Ended: paid and sold.
    Confirmed,
    /// Ended: nothing taken, nothing sold.
    Cancelled,
}

/// Payment's code for a decline, which is final for the order.
pub const CARD_DECLINED: &str = "card_declined";

/// All steps with the names they are stored under.
const NAMES: [(Step, &str); 7] = [
    (Step::Reserve, "reserve"),
    (Step::Charge, "charge"),
    (Step::Commit, "commit"),
    (Step::Refund, "refund"),
    (Step::Release, "release"),
    (Step::Confirmed, "confirmed"),
    (Step::Cancelled, "cancelled"),
];

impl Step {
    /// The name it is stored under.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(step, _)| *step == self).map_or("", |(_, name)| name)
    }

    /// The step stored under a name.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(step, _)| *step)
    }

    /// What a customer sees.
    pub fn state(self) -> OrderState {
        match self {
            Self::Confirmed => OrderState::Confirmed,
            Self::Cancelled => OrderState::Cancelled,
            _ => OrderState::Pending,
        }
    }

    /// Whether nothing follows.
    pub fn is_end(self) -> bool {
        self.state() != OrderState::Pending
    }

    /// Whether the order may still be given up: stock and money are not both taken yet.
    pub fn may_expire(self) -> bool {
        matches!(self, Self::Reserve | Self::Charge)
    }
}

/// A definite no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As in the answer to the customer: `out_of_stock`, `card_declined`, `expired`.
    pub code: String,
    pub reason: String,
}

impl Refusal {
    /// The order waited longer than it may.
    pub fn expired() -> Self {
        Self { code: "expired".to_owned(), reason: "it could not be completed in time".to_owned() }
    }
}

/// How a step's call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The peer said no and means it.
    Refused(Refusal),
    /// Nobody knows: no answer, an error, a peer that is down.
    Unknown(String),
    /// The call was not made: the order is too old.
    Expired,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store the next step, and what customers see of it.
    Advance { to: Step, tracking: &'static [&'static str], refusal: Option<Refusal> },
    /// Try the same step again later.
    Retry { reason: String },
}

/// What follows from the outcome of a step.
pub fn next(step: Step, outcome: Outcome) -> Action {
    let advance = |to, tracking| Action::Advance { to, tracking, refusal: None };
    let turn_back = |to, refusal| Action::Advance { to, tracking: &[], refusal: Some(refusal) };
    match (step, outcome) {
        (Step::Reserve, Outcome::Done) => advance(Step::Charge, &["stock_reserved"]),
        (Step::Charge, Outcome::Done) => advance(Step::Commit, &["paid"]),
        (Step::Commit, Outcome::Done) => advance(Step::Confirmed, &["confirmed"]),
        (Step::Refund, Outcome::Done) => advance(Step::Release, &["refunded"]),
        (Step::Release, Outcome::Done) => advance(Step::Cancelled, &["stock_released", "cancelled"]),

        (Step::Reserve, Outcome::Refused(refusal)) => turn_back(Step::Release, refusal),
        // A decline is final: payment never takes money for this order. Any other no leaves that open.
        (Step::Charge, Outcome::Refused(refusal)) if refusal.code == CARD_DECLINED => turn_back(Step::Release, refusal),
        (Step::Charge, Outcome::Refused(refusal)) => turn_back(Step::Refund, refusal),
        // The reservation is gone although nobody but this order may end it: give the money back rather than oversell.
        (Step::Commit, Outcome::Refused(refusal)) => turn_back(Step::Refund, refusal),

        (Step::Reserve, Outcome::Expired) => turn_back(Step::Release, Refusal::expired()),
        (Step::Charge, Outcome::Expired) => turn_back(Step::Refund, Refusal::expired()),

        (_, Outcome::Unknown(reason)) => Action::Retry { reason },
        // An undo has no alternative.
        (Step::Refund | Step::Release, Outcome::Refused(refusal)) => Action::Retry { reason: refusal.reason },
        (_, Outcome::Expired) => Action::Retry { reason: "past the point of return".to_owned() },
        (Step::Confirmed | Step::Cancelled, _) => Action::Retry { reason: "it has ended".to_owned() },
    }
}

#[cfg(test)]
mod tests;
