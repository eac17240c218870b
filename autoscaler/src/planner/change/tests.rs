//! Claims about what was taken and is missed.

use std::time::Duration;

use slo::burn::State;

use super::super::ErrorBudget;
use super::super::surroundings::{Suffering, Traffic};
use super::super::tests::{START_MS, observation};
use super::*;

/// A service in virtual time: each ten seconds a window of requests, of which a share fails.
struct Service {
    now_ms: i64,
    change: LastChange,
}

impl Service {
    fn well() -> Self {
        let mut service = Self { now_ms: START_MS, change: LastChange::default() };
        (0..18).for_each(|_| service.pass(0.001, false, false));
        service
    }

    fn pass(&mut self, failed_share: f64, burns: bool, suffers: bool) {
        self.now_ms += 10_000;
        let mut observed = observation(self.now_ms, &[0]);
        observed.around.traffic = Some(Traffic {
            at_ms: self.now_ms - 5_000,
            window_seconds: 10.0,
            attempts: 100.0,
            retried: 0.0,
            failed_share,
            seconds: None,
            own_seconds: None,
            has_callers: true,
        });
        let fault = protocol::faults::FaultKind::Slow;
        let (since_ms, at_ms) = (self.now_ms, self.now_ms);
        observed.around.suffering =
            suffers.then(|| Suffering { culprit: "payment".to_owned(), fault, score: 0.9, since_ms, at_ms });
        let over = Duration::from_secs(3_600);
        let state = if burns { State::FastBurn } else { State::Ok };
        let objective = "availability".to_owned();
        observed.budget = Some(ErrorBudget { state, objective, rate: 20.0, over, left: None, packing: false });
        self.change.see(&observed);
    }

    fn guard(&self, from: i32, value: i32) -> Guarded {
        self.change.guard(self.now_ms, from, value)
    }

    fn take(&mut self, from: i32, to: i32) {
        self.change.planned(false);
        self.change.made(self.now_ms, from, to);
    }

    fn give_back(&mut self, from: i32, to: i32) {
        assert_eq!(self.guard(from, from), Guarded::Undo(to), "{}", self.change.note(self.now_ms));
        self.change.planned(true);
        self.change.made(self.now_ms, from, to);
    }
}

#[test]
fn what_is_missed_is_given_back_within_a_minute_and_nothing_is_taken_for_longer_each_time() {
    let mut service = Service::well();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let taken_ms = service.now_ms;
        service.take(4, 2);
        while service.guard(2, 2) == Guarded::Pass && service.now_ms < taken_ms + 180_000 {
            service.pass(0.08, false, false);
        }
        assert!(service.now_ms - taken_ms <= 60_000, "{} s", (service.now_ms - taken_ms) / 1000);
        let note = service.change.note(service.now_ms);
        assert!(
            note.starts_with("4 -> 2 of ") && note.contains("8.0% of requests fail since, 0.1% did before"),
            "{note}"
        );
        service.give_back(2, 4);
        let given_ms = service.now_ms;
        while service.guard(4, 3) == Guarded::Wait {
            service.pass(0.001, false, false);
        }
        pauses.push((service.now_ms - given_ms) / 60_000);
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 120]);
}

#[test]
fn a_change_that_lasts_ends_the_row() {
    let mut service = Service::well();
    service.take(4, 3);
    (0..4).for_each(|_| service.pass(0.08, false, false));
    service.give_back(3, 4);
    assert_eq!(service.guard(4, 3), Guarded::Wait);
    assert!(
        service
            .change
            .note(service.now_ms)
            .starts_with("what was taken was missed once, so nothing is taken for another 300 s")
    );
    assert_eq!(service.guard(4, 6), Guarded::Pass, "more may be added");
    (0..40).for_each(|_| service.pass(0.001, false, false));
    service.take(4, 3);
    (0..20).for_each(|_| service.pass(0.001, false, false));
    assert_eq!((service.guard(3, 2), service.change.undone), (Guarded::Pass, 0));
    assert_eq!(service.change.facts(), None);
}

#[test]
fn chance_others_faults_and_what_burned_before_undo_nothing() {
    let passes = |failed: f64, burns: bool, suffers: bool| {
        let mut service = Service::well();
        service.take(4, 3);
        (0..10).all(|_| {
            service.pass(failed, burns, suffers);
            service.guard(3, 3) == Guarded::Pass
        })
    };
    assert!(passes(0.001, false, false));
    assert!(passes(0.008, false, false), "less than one in a hundred more");
    assert!(passes(0.5, false, true), "it suffers from another one");
    assert!(!passes(0.05, false, false));
    assert!(!passes(0.001, true, false), "an objective burns fast since");
    let mut service = Service::well();
    service.pass(0.001, true, false);
    service.take(4, 3);
    (0..10).for_each(|_| service.pass(0.001, true, false));
    assert_eq!(service.guard(3, 3), Guarded::Pass, "it did before");
    assert_eq!(service.guard(4, 4), Guarded::Pass, "somebody has given it back already");
}

#[test]
fn steps_that_follow_each_other_are_undone_together() {
    let mut service = Service::well();
    service.take(6, 5);
    service.pass(0.001, false, false);
    service.take(5, 4);
    (0..4).for_each(|_| service.pass(0.1, false, false));
    assert_eq!(service.guard(4, 4), Guarded::Undo(6));
}
