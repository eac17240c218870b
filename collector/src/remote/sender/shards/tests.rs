//! How many workers: enough for what comes and for what waits, within bounds, and not at every whim.

use super::*;

/// `rate` things a second come in, each takes `each_ms`, and `out` a second go out.
fn run(shards: &mut Shards, rounds: u32, rate: f64, each_ms: f64, out: f64, pending: f64) -> usize {
    for _ in 0..rounds {
        let last = shards.last;
        let seconds = INTERVAL_S as f64;
        let totals = Totals {
            incoming: last.incoming + rate * seconds,
            outgoing: last.outgoing + out * seconds,
            busy_s: last.busy_s + out * seconds * each_ms / 1000.0,
        };
        shards.update(totals, pending, pending > 0.0);
    }
    shards.current()
}

#[test]
fn one_is_enough_while_it_keeps_up() {
    let mut shards = Shards::new(&QueueOptions::default());
    assert_eq!(run(&mut shards, 20, 10_000.0, 0.05, 10_000.0, 0.0), 1);
    assert!((shards.desired - 0.5).abs() < 1e-9);
}

#[test]
fn a_backlog_calls_for_more_and_its_end_for_fewer() {
    let mut shards = Shards::new(&QueueOptions::default());
    assert_eq!(run(&mut shards, 20, 10_000.0, 0.05, 10_000.0, 1_000_000.0), 3);
    assert_eq!(run(&mut shards, 1, 10_000.0, 0.05, 10_000.0, 100.0), 3, "not before all is caught up with");
    assert_eq!(run(&mut shards, 20, 10_000.0, 0.05, 10_000.0, 0.0), 1);
}

#[test]
fn the_bounds_hold() {
    let mut shards = Shards::new(&QueueOptions::default());
    assert_eq!(run(&mut shards, 20, 1e6, 1.0, 1e5, 1e9), LANES);
    let options = QueueOptions { shards_min: 2, shards_max: 3, ..QueueOptions::default() };
    let mut shards = Shards::new(&options);
    assert_eq!(run(&mut shards, 20, 1e6, 1.0, 1e5, 1e9), 3);
    assert_eq!(run(&mut shards, 99, 1.0, 0.01, 1.0, 0.0), 2);
}

#[test]
fn while_nothing_goes_out_nothing_is_known() {
    let mut shards = Shards::new(&QueueOptions::default());
    assert_eq!(run(&mut shards, 20, 1e6, 1.0, 0.0, 1e9), 1);
}
