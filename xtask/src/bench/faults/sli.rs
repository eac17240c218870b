//! When customers and callers began to notice: counters read each second, each service and journey against what it did before.
//! Pure; asks nobody, and knows nothing of the fault but whom to look at.

use std::collections::{BTreeMap, VecDeque};

/// Seconds that are kept of each.
const HISTORY: usize = 90;
/// Seconds before a fault that say what is usual.
const USUAL_S: i64 = 25;
/// Seconds that are judged together; at fifteen journeys a second the rarest service has some eight requests in them.
const WINDOW_S: i64 = 4;
/// Seconds without any trouble are asked for after a fault.
const CALM_S: i64 = 6;
/// Of what is usual so much is as quick as the bound that makes others slow.
const QUICK_SHARE: f64 = 0.97;
/// What was slow where nothing is known.
const SLOW_UNKNOWN_S: f64 = 0.25;
/// Fewer requests than these do not say what is usual.
const USUAL_REQUESTS: f64 = 15.0;
/// Bad requests, and their share, from which on something has moved.
const BAD_MIN: f64 = 3.0;
const BAD_SHARE: f64 = 0.06;
/// Times the usual share.
const BAD_TIMES: f64 = 3.0;

/// Whose promise is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// What customers wait for.
    Journey(String),
    /// What a service says that it answered.
    Served(String),
    /// What its callers say that they got.
    Called(String),
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Journey(name) => write!(f, "journey {name}"),
            Self::Served(name) => f.write_str(name),
            Self::Called(name) => write!(f, "calls to {name}"),
        }
    }
}

/// One counter of a histogram as it was read: cumulative over time and over bounds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    pub promise: Promise,
    /// Tells counters apart that restart apart.
    pub replica: String,
    pub status: String,
    pub failed: bool,
    /// The bits of the bucket's bound, whose order is that of positive numbers.
    pub bound: u64,
}

/// What ended in one second.
#[derive(Debug, Clone, Default)]
struct Second {
    at_ms: i64,
    /// Answered well, by bound.
    well: BTreeMap<u64, f64>,
    failed: f64,
}

/// What is usual for one promise.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usual {
    /// Whoever takes longer is slow.
    slow_from: u64,
    bad_share: f64,
}

/// Requests, and those of them that were slow or failed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Tally {
    all: f64,
    bad: f64,
}

impl Tally {
    fn share(self) -> f64 {
        if self.all > 0.0 { self.bad / self.all } else { 0.0 }
    }
}

/// All that was read.
#[derive(Debug, Default)]
pub struct Sli {
    /// As each was last read.
    counters: BTreeMap<Counter, f64>,
    seconds: BTreeMap<Promise, VecDeque<Second>>,
}

/// What was usual at one moment.
#[derive(Debug, Clone, Default)]
pub struct Baseline(BTreeMap<Promise, Usual>);

