//! Claims about the circuit breaker.

use super::*;

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn call(breaker: &mut Breaker, succeeded: bool, now: Duration) -> bool {
    match breaker.ask(now) {
        Some(permit) => {
            breaker.settle(permit, Some(succeeded), now);
            true
        }
        None => false,
    }
}

fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    for n in 0..10 {
        assert!(call(&mut breaker, false, at(n)));
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn stays_closed_below_ten_results_and_below_half() {
    let mut breaker = Breaker::default();
    for n in 0..9 {
        assert!(call(&mut breaker, false, at(n)));
    }
    assert_eq!(breaker.state(), State::Closed);
    let mut breaker = Breaker::default();
    for n in 0..100 {
        assert!(call(&mut breaker, n % 5 < 3, at(n)), "4 failures in 10 are below half");
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn leaves_the_peer_alone_then_tries_one_call() {
    let mut breaker = opened();
    assert!(!call(&mut breaker, true, at(5_000)), "4.991 s after it opened");
    let trial = breaker.ask(at(5_009)).unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.ask(at(5_010)), None, "one trial at a time");
    breaker.settle(trial, Some(true), at(5_020));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_failed_trial_opens_again_and_an_abandoned_one_lets_the_next_try() {
    let mut breaker = opened();
    let trial = breaker.ask(at(6_000)).unwrap();
    breaker.settle(trial, None, at(6_100));
    assert!(call(&mut breaker, false, at(6_200)));
    assert_eq!(breaker.state(), State::Open);
    assert!(!call(&mut breaker, true, at(11_000)));
    assert!(call(&mut breaker, true, at(11_200)));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn old_failures_are_forgotten() {
    let mut breaker = Breaker::default();
    for n in 0..9 {
        call(&mut breaker, false, at(n));
    }
    for n in 0..9 {
        call(&mut breaker, true, at(10_500 + n));
    }
    call(&mut breaker, false, at(10_600));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_success_never_opens_it() {
    let mut breaker = Breaker::default();
    for n in 0..8 {
        call(&mut breaker, false, at(n));
    }
    // The peer is back: what was missing for a judgement now comes from good answers.
    for n in 0..30 {
        assert!(call(&mut breaker, true, at(3_000 + n)));
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn results_from_before_it_opened_do_not_close_it() {
    let mut breaker = Breaker::default();
    let early = breaker.ask(at(0)).unwrap();
    for n in 0..10 {
        call(&mut breaker, false, at(n));
    }
    breaker.settle(early, Some(true), at(100));
    assert_eq!(breaker.state(), State::Open);
}

proptest::proptest! {
    #[test]
    fn never_stops_calls_to_a_healthy_peer_nor_lets_two_through_half_open(
        steps in proptest::collection::vec((0u64..700, 0u8..4), 1..400)
    ) {
        let mut breaker = Breaker::default();
        let (mut now, mut held, mut failures) = (Duration::ZERO, Vec::new(), 0u32);
        for (pause, what) in steps {
            now += at(pause);
            match (what, held.is_empty()) {
                (0 | 1, _) => {
                    let asked = breaker.ask(now);
                    proptest::prop_assert!(asked.is_some() || failures >= RESULTS_MIN / 2);
                    if breaker.state() == State::HalfOpen {
                        let trials = held.iter().filter(|p: &&Permit| p.trial && p.epoch == breaker.epoch).count();
                        proptest::prop_assert!(trials + usize::from(asked.is_some()) <= 1);
                    }
                    held.extend(asked);
                }
                (2, false) => breaker.settle(held.remove(0), Some(true), now),
                (3, false) => {
                    failures += 1;
                    breaker.settle(held.remove(0), Some(false), now);
                }
                _ => {}
            }
        }
    }
}
