//! The rules against a model of everything that can go wrong: requests and answers are lost, repeated, late and out of
//! order, workers die at any moment and several work on one order. The peers' promises are those of the contract.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const STOCK: i64 = 3;

/// What inventory and payment promise, as simply as it can be said.
#[derive(Default)]
struct Peers {
    held: BTreeSet<usize>,
    sold: BTreeSet<usize>,
    released: BTreeSet<usize>,
    captures: BTreeMap<usize, u32>,
    refunds: BTreeMap<usize, u32>,
    declined: BTreeSet<usize>,
    refunded: BTreeSet<usize>,
}

impl Peers {
    fn available(&self) -> i64 {
        STOCK - i64::try_from(self.held.len() + self.sold.len()).unwrap()
    }

    fn refused(code: &str) -> Outcome {
        Outcome::Refused(Refusal { code: code.into(), reason: code.into() })
    }

    fn apply(&mut self, order: usize, step: Step, declines: bool) -> Outcome {
        match step {
            Step::Reserve if self.released.contains(&order) => return Self::refused("released"),
            Step::Reserve if self.held.contains(&order) || self.sold.contains(&order) => {}
            Step::Reserve if self.available() == 0 => return Self::refused("out_of_stock"),
            Step::Reserve => drop(self.held.insert(order)),
            Step::Charge if self.refunded.contains(&order) => return Self::refused("refunded"),
            Step::Charge if self.declined.contains(&order) => return Self::refused(CARD_DECLINED),
            Step::Charge if self.captures.contains_key(&order) => {}
            Step::Charge if declines => {
                self.declined.insert(order);
                return Self::refused(CARD_DECLINED);
            }
            Step::Charge => drop(self.captures.insert(order, 1)),
            Step::Commit if self.sold.contains(&order) => {}
            Step::Commit if self.held.remove(&order) => drop(self.sold.insert(order)),
            Step::Commit => return Self::refused("released"),
            Step::Refund => {
                if self.refunded.insert(order) && self.captures.contains_key(&order) {
                    *self.refunds.entry(order).or_default() += 1;
                }
            }
            Step::Release => {
                self.held.remove(&order);
                self.sold.remove(&order);
                self.released.insert(order);
            }
            Step::Confirmed | Step::Cancelled => unreachable!("an ended order makes no calls"),
        }
        Outcome::Done
    }
}

/// A request on its way; it may be delivered any number of times, at any time.
#[derive(Clone, Copy)]
struct Message {
    worker: usize,
    order: usize,
    step: Step,
}

struct World {
    steps: Vec<Step>,
    peers: Peers,
    network: Vec<Message>,
    /// What each worker waits for.
    waiting: Vec<Option<(usize, Step)>>,
    old: bool,
}

impl World {
    fn declines(order: usize) -> bool {
        order % 3 == 2
    }

    /// A worker takes an order up, whoever else may be working on it.
    fn start(&mut self, worker: usize, order: usize) {
        let step = self.steps[order];
        if step.is_end() {
            return;
        }
        if self.old && step.may_expire() {
            return self.conclude(order, step, Outcome::Expired);
        }
        self.waiting[worker] = Some((order, step));
        self.network.push(Message { worker, order, step });
    }

    /// A request arrives; its answer may be lost, and it may arrive again.
    fn deliver(&mut self, index: usize, answer_lost: bool, again: bool) {
        let message = if again { self.network[index] } else { self.network.swap_remove(index) };
        let outcome = self.peers.apply(message.order, message.step, Self::declines(message.order));
        if self.waiting[message.worker] == Some((message.order, message.step)) && !answer_lost {
            self.waiting[message.worker] = None;
            self.conclude(message.order, message.step, outcome);
        }
    }

    /// A worker stores what follows, unless the order has moved on: leases are left out, to show that the step suffices.
    fn conclude(&mut self, order: usize, step: Step, outcome: Outcome) {
        if let Action::Advance { to, .. } = next(step, outcome)
            && self.steps[order] == step
        {
            self.steps[order] = to;
        }
    }

    /// Everything works from here on: every order ends within as many steps as there are.
    fn calm_down(&mut self) {
        for order in 0..self.steps.len() {
            for _ in 0..NAMES.len() {
                let step = self.steps[order];
                if !step.is_end() {
                    let outcome = self.peers.apply(order, step, Self::declines(order));
                    self.conclude(order, step, outcome);
                }
            }
        }
        // Whatever is still on its way arrives now, when it can only do harm.
        while !self.network.is_empty() {
            self.deliver(0, false, false);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.peers.available() >= 0, "oversold");
        prop_assert!(self.peers.held.is_empty(), "stock is held for ever");
        for (order, step) in self.steps.iter().enumerate() {
            let captures = self.peers.captures.get(&order).copied().unwrap_or(0);
            let refunds = self.peers.refunds.get(&order).copied().unwrap_or(0);
            let sold = self.peers.sold.contains(&order);
            prop_assert!(captures <= 1 && refunds <= captures, "order {} was charged or refunded twice", order);
            match step {
                Step::Confirmed => prop_assert!(sold && captures == 1 && refunds == 0, "{} is confirmed", order),
                Step::Cancelled => prop_assert!(!sold && captures == refunds, "{} is cancelled", order),
                other => prop_assert!(false, "{} stays at {:?}", order, other),
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_order_is_lost_charged_twice_or_oversold(events in prop::collection::vec((0u8..8, any::<prop::sample::Index>(), 0usize..3, 0usize..6), 0..120)) {
        let mut world = World {
            steps: vec![Step::Reserve; 6],
            peers: Peers::default(),
            network: Vec::new(),
            waiting: vec![None; 3],
            old: false,
        };
        for (event, index, worker, order) in events {
            match event {
                0..=2 => world.start(worker, order),
                // A worker is killed, or gives an answer up.
                3 => world.waiting[worker] = None,
                4 => world.old = worker == 0,
                _ if world.network.is_empty() => {}
                _ => {
                    let index = index.index(world.network.len());
                    world.deliver(index, event == 6, event == 7);
                }
            }
        }
        world.calm_down();
        world.check()?;
    }
}

#[test]
fn steps_are_found_under_the_names_they_are_stored_with() {
    for (step, name) in NAMES {
        assert_eq!(Step::parse(name), Some(step));
        assert_eq!(step.as_str(), name);
    }
    assert_eq!(Step::parse("paid"), None);
}

#[test]
fn a_decline_is_not_refunded_but_any_other_no_is() {
    let to = |code: &str| match next(Step::Charge, Peers::refused(code)) {
        Action::Advance { to, .. } => to,
        Action::Retry { .. } => Step::Charge,
    };
    assert_eq!(to(CARD_DECLINED), Step::Release);
    assert_eq!(to("other_charge"), Step::Refund);
}

#[test]
fn a_paid_order_only_goes_on() {
    for outcome in [Outcome::Expired, Outcome::Unknown("inventory is down".into())] {
        assert!(matches!(next(Step::Commit, outcome), Action::Retry { .. }));
    }
}
