//! The queue against known values, and what must hold of any queue.

use proptest::prelude::*;

use super::*;

#[test]
fn erlangs_c_has_its_known_values() {
    // One server waits as often as it is busy; the others by the defining sum, worked out in exact fractions.
    let waits = |servers, load| Station::new(servers, 1.0).wait_probability(load);
    for (servers, load, expected) in
        [(1, 0.3, 0.3), (1, 0.9, 0.9), (2, 0.5, 1.0 / 3.0), (2, 0.75, 9.0 / 14.0), (3, 2.0 / 3.0, 4.0 / 9.0)]
    {
        let found = waits(servers, load);
        assert!((found - expected).abs() < 1e-12, "C({servers}, {load}) is {found}, not {expected}");
    }
    // Cooper, Introduction to Queueing Theory: 10 servers at 8 erlangs.
    assert!((waits(10, 0.8) - 0.409_18).abs() < 1e-5, "{}", waits(10, 0.8));
    assert_eq!((waits(4, 0.0), waits(4, 1.0)), (0.0, 1.0));
}

#[test]
fn one_server_is_pollaczek_and_khinchines_queue() {
    let (deterministic, exponential) = (Station::new(1, 0.0), Station::new(1, 1.0));
    assert!((exponential.steady(0.8) - 3.2).abs() < 1e-12, "M/M/1: r^2 / (1 - r)");
    assert!((deterministic.steady(0.8) - 1.6).abs() < 1e-12, "M/D/1: half of it");
}

#[test]
fn a_constant_load_ends_in_the_steady_state() {
    for (servers, load) in [(1, 0.3), (1, 0.9), (4, 0.7), (2, 0.97)] {
        let station = Station::new(servers, 0.5);
        let mut now = Advanced { queue: 0.0, load: 0.0 };
        for _ in 0..100_000 {
            now = station.advance(now.queue, load * 20.0, 20.0);
        }
        let expected = station.steady(load);
        assert!((now.queue / expected - 1.0).abs() < 0.01, "{servers} servers at {load}: {} of {expected}", now.queue);
        let waiting = station.waiting(now, 20.0);
        assert!((waiting.mean() - now.queue / (20.0 * now.load)).abs() < 1e-9, "Little's law");
    }
}

#[test]
fn the_tail_of_waiting_is_that_of_m_m_1() {
    // P(W > t) = r exp(-mu (1 - r) t): at mu 10 and r 0.8 one in a hundred waits ln(80) / 2 seconds.
    let station = Station::new(1, 1.0);
    let waiting = station.waiting(Advanced { queue: station.steady(0.8), load: 0.8 }, 10.0);
    assert!((waiting.quantile(0.99) - 80f64.ln() / 2.0).abs() < 1e-9, "{waiting:?}");
    assert_eq!(waiting.quantile(0.1), 0.0, "a fifth waits for nobody");
}

#[test]
fn what_is_too_much_piles_up_and_is_worked_off() {
    let station = Station::new(1, 0.0);
    let mut now = Advanced { queue: 0.0, load: 0.0 };
    for _ in 0..10 {
        now = station.advance(now.queue, 30.0, 20.0);
    }
    assert!((95.0..=105.0).contains(&now.queue), "10 a second over 10 s: {now:?}");
    let waiting = station.waiting(now, 20.0);
    assert!((4.0..5.3).contains(&waiting.quantile(0.5)), "a hundred at 20 a second: {waiting:?}");
    for _ in 0..20 {
        now = station.advance(now.queue, 10.0, 20.0);
    }
    assert!(now.queue < 1.0, "{now:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn nothing_is_lost_and_nothing_made(
        servers in 1u32..9, cv in 0.0f64..2.0, queue in 0.0f64..500.0, arrivals in 0.0f64..500.0, capacity in 0.1f64..300.0,
    ) {
        let now = Station::new(servers, cv).advance(queue, arrivals, capacity);
        prop_assert!((0.0..=1.0).contains(&now.load) && now.queue >= 0.0, "{now:?}");
        let kept = now.queue + capacity * now.load;
        prop_assert!((kept - queue - arrivals).abs() <= 1e-9 * (1.0 + queue + arrivals), "{kept} of {}", queue + arrivals);
    }

    #[test]
    fn more_capacity_never_makes_anybody_wait_longer(
        servers in 1u32..9, cv in 0.0f64..2.0, queue in 0.0f64..500.0, arrivals in 0.0f64..500.0,
        capacity in 0.1f64..300.0, more in 0.0f64..300.0, point in 0.0f64..1.0,
    ) {
        let station = Station::new(servers, cv);
        let waits = |capacity: f64| station.waiting(station.advance(queue, arrivals, capacity), capacity);
        let (less, more) = (waits(capacity), waits(capacity + more));
        prop_assert!(more.mean() <= less.mean() * (1.0 + 1e-6) + 1e-9, "{less:?} {more:?}");
        prop_assert!(more.quantile(0.99) <= less.quantile(0.99) * 1.02 + 1e-6, "{less:?} {more:?} {point}");
    }
}
