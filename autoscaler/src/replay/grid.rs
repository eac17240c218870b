//! Tunes the baselines, so that nobody beats a straw man: each is run with every setting of its grid on the first half of the
//! trace, and the best by the objective below is judged on the second half, which nobody has seen.
//!
//! The objective is an operator's: of the settings that keep the promise in 99 of 100 minutes, the one that needs the least CPU;
//! if none does, the one that misses the fewest minutes. Of equals the one with fewer changes.

use std::cmp::Ordering;
use std::time::Duration;

use super::Baseline;
use super::contender::Settings;
use super::course::Run;
use super::score::Score;

/// Where the first part ends.
pub(super) const SHARE: f64 = 0.5;

/// A seed that no judged run has.
pub(super) const SEED: u64 = 1_000_000;

/// Share of minutes in which the promise may be missed by a setting that is good enough.
const MISSED_SHARE: f64 = 0.01;

/// HPA's targets, in percent of the request: from much room to the limits of the shop's containers, which are beyond it.
const PERCENTS: [i32; 14] = [30, 40, 50, 60, 70, 80, 90, 100, 115, 130, 145, 160, 180, 200];

/// KEDA's targets and static sizes, as shares of what a replica can serve.
const LOADS: [f64; 12] = [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Seconds of stabilisation downwards: HPA's default, a fifth and twice that.
const DOWNS: [u64; 3] = [60, 300, 600];

/// Every setting of a baseline's grid.
pub(super) fn candidates(baseline: Baseline) -> Vec<Settings> {
    let downs = DOWNS.map(Duration::from_secs);
    match baseline {
        Baseline::Static => LOADS.map(|load| Settings::Static { load }).to_vec(),
        Baseline::Hpa => {
            PERCENTS.iter().flat_map(|&percent| downs.map(|down| Settings::Hpa { percent, down })).collect()
        }
        Baseline::Keda => LOADS.iter().flat_map(|&load| downs.map(|down| Settings::Keda { load, down })).collect(),
    }
}

/// The best of a grid; the first of equals.
pub(super) fn best(candidates: &[Settings], runs: &[Run]) -> Settings {
    let found = candidates.iter().zip(runs).min_by(|(_, a), (_, b)| compare(&a.score, &b.score));
    found.map_or(Settings::Plimsoll, |(settings, _)| *settings)
}

fn compare(a: &Score, b: &Score) -> Ordering {
    let is_enough = |score: &Score| score.slo_missing_minutes <= score.minutes * MISSED_SHARE;
    let misses = |score: &Score| if is_enough(score) { 0.0 } else { score.slo_missing_minutes };
    misses(a).total_cmp(&misses(b)).then(a.cpu_hours.total_cmp(&b.cpu_hours)).then(a.changes.total_cmp(&b.changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_that_keeps_the_promise_wins_and_else_the_one_that_misses_least() {
        let run = |missed: f64, cpu_hours: f64, changes: f64| Run {
            score: Score { slo_missing_minutes: missed, minutes: 200.0, cpu_hours, changes, ..Score::default() },
            moments: Vec::new(),
        };
        let candidates = &LOADS.map(|load| Settings::Static { load })[..4];
        let wins = |runs: [Run; 4]| candidates.iter().position(|c| *c == best(candidates, &runs)).unwrap();
        assert_eq!(wins([run(0.0, 9.0, 0.0), run(2.0, 5.0, 0.0), run(3.0, 4.0, 0.0), run(90.0, 1.0, 0.0)]), 1);
        assert_eq!(wins([run(9.0, 9.0, 0.0), run(7.0, 5.0, 0.0), run(7.0, 4.0, 0.0), run(90.0, 1.0, 0.0)]), 2);
        assert_eq!(wins([run(1.0, 5.0, 9.0), run(0.0, 5.0, 3.0), run(2.0, 5.0, 4.0), run(90.0, 1.0, 0.0)]), 1);
    }

    #[test]
    fn grids_hold_what_comes_without_one_or_near_it() {
        assert!(candidates(Baseline::Hpa).contains(&Baseline::Hpa.settings()));
        assert!(candidates(Baseline::Keda).contains(&Baseline::Keda.settings()));
        assert!(candidates(Baseline::Static).contains(&Baseline::Static.settings()));
    }
}
