//! The unit tests of the queueing formulas: published tables, what must hold for every input, and a simulated queue.

use proptest::prelude::*;

use super::*;

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

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }
}

/// The waits of arrivals at servers that take the first in line, one event after the other. The first tenth is left out.
fn simulate(
    servers: usize,
    arrivals: usize,
    mut between: impl FnMut() -> f64,
    mut service: impl FnMut() -> f64,
) -> Vec<f64> {
    let mut free_at = vec![0.0f64; servers];
    let mut now = 0.0;
    let mut waits = Vec::with_capacity(arrivals);
    for index in 0..arrivals {
        now += between();
        let next = free_at.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        let begins = next.max(now);
        *next = begins + service();
        if index >= arrivals / 10 {
            waits.push(begins - now);
        }
    }
    waits.sort_by(f64::total_cmp);
    waits
}

fn at(sorted: &[f64], quantile: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * quantile) as usize]
}

fn near(found: f64, expected: f64, share: f64) -> bool {
    (found - expected).abs() <= share * expected.abs()
}

/// Traffic in erlangs that so many lines carry with a blocking of 1 % and 0.1 %: the Erlang B table of every teletraffic handbook.
#[test]
fn erlang_b_is_that_of_the_published_tables() {
    for (lines, percent, permille) in [
        (1, 0.0101, 0.0010),
        (2, 0.153, 0.046),
        (5, 1.361, 0.762),
        (10, 4.461, 3.092),
        (20, 12.031, 9.412),
        (50, 37.901, 32.512),
        (100, 84.064, 75.242),
    ] {
        for (blocking, busy) in [(0.01, percent), (0.001, permille)] {
            let found = 1.0 / inverse_blocking(lines, busy, f64::INFINITY);
            // The tables have three places.
            let most = 0.0006 / busy * f64::from(lines).max(1.0) + 0.01;
            assert!(near(found, blocking, most), "{lines} lines, {busy} erlangs: {found}");
        }
    }
}

#[test]
fn erlang_c_is_exact_where_it_has_a_closed_form() {
    for utilization in [0.1, 0.5, 0.9, 0.99] {
        assert!(near(wait_probability(1, utilization), utilization, 1e-12));
        let two = 2.0 * utilization * utilization / (1.0 + utilization);
        assert!(near(wait_probability(2, 2.0 * utilization), two, 1e-12));
    }
    // a^c/c! / ((1 - a/c) sum + a^c/c!) with five servers and four erlangs, by hand.
    assert!(near(wait_probability(5, 4.0), 0.554_112_554_112, 1e-9));
}

/// 360 calls in half an hour of 240 s each and 55 agents: 23.9 % wait, 8.2 s on average, 84.6 % at most 15 s: the worked example
/// that introductions to call centres share.
#[test]
fn the_call_centre_of_the_textbooks_comes_out() {
    let load = Load { rate: 0.2, service_seconds: 240.0, variability: 1.0 };
    let waits = wait_probability(55, load.busy());
    assert!(near(waits, 0.239, 0.002), "{waits}");
    assert!(near(waits * 240.0 / 7.0, 8.19, 0.002));
    assert!(near(1.0 - load.wait_share(55, 15.0), 0.846, 0.001));
    let goal = Goal { quantile: 0.8, wait_seconds: 15.0, utilization_max: 1.0 };
    let servers = servers_for(load, goal, 1).unwrap();
    assert!(load.wait_share(servers, 15.0) <= 0.2 && load.wait_share(servers - 1, 15.0) > 0.2, "{servers}");
    assert_eq!(servers, 55);
}

/// For many servers C depends on the spare alone: with `a + b sqrt(a)` servers it is `1 / (1 + b F(b)/f(b))` (Halfin and Whitt,
/// "Heavy-Traffic Limits for Queues with Many Exponential Servers", 1981); for b = 1 that is 0.2234.
#[test]
fn ten_thousand_servers_are_as_the_limit_says() {
    let busy = 9_900.5;
    let waits = wait_probability(10_000, busy);
    assert!((waits - 0.2234).abs() < 0.005, "{waits}");
    assert_eq!(wait_probability(10_000, 10_000.0), 1.0);
    assert_eq!(wait_probability(10_000, 1.0), 0.0);
    let recursion = (1..=10_000).fold(1.0, |inverse, c| 1.0 + f64::from(c) / busy * inverse);
    assert!(near(inverse_blocking(10_000, busy, f64::INFINITY), recursion, 1e-12));
}

#[test]
fn a_simulated_queue_waits_as_long_as_the_formula_says() {
    for (servers, utilization, seed) in [(1, 0.6, 1), (2, 0.7, 2), (8, 0.8, 3), (40, 0.85, 4)] {
        let load = Load { rate: servers as f64 * utilization, service_seconds: 1.0, variability: 1.0 };
        let (mut arrivals, mut work) = (Seeded(seed), Seeded(seed + 100));
        let waits = simulate(servers, 600_000, || arrivals.exponential(1.0 / load.rate), || work.exponential(1.0));
        let waited = waits.iter().filter(|wait| **wait > 0.0).count() as f64 / waits.len() as f64;
        let servers = u32::try_from(servers).unwrap();
        let share = wait_probability(servers, load.busy());
        assert!(near(waited, share, 0.05), "{servers} servers: {waited} waited, {share} by the formula");
        let (found, expected) = (at(&waits, 0.99), load.wait_quantile(servers, 0.99));
        assert!(near(found, expected, 0.1), "{servers} servers: p99 {found}, {expected} by the formula");
    }
}

