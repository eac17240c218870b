//! Claims about latencies over time.

use proptest::prelude::*;

use super::*;

fn heat(bands: Vec<Band>) -> Heat {
    Heat {
        wish: HeatWish::of(ServiceKey::new("shop", "order")),
        measured: Measured::Requests,
        start_seconds: 0.0,
        step_seconds: 5.0,
        bands,
        operations: Vec::new(),
    }
}

fn band(upper: f64, counts: &[f64]) -> Band {
    Band { upper, counts: counts.to_vec() }
}

#[test]
fn each_band_counts_its_own_requests_only() {
    let bands =
        bands(vec![(f64::INFINITY, vec![9.0, 4.0, 0.0]), (0.1, vec![8.0, 5.0, f64::NAN]), (0.01, vec![3.0, 1.0, 0.0])]);
    // In the second column a bucket has more than the one above it: nothing is counted twice or below nothing.
    assert_eq!(
        bands,
        [band(0.01, &[3.0, 1.0, 0.0]), band(0.1, &[5.0, 4.0, 0.0]), band(f64::INFINITY, &[1.0, 0.0, 0.0])]
    );
}

#[test]
fn empty_ends_are_left_away_and_neighbours_taken_together() {
    let heat = heat(vec![
        band(0.001, &[0.0, 0.01]),
        band(0.01, &[5.0, 0.0]),
        band(0.1, &[0.0, 0.0]),
        band(1.0, &[0.0, 2.0]),
        band(f64::INFINITY, &[0.0, 0.0]),
    ]);
    let uppers = |rows_max| heat.rows(rows_max).iter().map(|row| row.upper).collect::<Vec<_>>();
    assert_eq!((uppers(9), uppers(2), uppers(1)), (vec![1.0, 0.1, 0.01], vec![1.0, 0.1], vec![1.0]));
    assert_eq!(heat.rows(1)[0].counts, [5.0, 2.01]);
    assert!(self::heat(vec![band(1.0, &[0.0])]).rows(5).is_empty());
}

#[test]
fn quantiles_are_those_of_all_columns() {
    let heat = heat(vec![band(0.1, &[40.0, 50.0]), band(0.2, &[10.0, 0.0]), band(f64::INFINITY, &[0.0, 0.0])]);
    assert_eq!(heat.quantile_ms(0.9), Some(100.0));
    assert_eq!(heat.quantile_ms(0.95).map(f64::round), Some(150.0));
    assert_eq!(self::heat(Vec::new()).quantile_ms(0.5), None);
}

#[test]
fn one_slow_request_is_seen_beside_thousands() {
    assert_eq!([0.0, 0.01, f64::NAN].map(|count| level(count, 5_000.0)), [0, 0, 0]);
    assert_eq!((level(1.0, 5_000.0), level(5_000.0, 5_000.0), level(1.0, 1.0)), (1, LEVELS, LEVELS));
    for level_wanted in 1..=LEVELS {
        let least = least_of(level_wanted, 5_000.0) + 1e-6;
        assert!(least < NONE_BELOW || level(least, 5_000.0) == level_wanted, "{level_wanted}");
    }
}

#[test]
fn operations_go_round_with_all_of_them_first() {
    let operations = ["GET /a", "GET /b"].map(|name| Operation { values: vec![name.to_owned()] });
    let mut wish = HeatWish::of(ServiceKey::new("", "x"));
    let mut seen = Vec::new();
    for _ in 0..4 {
        wish = wish.turned(Measured::Spans, &operations, 1);
        seen.push(wish.operation.as_ref().map_or_else(String::new, |(_, operation)| operation.name()));
    }
    assert_eq!(seen, ["GET /a", "GET /b", "", "GET /a"]);
    assert_eq!(wish.turned(Measured::Spans, &operations, -1).operation, None);
    assert_eq!(wish.turned(Measured::Spans, &[], 1).operation, None);
}

proptest! {
    #[test]
    fn no_request_is_lost_however_few_rows_there_are(
        counts in proptest::collection::vec(proptest::collection::vec(0.0f64..50.0, 6), 1..20),
        rows_max in 0usize..25,
    ) {
        let mut all = vec![0.0; 6];
        let mut buckets: Vec<(f64, Vec<f64>)> = Vec::new();
        for (at, own) in counts.iter().enumerate() {
            all = all.iter().zip(own).map(|(sum, count)| sum + count).collect();
            buckets.push((0.001 * 2f64.powi(i32::try_from(at).unwrap()), all.clone()));
        }
        buckets.last_mut().unwrap().0 = f64::INFINITY;
        let total: f64 = all.iter().sum();
        let heat = heat(bands(buckets));
        prop_assert!((heat.requests() - total).abs() < 1e-6);
        let rows = heat.rows(rows_max);
        prop_assert!(rows.len() <= rows_max.max(1));
        let shown: f64 = rows.iter().flat_map(|row| &row.counts).sum();
        prop_assert!((shown - total).abs() < 1e-6 || rows.is_empty());
        prop_assert!(rows.windows(2).all(|pair| pair[0].upper > pair[1].upper));
    }
}
