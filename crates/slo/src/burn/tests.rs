//! When somebody is woken and when not, on made-up traffic with fixed seeds.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const DAY_MINUTES: i64 = 1440;
const BUDGET: Duration = Duration::from_secs(30 * 86_400);

fn target() -> Target {
    Target::from_share(0.999).unwrap()
}

/// The events of a minute at a rate, each bad with a probability.
fn minute(random: &mut StdRng, per_second: f64, bad: f64) -> Events {
    let (mut total, mut waited) = (0.0, 0.0);
    loop {
        // Times between events of a Poisson process.
        waited += -random.random_range(f64::MIN_POSITIVE..1.0).ln() / per_second;
        if waited > 60.0 {
            break;
        }
        total += 1.0;
    }
    let failed = (0..total as u64).filter(|_| random.random_bool(bad)).count();
    Events { bad: failed as f64, total }
}

/// Pages of 30 days of noise: how often the state becomes a fast burn; and how often the share alone would have said so.
fn false_pages(per_second: f64, seed: u64) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut counters = Counters::new(BUDGET);
    let (mut pages, mut naive, mut was, mut was_naive) = (0, 0, false, false);
    for at in 1..=30 * DAY_MINUTES {
        counters.add(at * 60_000, minute(&mut random, per_second, 0.001));
        let burn = judge(target(), &counters);
        let is = burn.state == State::FastBurn;
        pages += usize::from(is && !was);
        let over = |span: Span, rate: f64| burn.rates[span.index()].is_some_and(|found| found > rate);
        let is_naive = RULES[..2].iter().any(|rule| over(rule.long, rule.rate) && over(rule.short, rule.rate));
        naive += usize::from(is_naive && !was_naive);
        (was, was_naive) = (is, is_naive);
    }
    (pages, naive)
}

#[test]
fn noise_pages_at_most_once_in_30_days_at_any_rate() {
    let mut naive = 0;
    for per_second in [0.002, 0.01, 0.05, 0.5] {
        for seed in 0..4 {
            let (pages, without) = false_pages(per_second, seed);
            assert!(pages <= 1, "{pages} false pages at {per_second} a second with seed {seed}");
            naive += without;
        }
    }
    assert!(naive > 100, "the share alone would have paged {naive} times: the case has to be hard");
}

/// Minutes until a page from the moment on which nine of ten events fail, after a well day.
fn minutes_to_page(seed: u64, events: impl Fn(i64, &mut StdRng, f64) -> Events) -> Option<i64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut counters = Counters::new(BUDGET);
    for at in 1..=DAY_MINUTES {
        counters.add(at * 60_000, events(at, &mut random, 0.001));
    }
    (1..=60).find(|after| {
        let at = DAY_MINUTES + after;
        counters.add(at * 60_000, events(at, &mut random, 0.9));
        judge(target(), &counters).state == State::FastBurn
    })
}

#[test]
fn nine_failures_of_ten_at_half_a_request_a_second_page_within_the_hour() {
    for seed in 0..20 {
        let steady = minutes_to_page(seed, |_, random, bad| minute(random, 0.5, bad)).unwrap();
        assert!(steady <= 5, "steady, seed {seed}: {steady}");
        // The same number of requests, all in one minute of fifteen: the short window is empty most of the time.
        let jobs = minutes_to_page(
            seed,
            |at, random, bad| {
                if at % 15 == 0 { minute(random, 7.5, bad) } else { Events::default() }
            },
        );
        assert!(jobs.unwrap() <= 30, "in bursts, seed {seed}: {jobs:?}");
        let few = minutes_to_page(seed, |_, random, bad| minute(random, 0.01, bad)).unwrap();
        assert!(few <= 45, "a request in 100 s, seed {seed}: {few}");
    }
}

#[test]
fn each_rule_has_its_state() {
    let at = |rate: f64, spans: &[Span]| {
        let share = |span: &Span| if spans.contains(span) { rate * 0.001 } else { 0.0 };
        let events = Span::ALL.map(|span| Events { bad: share(&span) * 1e7, total: 1e7 });
        judge_events(target(), events).state
    };
    assert_eq!(at(15.0, &[Span::Hours1, Span::Minutes5]), State::FastBurn);
    assert_eq!(at(15.0, &[Span::Hours1]), State::Ok, "it has stopped");
    assert_eq!(at(14.0, &[Span::Hours1, Span::Minutes5]), State::Ok);
    assert_eq!(at(6.1, &[Span::Hours6, Span::Minutes30]), State::FastBurn);
    assert_eq!(at(3.1, &[Span::Days1, Span::Hours2]), State::SlowBurn);
    assert_eq!(at(1.1, &[Span::Days3, Span::Hours6]), State::SlowBurn);
    assert_eq!(judge_events(target(), [Events::default(); 8]).state, State::NoData);
}

#[test]
fn a_budget_says_what_is_left_of_it() {
    let events = Span::ALL.map(|_| Events { bad: 3.0, total: 10_000.0 });
    let burn = judge_events(target(), events);
    assert!((burn.budget_left.unwrap() - 0.7).abs() < 1e-9, "{:?}", burn.budget_left);
    assert_eq!((burn.state, burn.few_events), (State::Ok, false));
}

#[test]
fn a_target_so_low_that_no_rate_can_reach_it_still_pages_when_everything_fails() {
    let events = Span::ALL.map(|_| Events { bad: 500.0, total: 500.0 });
    assert_eq!(judge_events(Target::from_share(0.9).unwrap(), events).state, State::FastBurn);
}
