//! Claims about what is kept.

use super::*;
use crate::traces::example::span;
use crate::traces::span::Kind;

fn trace(ms: u64) -> Vec<Arc<Span>> {
    let root = span("gateway", "GET /", Kind::Server, 1, 0).during(0, ms);
    let below = span("order", "GET /orders", Kind::Server, 2, 1).during(0, ms / 2);
    vec![Arc::new(root), Arc::new(below)]
}

fn kept(because: Because, halvings: u8) -> Fate {
    Fate::Kept(Kept { because, halvings })
}

#[test]
fn everything_is_kept_while_there_is_little() {
    let mut sampler = Sampler::new(100);
    for second in 0..20 {
        for number in 0..100 {
            let fate = sampler.decide(second * 1_000 + number, &trace(10), second as i64 * 1_000);
            assert_eq!(fate, kept(Because::Sample, 0));
        }
    }
}

#[test]
fn errors_and_the_slow_are_kept_however_much_there_is() {
    let mut sampler = Sampler::new(1);
    for number in 0..10_000u128 {
        sampler.decide(number, &trace(10), number as i64);
    }
    let mut failing = trace(10);
    failing[1] = Arc::new(span("order", "GET /orders", Kind::Server, 2, 1).failing());
    assert!(sampler.probability() < 0.01);
    for id in 0..20 {
        assert_eq!(sampler.decide(id, &failing, 10_000), kept(Because::Error, 0));
        assert_eq!(sampler.decide(id, &trace(100), 10_000), kept(Because::Slow, 0));
    }
}

#[test]
fn what_is_always_the_same_is_not_slow() {
    let mut sampler = Sampler::new(100);
    for number in 0..5_000u128 {
        let fate = sampler.decide(number, &trace(10), number as i64 * 100);
        assert_eq!(fate, kept(Because::Sample, 0), "{number}");
    }
}

#[test]
fn what_became_slow_for_good_is_soon_usual() {
    let mut sampler = Sampler::new(100);
    (0..2_000u128).for_each(|number| _ = sampler.decide(number, &trace(10), number as i64 * 100));
    let slow = |fate: &Fate| matches!(fate, Fate::Kept(Kept { because: Because::Slow, .. }));
    let fates: Vec<Fate> = (0..2_000u128).map(|n| sampler.decide(n, &trace(300), 200_000 + n as i64 * 100)).collect();
    assert!(slow(&fates[0]));
    assert!(fates.iter().filter(|fate| slow(fate)).count() < 400);
    assert!(!slow(&fates[1_999]));
}

#[test]
fn the_sample_is_honest() {
    let mut sampler = Sampler::new(50);
    let (mut estimate, mut stored) = (0.0, 0);
    for second in 0..60u128 {
        for number in 0..3_000 {
            // Ids in a row, as a careless program makes them.
            if let Fate::Kept(kept) = sampler.decide(second * 3_000 + number, &trace(10), second as i64 * 1_000) {
                estimate += 1.0 / kept.probability();
                stored += 1;
            }
        }
    }
    assert!((estimate - 180_000.0_f64).abs() < 18_000.0, "{estimate} are said to have been, of 180,000");
    assert!(stored < 3_000 + 60 * 60, "{stored}");
}

#[test]
fn a_trace_falls_the_same_way_everywhere() {
    for id in 0..10_000 {
        for halvings in 1..10 {
            assert!(!falls_on(id, halvings) || falls_on(id, halvings - 1));
        }
    }
    let share = (0..100_000).filter(|id| falls_on(*id, 3)).count();
    assert!((12_000..13_000).contains(&share), "{share}");
}

#[test]
fn operations_without_number_are_bounded() {
    let mut sampler = Sampler::new(0);
    for number in 0..OPERATIONS_MAX as u64 * 2 {
        let one = span("a", &format!("GET /{number}"), Kind::Server, 1, 0);
        assert_eq!(sampler.decide(1, &[Arc::new(one)], 0), Fate::Dropped);
    }
    assert_eq!(sampler.usual.len(), OPERATIONS_MAX);
}

#[test]
fn a_rate_is_halved_until_it_fits() {
    for (rate, wanted, expected) in
        [(0, 0, 0), (100, 100, 0), (101, 100, 1), (202, 100, 2), (10_000, 100, 7), (u32::MAX, 1, HALVINGS_MAX)]
    {
        assert_eq!(halvings_for(rate, wanted), expected, "{rate} {wanted}");
    }
}
