//! Claims about the samples of counters and histograms.

use super::*;
use crate::series::is_stale;

struct One(Counter);

impl Entry for One {
    fn write(&self, page: &mut Page<'_>) {
        self.0.write(page);
    }
}

fn ledger() -> Ledger<&'static str, One> {
    Ledger::new(2, 1_000)
}

fn count(ledger: &mut Ledger<&'static str, One>, key: &'static str, now_ms: i64) -> bool {
    let entry = ledger.entry(key, now_ms, |key| One(Counter::new("calls_total", &[("service", Arc::from(*key))])));
    entry.map(|one| one.0.add(1)).is_some()
}

fn written(ledger: &mut Ledger<&'static str, One>, now_ms: i64) -> Vec<(i64, String, f64)> {
    let mut samples = Vec::new();
    ledger.write(now_ms, now_ms - 5, &mut samples);
    samples.into_iter().map(|(labels, sample)| (sample.timestamp_ms, labels.to_string(), sample.value)).collect()
}

#[test]
fn a_new_series_starts_at_zero_and_ends_with_a_marker() {
    let mut ledger = ledger();
    count(&mut ledger, "order", 100);
    count(&mut ledger, "order", 110);
    let name = r#"calls_total{service="order"}"#.to_owned();
    assert_eq!(written(&mut ledger, 200), [(195, name.clone(), 0.0), (200, name.clone(), 2.0)]);
    assert_eq!(written(&mut ledger, 1_110), [(1_110, name, 2.0)]);
    let last = written(&mut ledger, 1_111);
    assert!(last.len() == 1 && is_stale(last[0].2));
    assert!(written(&mut ledger, 1_200).is_empty());
}

#[test]
fn one_series_too_many_is_refused_and_counted() {
    let mut ledger = ledger();
    assert!(count(&mut ledger, "a", 0) && count(&mut ledger, "b", 0));
    assert!(!count(&mut ledger, "c", 0));
    assert!(count(&mut ledger, "a", 0));
    assert_eq!(ledger.refused(), 1);
}

#[test]
fn a_histogram_is_cumulative_and_ends_with_infinity() {
    let mut histogram = Histogram::new("latency", &[("service", Arc::from("order"))]);
    for ms in [1, 2, 3, 30, 100_000] {
        histogram.observe(ms * 1_000_000);
    }
    let mut samples = Vec::new();
    histogram.write(&mut Page::new(0, Mark::Value, &mut samples));
    let value = |name: &str, le: Option<&str>| {
        let wanted = |labels: &Labels| labels.name() == name && labels.get("le") == le;
        samples.iter().find(|(labels, _)| wanted(labels)).map(|(_, sample)| sample.value)
    };
    assert_eq!(samples.len(), BOUNDS.len() + 3);
    assert_eq!(value("latency_bucket", Some("0.002")), Some(2.0));
    assert_eq!(value("latency_bucket", Some("0.004")), Some(3.0));
    assert_eq!(value("latency_bucket", Some("16.384")), Some(4.0));
    assert_eq!(value("latency_bucket", Some("+Inf")), Some(5.0));
    assert_eq!(value("latency_count", None), Some(5.0));
    assert_eq!(value("latency_sum", None), Some(100.036));
}
