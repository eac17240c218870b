//! The counters beside a plain recomputation from every sample.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const DAY: u64 = 86_400;
const BUDGET: Duration = Duration::from_secs(30 * DAY);
const START_MS: i64 = 1_700_000_000_000 / 900_000 * 900_000;
const STEP_MS: i64 = 60_000;

/// What Prometheus would say: the increase over the window is the sum of the increases of its minutes.
fn recomputed(samples: &[(i64, Events)], until_ms: i64, window: Duration) -> Events {
    let from_ms = until_ms - i64::try_from(window.as_millis()).unwrap();
    let mut sum = Events::default();
    samples.iter().filter(|(at, _)| *at > from_ms && *at <= until_ms).for_each(|(_, events)| sum += *events);
    sum
}

/// A daily wave with noise, a usual share of errors, and an incident now and then.
fn traffic(minutes: i64, seed: u64) -> Vec<(i64, Events)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut incident_ends = 0;
    (1..=minutes)
        .map(|minute| {
            let wave = 1.0 + 0.6 * (minute as f64 / 1440.0 * std::f64::consts::TAU).sin();
            let total = (3_000.0 * wave * random.random_range(0.9..1.1)).round();
            if minute > incident_ends && random.random_bool(0.0005) {
                incident_ends = minute + random.random_range(5..60);
            }
            let share = if minute < incident_ends { 0.2 } else { 0.0005 };
            let bad = (total * share * random.random_range(0.5..1.5)).round();
            (START_MS + minute * STEP_MS, Events { bad, total })
        })
        .collect()
}

fn is_close(found: Events, expected: Events, share: f64) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= share * b.abs().max(1e-9);
    close(found.bad, expected.bad) && close(found.total, expected.total)
}

#[test]
fn every_window_equals_a_recomputation_where_it_begins_between_two_slots() {
    let samples = traffic(35 * 1440, 7);
    let mut counters = Counters::new(BUDGET);
    let (mut checked, mut worst) = (0, 0.0_f64);
    for (minute, (at, events)) in samples.iter().enumerate() {
        counters.add(*at, *events);
        for span in Span::ALL {
            let step = match span {
                Span::Budget => 180,
                Span::Days1 | Span::Days3 => 15,
                _ => 1,
            };
            // Every beginning of every window would take minutes; a prime stride meets them all in turn.
            let number = minute + 1;
            if number % step == 0 && (number / step) % 97 == 0 {
                let expected = recomputed(&samples[..=minute], *at, span.length(BUDGET));
                let found = counters.over(span);
                assert!(
                    is_close(found, expected, 0.001),
                    "{span:?} at minute {number}: {found:?}, expected {expected:?}"
                );
                worst = worst.max((found.bad / expected.bad - 1.0).abs());
                checked += 1;
            }
        }
    }
    assert!(checked > 2_500, "{checked}");
    assert!(worst < 1e-6, "{worst}");
}

#[test]
fn inside_a_slot_the_share_of_steady_traffic_is_right_to_a_thousandth() {
    let mut counters = Counters::new(BUDGET);
    for minute in 1..=40 * 1440 {
        // A share of errors that changes by a tenth in a day, at a rate that does so too.
        let wave = 1.0 + 0.1 * (minute as f64 / 1440.0 * std::f64::consts::TAU).sin();
        counters.add(START_MS + minute * STEP_MS, Events { bad: wave, total: 1_000.0 * wave });
        for span in Span::ALL.into_iter().filter(|_| minute % 61 == 0) {
            let ratio = counters.over(span).ratio().unwrap();
            assert!((ratio / 0.001 - 1.0).abs() < 0.001, "{span:?} at minute {minute}: {ratio}");
        }
    }
}

#[test]
fn a_gap_a_repetition_and_the_past_change_nothing() {
    let mut counters = Counters::new(BUDGET);
    assert_eq!((counters.until_ms(), counters.over(Span::Hours1)), (None, Events::default()));
    let minute = Events { bad: 1.0, total: 10.0 };
    counters.add(START_MS, minute);
    counters.add(START_MS, minute);
    counters.add(START_MS - STEP_MS, minute);
    assert_eq!(counters.over(Span::Minutes5), minute);
    counters.add(START_MS + 4 * STEP_MS, minute);
    assert_eq!(counters.over(Span::Minutes5), Events { bad: 2.0, total: 20.0 });
    counters.add(START_MS + 5 * STEP_MS, minute);
    assert_eq!(counters.over(Span::Minutes5), Events { bad: 2.0, total: 20.0 }, "the first one has left");
    assert_eq!(counters.over(Span::Budget), Events { bad: 3.0, total: 30.0 });
    counters.add(START_MS + 400 * 1440 * STEP_MS, minute);
    for span in Span::ALL {
        assert_eq!(counters.over(span), minute, "{span:?} after a year");
    }
}

#[test]
fn a_server_s_history_fills_the_grids_without_counting_twice() {
    let samples = traffic(31 * 1440, 3);
    let (until_ms, _) = samples[samples.len() - 1];
    let mut counters = Counters::new(BUDGET);
    for (index, grid) in grids(BUDGET).into_iter().enumerate() {
        let step = millis(grid.step);
        let newest = until_ms.div_euclid(step);
        for number in (newest - i64::try_from(grid.slots).unwrap() + 1)..=newest {
            let sum = recomputed(&samples, number * step, grid.step);
            if index == 2 { counters.add(number * step, sum) } else { counters.fill(index, number * step, sum) }
        }
    }
    for span in [Span::Minutes5, Span::Hours6, Span::Days1, Span::Days3] {
        let expected = recomputed(&samples, until_ms, span.length(BUDGET));
        assert!(is_close(counters.over(span), expected, 0.01), "{span:?}: {:?}, {expected:?}", counters.over(span));
    }
    let expected = recomputed(&samples, until_ms, BUDGET);
    assert!(is_close(counters.over(Span::Budget), expected, 0.01), "{:?}, {expected:?}", counters.over(Span::Budget));
}

#[test]
fn ten_thousand_objectives_are_below_100_mebibytes() {
    let bytes = Counters::new(BUDGET).bytes() * 10_000;
    assert!(bytes < 80 << 20, "{bytes}");
}