impl Sli {
    /// Takes a reading.
    pub fn read(&mut self, at_ms: i64, counters: BTreeMap<Counter, f64>) {
        let is_first = self.counters.is_empty();
        let mut seconds: BTreeMap<Promise, Second> = BTreeMap::new();
        for (counter, value) in &counters {
            let before = self.counters.get(counter).copied().unwrap_or(0.0);
            // A counter that fell has begun anew.
            let more = if is_first {
                0.0
            } else if *value >= before {
                value - before
            } else {
                *value
            };
            let second = seconds.entry(counter.promise.clone()).or_default();
            if !counter.failed {
                *second.well.entry(counter.bound).or_default() += more;
            } else if counter.bound == f64::INFINITY.to_bits() {
                second.failed += more;
            }
        }
        for (promise, second) in seconds {
            let history = self.seconds.entry(promise).or_default();
            history.push_back(Second { at_ms, ..second });
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
        // Those of a replica that cannot be read now are kept: heard again, it is not counted from nothing.
        self.counters.extend(counters);
    }

    fn between(&self, promise: &Promise, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &Second> {
        let history = self.seconds.get(promise).into_iter().flatten();
        history.filter(move |second| second.at_ms > from_ms && second.at_ms <= to_ms)
    }

    /// What was usual before this moment.
    pub fn baseline(&self, now_ms: i64) -> Baseline {
        let usual = |promise: &Promise| {
            let seconds = || self.between(promise, now_ms - USUAL_S * 1_000, now_ms);
            let mut well: BTreeMap<u64, f64> = BTreeMap::new();
            for (bound, count) in seconds().flat_map(|second| &second.well) {
                *well.entry(*bound).or_default() += count;
            }
            let all = well.get(&f64::INFINITY.to_bits()).copied().unwrap_or(0.0);
            let mut quick = well.iter().filter(|(_, count)| **count >= QUICK_SHARE * all).map(|(bound, _)| *bound);
            // The bound that almost all keep, and one more: what is a little slower than usual is no trouble.
            let (kept, next) = (quick.next(), quick.next());
            let slow_from = if all < USUAL_REQUESTS { None } else { next.or(kept) };
            let slow_from = slow_from.unwrap_or(SLOW_UNKNOWN_S.to_bits());
            let tally = seconds().map(|second| tally(second, slow_from)).fold(Tally::default(), add);
            Usual { slow_from, bad_share: tally.share() }
        };
        Baseline(self.seconds.keys().map(|promise| (promise.clone(), usual(promise))).collect())
    }

    /// The moment since which a promise is broken, if it is.
    fn broken_since(&self, promise: &Promise, usual: Usual, from_ms: i64, now_ms: i64) -> Option<i64> {
        let from_ms = from_ms.max(now_ms - WINDOW_S * 1_000);
        let seconds: Vec<(i64, Tally)> = self
            .between(promise, from_ms, now_ms)
            .map(|second| (second.at_ms, tally(second, usual.slow_from)))
            .collect();
        let sum = seconds.iter().map(|(_, tally)| *tally).fold(Tally::default(), add);
        let is_broken = sum.bad >= BAD_MIN && sum.share() >= (BAD_TIMES * usual.bad_share).max(BAD_SHARE);
        let first = seconds.iter().find(|(_, tally)| tally.bad > 0.0).map(|(at_ms, _)| *at_ms);
        first.filter(|_| is_broken)
    }

    /// The first of the promises that was broken after `from_ms`, and when.
    pub fn moved<'a>(
        &self,
        baseline: &Baseline,
        promises: impl IntoIterator<Item = &'a Promise>,
        from_ms: i64,
        now_ms: i64,
    ) -> Option<(i64, &'a Promise)> {
        let broken = promises.into_iter().filter_map(|promise| {
            let usual = baseline.0.get(promise).copied();
            let usual = usual.unwrap_or(Usual { slow_from: SLOW_UNKNOWN_S.to_bits(), bad_share: 0.0 });
            Some((self.broken_since(promise, usual, from_ms, now_ms)?, promise))
        });
        broken.min_by_key(|(at_ms, _)| *at_ms)
    }

    /// Whether all promises have been kept for a while.
    pub fn is_calm<'a>(
        &self,
        baseline: &Baseline,
        promises: impl IntoIterator<Item = &'a Promise>,
        now_ms: i64,
    ) -> bool {
        promises.into_iter().all(|promise| {
            let Some(usual) = baseline.0.get(promise) else { return true };
            let seconds = self.between(promise, now_ms - CALM_S * 1_000, now_ms);
            let sum = seconds.map(|second| tally(second, usual.slow_from)).fold(Tally::default(), add);
            sum.bad < BAD_MIN || sum.share() < (BAD_TIMES * usual.bad_share).max(BAD_SHARE)
        })
    }

    /// All promises that are known.
    pub fn promises(&self) -> Vec<Promise> {
        self.seconds.keys().cloned().collect()
    }
}

fn tally(second: &Second, slow_from: u64) -> Tally {
    let all = second.well.get(&f64::INFINITY.to_bits()).copied().unwrap_or(0.0);
    let quick = second.well.range(..=slow_from).next_back().map_or(0.0, |(_, count)| *count);
    Tally { all: all + second.failed, bad: (all - quick).max(0.0) + second.failed }
}