/// Steady service (Erlang of four phases, Cs2 = 1/4) and spread service (two exponentials, Cs2 = 4), both with Poisson arrivals: the
/// correction is an approximation, so a quarter apart is near.
#[test]
fn other_service_times_wait_as_the_correction_says() {
    let steady = |random: &mut Seeded| (0..4).map(|_| random.exponential(0.25)).sum::<f64>();
    // With balanced means: p = (1 + sqrt((C - 1) / (C + 1))) / 2 of mean 1 / (2 p), the rest of mean 1 / (2 (1 - p)).
    let likely = (1.0 + (3.0f64 / 5.0).sqrt()) / 2.0;
    let spread = |random: &mut Seeded| {
        let share = if random.next() < likely { likely } else { 1.0 - likely };
        random.exponential(1.0 / (2.0 * share))
    };
    for (squared, is_steady) in [(0.25, true), (4.0, false)] {
        let service = |random: &mut Seeded| if is_steady { steady(random) } else { spread(random) };
        let load = Load { rate: 3.4, service_seconds: 1.0, variability: (1.0 + squared) / 2.0 };
        let (mut arrivals, mut work) = (Seeded(7), Seeded(8));
        let waits = simulate(4, 400_000, || arrivals.exponential(1.0 / load.rate), || service(&mut work));
        let (found, expected) = (at(&waits, 0.99), load.wait_quantile(4, 0.99));
        assert!(near(found, expected, 0.25), "Cs2 {squared}: p99 {found}, {expected} by the formula");
    }
}

#[test]
fn what_is_no_load_or_too_much_of_it_has_no_answer() {
    let goal = Goal { quantile: 0.99, wait_seconds: 0.1, utilization_max: 0.8 };
    let load = |rate| Load { rate, service_seconds: 0.1, variability: 1.0 };
    assert_eq!(servers_for(load(0.0), goal, 3), Some(3));
    assert_eq!(servers_for(load(f64::NAN), goal, 1), None);
    assert_eq!(servers_for(load(f64::INFINITY), goal, 1), None);
    assert_eq!(servers_for(load(1e9), goal, 1), None);
    assert_eq!(servers_for(load(24.0), goal, 1), Some(5));
    // A wait of nothing is what enough servers give.
    assert!(servers_for(load(24.0), Goal { wait_seconds: 0.0, ..goal }, 1).is_some_and(|servers| servers > 5));
}

proptest! {
    #[test]
    fn the_fewest_servers_keep_to_the_goal_and_one_group_less_does_not(
        rate in 0.0f64..500.0,
        service_seconds in 0.001f64..1.0,
        variability in 0.1f64..5.0,
        quantile in 0.5f64..0.9999,
        wait_seconds in 0.0f64..2.0,
        utilization_max in 0.3f64..1.0,
        group in 1u32..20,
    ) {
        let (load, goal) = (Load { rate, service_seconds, variability }, Goal { quantile, wait_seconds, utilization_max });
        let Some(servers) = servers_for(load, goal, group) else { return Ok(()) };
        let keeps = |servers: u32| {
            load.busy() <= f64::from(servers) * utilization_max * (1.0 + 1e-6)
                && load.wait_share(servers, wait_seconds) <= (1.0 - quantile) * (1.0 + 1e-6)
        };
        prop_assert!(servers % group == 0 && keeps(servers), "{servers}");
        let less = load.wait_share(servers - group, wait_seconds) <= (1.0 - quantile) * (1.0 - 1e-6)
            && load.busy() <= f64::from(servers - group) * utilization_max * (1.0 - 1e-6);
        prop_assert!(servers == group || !less, "{servers}");
    }

    #[test]
    fn more_load_never_asks_for_less(rate in 0.0f64..800.0, more in 1.0f64..1.5, service_seconds in 0.001f64..0.5) {
        let goal = Goal { quantile: 0.99, wait_seconds: 0.1, utilization_max: 0.8 };
        let load = |rate| Load { rate, service_seconds, variability: 1.0 };
        prop_assert!(servers_for(load(rate), goal, 1) <= servers_for(load(rate * more), goal, 1));
    }

    #[test]
    fn shares_and_waits_are_amounts(servers in 1u32..=SERVERS_MAX, busy in 0.0f64..12_000.0) {
        let share = wait_probability(servers, busy);
        prop_assert!((0.0..=1.0).contains(&share), "{share}");
        let load = Load { rate: busy, service_seconds: 1.0, variability: 1.0 };
        prop_assert!(load.wait_quantile(servers, 0.99) >= 0.0);
    }
}
