//! Claims about rates.

use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_700_000_000_000;
const TICK_MS: i64 = 2_000;

/// Counts each second and asks every other for the mean of the last ten, as the loop does.
struct Counter {
    seconds: VecDeque<f64>,
    arrivals: Arrivals,
    now_ms: i64,
}

impl Counter {
    fn new() -> Self {
        Self { seconds: VecDeque::new(), arrivals: Arrivals::default(), now_ms: START_MS }
    }

    fn tick(&mut self, counts: [f64; 2]) -> Likely {
        self.seconds.extend(counts);
        while self.seconds.len() > 10 {
            self.seconds.pop_front();
        }
        self.now_ms += TICK_MS;
        let rate = self.seconds.iter().sum::<f64>() / self.seconds.len() as f64;
        self.arrivals.observe(self.now_ms, 10.0, rate);
        self.arrivals.likely(self.now_ms).unwrap()
    }

    /// So many seconds of one rate without any chance.
    fn even(&mut self, seconds: usize, rate: f64) -> Likely {
        let mut likely = self.tick([rate, rate]);
        (1..seconds / 2).for_each(|_| likely = self.tick([rate, rate]));
        likely
    }
}

/// A seeded stream of numbers in 0..1 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Knuth's way, for small means.
    fn poisson(&mut self, mean: f64) -> f64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.next(), 0.0);
        while product > limit {
            product *= self.next();
            count += 1.0;
        }
        count
    }
}

#[test]
fn a_steady_rate_is_known_better_and_better() {
    let mut counter = Counter::new();
    let width = |likely: Likely| likely.mean - likely.low;
    let (first, last) = (counter.even(10, 20.0), counter.even(300, 20.0));
    assert!((first.mean - 20.0).abs() < 1e-9 && (last.mean - 20.0).abs() < 1e-9, "{first:?} {last:?}");
    // 200 requests, then 2,400: 14 %, 4 %.
    assert!(
        (width(first) / 20.0 - 0.139).abs() < 0.005 && (width(last) / 20.0 - 0.040).abs() < 0.003,
        "{first:?} {last:?}"
    );
}

#[test]
fn a_change_is_believed_as_soon_as_it_is_no_chance() {
    let mut counter = Counter::new();
    counter.even(600, 20.0);
    let four = counter.even(4, 60.0);
    assert!(four.mean > 33.0 && four.low > 24.0, "four of ten seconds at three times the load: {four:?}");
    let ten = counter.even(6, 60.0);
    assert!((ten.mean - 60.0).abs() < 1e-9 && ten.low > 50.0, "{ten:?}");
    let fallen = counter.even(10, 20.0);
    assert!((fallen.mean - 20.0).abs() < 1e-9, "{fallen:?}");
}

#[test]
fn fewer_replicas_must_carry_more_the_shorter_they_have_been_enough() {
    let mut counter = Counter::new();
    counter.even(900, 100.0);
    let room = |likely: Likely| (likely.high / likely.mean * 100.0).round() / 100.0;
    let after = [10, 40, 90, 140, 240].map(|seconds| room(counter.even(seconds, 20.0)));
    // A tenth above the highest of eight minutes; twice, half as much again, a quarter, a tenth above what came since.
    assert!(after[0] > 5.0 && (1.7..2.1).contains(&after[1]), "{after:?}");
    assert!(
        (1.4..1.6).contains(&after[2]) && (1.15..1.3).contains(&after[3]) && (1.05..1.15).contains(&after[4]),
        "{after:?}"
    );
}

#[test]
fn what_was_not_seen_is_not_taken_to_have_been_little() {
    let mut counter = Counter::new();
    let room = |likely: Likely| likely.high / likely.mean;
    let new = room(counter.even(20, 20.0));
    assert!((1.5..2.0).contains(&new), "twice as much, until more is known: {new}");
    let known = room(counter.even(600, 20.0));
    assert!(known < 1.1, "{known}");
    counter.now_ms += 600_000;
    let again = room(counter.even(20, 20.0));
    assert!((1.5..2.0).contains(&again), "{again}");
}

#[test]
fn chance_seldom_moves_a_rate_by_a_tenth() {
    let mut random = Seeded(5);
    let (mut counter, mut moved, mut ticks) = (Counter::new(), 0, 0);
    for tick in 0..10_000 {
        let likely = counter.tick([random.poisson(20.0), random.poisson(20.0)]);
        if tick > 60 {
            ticks += 1;
            moved += u32::from((likely.mean / 20.0 - 1.0).abs() > 0.1);
        }
    }
    // A window of ten seconds alone is off by a tenth in one of six.
    assert!(f64::from(moved) < 0.03 * f64::from(ticks), "{moved} of {ticks}");
}

#[test]
fn what_comes_in_bunches_is_less_sure() {
    let mut random = Seeded(6);
    let mut width = |bunch: f64| {
        let mut counter = Counter::new();
        let mut sum = 0.0;
        for tick in 0..600 {
            let mut count = || random.poisson(40.0 / bunch) * bunch;
            let likely = counter.tick([count(), count()]);
            sum += if tick >= 300 { likely.mean - likely.low } else { 0.0 };
        }
        sum
    };
    let (one, four) = (width(1.0), width(4.0));
    assert!(four > 1.5 * one && four < 2.5 * one, "twice as far: {one} {four}");
}

proptest! {
    #[test]
    fn whatever_is_counted_the_rate_lies_between_its_ends(
        counts in proptest::collection::vec((0i64..20_000, 0.0f64..100.0, 0.0f64..1e6), 1..80),
    ) {
        let (mut arrivals, mut now_ms) = (Arrivals::default(), START_MS);
        for (later_ms, seconds, rate) in counts {
            now_ms += later_ms;
            arrivals.observe(now_ms, seconds, rate);
            if let Some(likely) = arrivals.likely(now_ms) {
                prop_assert!(0.0 <= likely.low && likely.low <= likely.mean && likely.mean <= likely.high, "{likely:?}");
                prop_assert!(likely.high.is_finite());
            }
        }
    }
}