fn add(one: Tally, other: Tally) -> Tally {
    Tally { all: one.all + other.all, bad: one.bad + other.bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 4] = [0.01, 0.1, 1.0, f64::INFINITY];

    struct Feed {
        sli: Sli,
        counters: BTreeMap<Counter, f64>,
        now_ms: i64,
    }

    impl Feed {
        /// A second with so many answers that took so long, and so many that failed.
        fn second(&mut self, answers: &[(u32, f64)], failed: u32) {
            self.now_ms += 1_000;
            for bound in BOUNDS {
                let within = answers.iter().filter(|(_, took)| *took <= bound).map(|(count, _)| f64::from(*count));
                self.add("200", false, bound, within.sum());
                self.add("500", true, bound, f64::from(failed));
            }
            self.sli.read(self.now_ms, self.counters.clone());
        }

        fn add(&mut self, status: &str, failed: bool, bound: f64, more: f64) {
            let (promise, replica) = (promise(), "a".to_owned());
            let counter = Counter { promise, replica, status: status.to_owned(), failed, bound: bound.to_bits() };
            *self.counters.entry(counter).or_default() += more;
        }

        fn usual() -> Self {
            let mut feed = Self { sli: Sli::default(), counters: BTreeMap::new(), now_ms: 0 };
            (0..30).for_each(|_| feed.second(&[(10, 0.005), (1, 0.05)], 0));
            feed
        }
    }

    fn promise() -> Promise {
        Promise::Served("search".to_owned())
    }

    #[test]
    fn a_promise_is_broken_from_its_first_bad_second_until_it_is_kept_again() {
        for bad in [(&[(10, 0.005)][..], 3), (&[(7, 0.005), (4, 3.0)][..], 0), (&[][..], 4)] {
            let mut feed = Feed::usual();
            let (baseline, from_ms) = (feed.sli.baseline(feed.now_ms), feed.now_ms);
            let promises = [promise()];
            let moved = |feed: &Feed| feed.sli.moved(&baseline, &promises, from_ms, feed.now_ms).map(|(at, _)| at);
            feed.second(&[(10, 0.005), (1, 0.05)], 0);
            assert_eq!(moved(&feed), None);
            let first = feed.now_ms + 1_000;
            (0..2).for_each(|_| feed.second(bad.0, bad.1));
            assert_eq!(moved(&feed), Some(first), "{bad:?}");
            assert!(!feed.sli.is_calm(&baseline, &promises, feed.now_ms));
            (0..6).for_each(|_| feed.second(&[(10, 0.005)], 0));
            assert!(feed.sli.is_calm(&baseline, &promises, feed.now_ms));
        }
    }

    #[test]
    fn what_was_always_so_and_a_counter_that_begins_anew_break_nothing() {
        let mut feed = Feed::usual();
        (0..30).for_each(|_| feed.second(&[(10, 0.005), (3, 3.0)], 2));
        let (baseline, from_ms) = (feed.sli.baseline(feed.now_ms), feed.now_ms);
        feed.counters.values_mut().for_each(|value| *value = 0.0);
        (0..4).for_each(|_| feed.second(&[(10, 0.005), (3, 3.0)], 2));
        assert_eq!(feed.sli.moved(&baseline, &[promise()], from_ms, feed.now_ms), None);
    }

    #[test]
    fn what_a_replica_counted_before_it_fell_silent_breaks_nothing_when_it_is_heard_again() {
        let mut feed = Feed::usual();
        (0..10).for_each(|_| feed.second(&[(10, 0.005)], 9));
        (0..30).for_each(|_| feed.second(&[(10, 0.005)], 0));
        let (baseline, from_ms) = (feed.sli.baseline(feed.now_ms), feed.now_ms);
        let (service, replica, status) = ("order".to_owned(), "b".to_owned(), "200".to_owned());
        let (promise_of_another, bound) = (Promise::Served(service), f64::INFINITY.to_bits());
        let other = Counter { promise: promise_of_another, replica, status, failed: false, bound };
        feed.now_ms += 1_000;
        feed.sli.read(feed.now_ms, BTreeMap::from([(other, 1.0)]));
        feed.second(&[(10, 0.005)], 0);
        assert_eq!(feed.sli.moved(&baseline, &[promise()], from_ms, feed.now_ms), None);
    }
}
