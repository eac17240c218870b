//! What was sent, what of it was acknowledged, and whether what a collector answers fits: pure. Start at `Ledger`.

use std::collections::HashMap;
use std::ops::AddAssign;

/// Samples of one series, by milliseconds and value, and the number of the series.
pub type Found = (usize, Vec<(i64, f64)>);

/// Examples that a verdict keeps.
const EXAMPLES_MAX: usize = 5;

/// What was compared, and what was not as it must be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Samples that had to be there.
    pub expected: u64,
    /// Of them, those that were not.
    pub missing: u64,
    /// Samples that were there more than once.
    pub twice: u64,
    /// Samples that nobody sent, by series, time or value.
    pub invented: u64,
    pub examples: Vec<String>,
}

impl Verdict {
    pub fn example(&mut self, words: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words());
        }
    }

    /// Whether all was as it must be.
    pub fn is_well(&self) -> bool {
        self.missing + self.twice + self.invented == 0
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.missing += other.missing;
        self.twice += other.twice;
        self.invented += other.invented;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }
}

/// The samples of some series that are sent together, in the order in which they are: the place in it and the series give the
/// value. What is not acknowledged yet is at the end.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    times_ms: Vec<i64>,
    acknowledged: usize,
}

/// What a series has at a place: all numbers are exact in few digits, so that no way of writing them matters.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub fn value(place: usize, series: usize) -> f64 {
    (place * place % 9_973 * 1_024 + series) as f64 / 1_024.0
}

impl Ledger {
    /// A sample of every series is about to be sent.
    pub fn attempt(&mut self, time_ms: i64) {
        self.times_ms.push(time_ms);
    }

    /// All that was attempted is acknowledged.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.times_ms.len();
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    pub fn times_ms(&self) -> &[i64] {
        &self.times_ms
    }

    /// Whether what was found is what was acknowledged when it was asked for, and nothing but what was attempted until it was
    /// answered.
    pub fn judge(&self, series: usize, acknowledged: usize, found: &[Found]) -> Verdict {
        let places: HashMap<i64, usize> =
            self.times_ms.iter().enumerate().map(|(place, time)| (*time, place)).collect();
        let mut seen = vec![vec![false; self.times_ms.len()]; series];
        let mut verdict = Verdict { expected: (acknowledged * series) as u64, ..Verdict::default() };
        for (number, samples) in found {
            for (time_ms, found) in samples {
                let known = places.get(time_ms).filter(|place| value(**place, *number).to_bits() == found.to_bits());
                let Some((seen, place)) = seen.get_mut(*number).zip(known) else {
                    verdict.invented += 1;
                    verdict.example(|| format!("series {number} has {found} at {time_ms}, which was never sent"));
                    continue;
                };
                if std::mem::replace(&mut seen[*place], true) {
                    verdict.twice += 1;
                    verdict.example(|| format!("series {number} has {found} at {time_ms} twice"));
                }
            }
        }
        for (number, seen) in seen.iter().enumerate() {
            for place in (0..acknowledged).filter(|place| !seen[*place]) {
                verdict.missing += 1;
                verdict.example(|| format!("series {number} has nothing at {}", self.times_ms[place]));
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        [10, 30].into_iter().for_each(|time| ledger.attempt(time));
        ledger.acknowledge();
        // Late, and not acknowledged.
        ledger.attempt(20);
        ledger
    }

    /// What was sent at a place, of a series.
    fn sent(place: usize, series: usize) -> (i64, f64) {
        (ledger().times_ms()[place], value(place, series))
    }

    #[test]
    fn what_is_under_way_may_be_there_or_not() {
        for found in [
            vec![(0, vec![sent(0, 0), sent(1, 0)]), (1, vec![sent(0, 1), sent(1, 1)])],
            vec![(0, vec![sent(0, 0), sent(2, 0), sent(1, 0)]), (1, vec![sent(0, 1), sent(1, 1)])],
        ] {
            let verdict = ledger().judge(2, 2, &found);
            assert!(verdict.is_well() && verdict.expected == 4, "{verdict:?}");
        }
    }

    #[test]
    fn what_is_missing_twice_or_invented_is_told_apart() {
        let whole = vec![sent(0, 0), sent(1, 0)];
        for (found, wanted) in [
            (vec![], (4, 0, 0)),
            (vec![(0, whole.clone())], (2, 0, 0)),
            (vec![(0, whole.clone()), (1, vec![sent(0, 1), sent(0, 1), sent(1, 1)])], (0, 1, 0)),
            (vec![(0, whole.clone()), (1, vec![sent(0, 1), (30, 0.5)])], (1, 0, 1)),
            (vec![(0, whole.clone()), (1, vec![sent(0, 1), sent(1, 1), (31, 1.0)])], (0, 0, 1)),
            (vec![(0, whole.clone()), (1, vec![sent(0, 1), sent(1, 1)]), (2, vec![sent(0, 2)])], (0, 0, 1)),
        ] {
            let verdict = ledger().judge(2, 2, &found);
            assert_eq!((verdict.missing, verdict.twice, verdict.invented), wanted, "{verdict:?}");
            assert!(!verdict.is_well() && !verdict.examples.is_empty());
        }
    }
}
