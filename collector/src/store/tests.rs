//! The store: what it takes, gives, keeps across a crash, and forgets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::ManualClock;
use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::series::{
    Appendable, Appended, CounterReset, Histogram, HistogramSample, Ingest, Labels, MatchOp, Queryable, Sample,
    SeriesSamples, Unmetered, stale_nan,
};

const START_MS: i64 = 1_700_000_000_000;

fn options() -> StoreOptions {
    StoreOptions { retention: Duration::from_secs(3_600), ..StoreOptions::default() }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, options(), Arc::new(ManualClock::at(START_MS))).unwrap().0
}

fn tend(store: &Store) {
    store.tend(&|| false);
}

fn labels(name: &str, pod: &str) -> Labels {
    Labels::new([("__name__", name), ("pod", pod)])
}

fn sample(seconds: i64, value: f64) -> Sample {
    Sample { timestamp_ms: START_MS + seconds * 1_000, value }
}

fn regex(name: &str, pattern: &str) -> Matcher {
    Matcher { name: name.to_owned(), op: MatchOp::Regex(Regex::new(&format!("^(?:{pattern})$")).unwrap()) }
}

fn not_equal(name: &str, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), op: MatchOp::NotEqual(value.to_owned()) }
}

fn float(point: &Point) -> Sample {
    match point {
        Point::Float(sample) => *sample,
        Point::Histogram(_) => panic!("not a number: {point:?}"),
    }
}

fn all(store: &Store) -> Vec<SeriesSamples> {
    store.select(&[], i64::MIN, i64::MAX, &Unmetered).unwrap()
}

fn pods(store: &Store, matchers: &[Matcher]) -> Vec<String> {
    let series = store.series(matchers, i64::MIN, i64::MAX, &Unmetered).unwrap();
    series.iter().map(|l| format!("{}/{}", l.name(), l.get("pod").unwrap_or_default())).collect()
}

#[test]
fn matchers_select_as_in_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "")].map(|(n, p)| (labels(n, p), sample(0, 1.0)));
    store.append(&batch).unwrap();
    for (matchers, wanted) in [
        (vec![Matcher::equal("__name__", "a")], vec!["a/1", "a/2"]),
        (vec![Matcher::equal("__name__", "a"), Matcher::equal("pod", "2")], vec!["a/2"]),
        (vec![Matcher::equal("pod", "")], vec!["b/"]),
        (vec![not_equal("pod", "")], vec!["a/1", "a/2", "b/1"]),
        (vec![regex("pod", "1|3")], vec!["a/1", "b/1"]),
        (vec![regex("pod", "|1")], vec!["a/1", "b/", "b/1"]),
        (vec![regex("__name__", ".+"), not_equal("pod", "1")], vec!["a/2", "b/"]),
        (vec![Matcher::equal("pod", "none")], vec![]),
    ] {
        assert_eq!(pods(&store, &matchers), wanted, "{matchers:?}");
    }
}

#[test]
fn refuses_what_is_older_or_different_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let one = |s| store.append(&[(labels("a", "1"), s)]).unwrap();
    assert_eq!(one(sample(5, 1.0)), Appended { stored: 1, series_added: 1, ..Appended::default() });
    assert_eq!(one(sample(5, 1.0)), Appended { stored: 1, ..Appended::default() });
    assert_eq!(one(sample(5, 2.0)), Appended { duplicate: 1, ..Appended::default() });
    assert_eq!(one(sample(4, 2.0)), Appended { out_of_order: 1, ..Appended::default() });
    assert_eq!(all(&store)[0].samples, [sample(5, 1.0)]);
    let stats = store.stats();
    assert_eq!((stats.out_of_order, stats.duplicate), (1, 1));
}

#[test]
fn gives_the_asked_range_across_many_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for i in 0..1_000 {
        store.append(&[(labels("a", "1"), sample(i, i as f64))]).unwrap();
    }
    for (from, to) in [(0, 999), (119, 121), (500, 500), (-10, 3), (990, 2_000), (2_000, 3_000)] {
        let (start, end) = (START_MS + from * 1_000, START_MS + to * 1_000);
        let found: Vec<i64> = store
            .select(&[], start, end, &Unmetered)
            .unwrap()
            .iter()
            .flat_map(|s| s.samples.iter().map(|s| (s.timestamp_ms - START_MS) / 1_000))
            .collect();
        let wanted: Vec<i64> = (from.max(0)..=to.min(999)).collect();
        assert_eq!(found, wanted, "{from}..={to}");
        let latest = store.latest(&[], start, end, &Unmetered).unwrap().first().map(|(_, point)| float(point).value);
        assert_eq!(latest, wanted.last().map(|v| *v as f64), "{from}..={to}");
    }
}

#[test]
fn everything_appended_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let store = open(dir.path());
        for i in 0..300 {
            let batch: Vec<_> =
                (0..7).map(|p| (labels("a", &p.to_string()), sample(i, (i * p) as f64 / 3.0))).collect();
            store.append(&batch).unwrap();
        }
        all(&store)
    };
    let (store, replayed) = Store::open(dir.path(), options(), Arc::new(ManualClock::at(START_MS))).unwrap();
    assert_eq!(all(&store), before);
    assert_eq!((replayed.samples, replayed.damaged_segments), (2_100, 0));
    store.append(&[(labels("a", "0"), sample(300, 1.0))]).unwrap();
    drop(store);
    assert_eq!(all(&open(dir.path()))[0].samples.len(), 301);
}

fn histogram(seconds: i64, count: f64) -> HistogramSample {
    let histogram = Histogram {
        count,
        sum: count * 0.5,
        positive_spans: vec![crate::series::Span { offset: 0, length: 2 }],
        positive_buckets: vec![count, 0.0],
        ..Histogram::default()
    };
    HistogramSample { timestamp_ms: START_MS + seconds * 1_000, histogram: histogram.into() }
}

/// Seconds of the numbers and of the histograms of the only series.
fn seconds(store: &Store) -> (Vec<i64>, Vec<i64>) {
    let one = all(store).remove(0);
    let second = |timestamp_ms: i64| (timestamp_ms - START_MS) / 1_000;
    let numbers = one.samples.iter().map(|s| second(s.timestamp_ms)).collect();
    (numbers, one.histograms.iter().map(|s| second(s.timestamp_ms)).collect())
}

#[test]
fn order_is_judged_over_both_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let series = store.resolve(&labels("a", "1"));
    let number = |s| store.append_resolved(&[(series, sample(s, 1.0))], &mut Vec::new()).unwrap();
    let other = |s, count| store.append_histograms(&[(series, histogram(s, count))], &mut Vec::new()).unwrap();
    let stored = Appended { stored: 1, ..Appended::default() };
    let late = Appended { out_of_order: 1, ..Appended::default() };
    let duplicate = Appended { duplicate: 1, ..Appended::default() };
    assert_eq!(other(1, 1.0), Appended { series_added: 1, ..stored });
    assert_eq!([other(1, 1.0), other(1, 2.0), other(0, 1.0)], [stored, duplicate, late]);
    assert_eq!([number(1), number(0), number(3)], [duplicate, late, stored]);
    assert_eq!([other(3, 1.0), other(2, 1.0), other(4, 1.0)], [duplicate, late, stored]);
    assert_eq!([number(4), number(3), number(5)], [duplicate, late, stored]);
    assert_eq!(seconds(&store), (vec![3, 5], vec![1, 4]));
    drop(store);
    assert_eq!(seconds(&open(dir.path())), (vec![3, 5], vec![1, 4]), "and after reopening");
}

#[test]
fn histograms_are_there_after_reopening_with_their_resets() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let store = open(dir.path());
        let series = store.resolve(&labels("a", "1"));
        for i in 0..300 {
            let batch = [(series, histogram(i, (i % 200) as f64))];
            store.append_histograms(&batch, &mut Vec::new()).unwrap();
        }
        store.append(&[(labels("a", "1"), Sample { timestamp_ms: START_MS + 300_000, value: stale_nan() })]).unwrap();
        all(&store)
    };
    let histograms = &before[0].histograms;
    let resets: Vec<usize> = (0..300).filter(|i| histograms[*i].histogram.reset != CounterReset::NotReset).collect();
    assert_eq!((resets, histograms[200].histogram.reset), (vec![0, 200], CounterReset::Reset));
    assert!(histograms[300].histogram.is_stale() && before[0].samples.is_empty(), "the end is of the series' kind");
    let store = open(dir.path());
    assert_eq!(format!("{:?}", all(&store)), format!("{before:?}"));
    for (from, to) in [(0, 0), (100, 250), (299, 299), (299, 400), (301, 400)] {
        let (start, end) = (START_MS + from * 1_000, START_MS + to * 1_000);
        let wanted: Vec<i64> = (from..=to.min(300)).map(|s| START_MS + s * 1_000).collect();
        let found = store.select(&[], start, end, &Unmetered).unwrap();
        let times: Vec<i64> = found.iter().flat_map(|s| &s.histograms).map(|s| s.timestamp_ms).collect();
        assert_eq!(times, wanted, "{from}..={to}");
        let latest = store.latest(&[], start, end, &Unmetered).unwrap().first().map(|(_, point)| point.timestamp_ms());
        assert_eq!(latest, wanted.last().copied(), "{from}..={to}");
        assert_eq!(
            store.series(&[], start, end, &Unmetered).unwrap().len(),
            usize::from(!wanted.is_empty()),
            "{from}..={to}"
        );
    }
}

#[test]
fn a_second_store_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let second = Store::open(dir.path(), options(), Arc::new(ManualClock::at(START_MS)));
    let message = second.err().unwrap().to_string();
    assert!(message.contains("in use by another collector"), "{message}");
}

#[test]
fn forgets_what_is_older_than_the_retention() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START_MS);
    let store = Store::open(dir.path(), options(), Arc::new(clock.clone())).unwrap().0;
    for i in 0..300 {
        store.append(&[(labels("old", "1"), sample(i, 1.0))]).unwrap();
    }
    clock.advance_ms(7_200_000);
    store.append(&[(labels("new", "1"), sample(7_200, 1.0))]).unwrap();
    tend(&store);
    tend(&store);
    assert_eq!(pods(&store, &[]), ["new/1"]);
    assert_eq!(store.stats().series, 1);
    assert_eq!(std::fs::read_dir(dir.path().join("wal")).unwrap().count(), 1);
    drop(store);
    assert_eq!(pods(&open(dir.path()), &[]), ["new/1"], "the kept segment declares its own series");
}

#[test]
fn a_handle_of_a_forgotten_series_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let forgotten = store.resolve(&labels("a", "1"));
    tend(&store);
    tend(&store);
    let kept = store.resolve(&labels("b", "1"));
    let mut gone = Vec::new();
    let done = store.append_resolved(&[(forgotten, sample(0, 1.0)), (kept, sample(0, 2.0))], &mut gone).unwrap();
    assert_eq!((gone, done.stored), (vec![0], 1));
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let wal = dir.path().join("wal");
    std::fs::remove_dir_all(&wal).unwrap();
    assert!(store.append(&[(labels("a", "1"), sample(0, 1.0))]).is_err());
    std::fs::create_dir(&wal).unwrap();
    store.append(&[(labels("a", "1"), sample(1, 2.0))]).unwrap();
    drop(store);
    assert_eq!(all(&open(dir.path()))[0].samples, [sample(1, 2.0)]);
}

#[test]
fn reads_the_ways_to_sync() {
    assert_eq!(WalSync::parse("os"), Ok(WalSync::Os));
    assert_eq!(WalSync::parse("always"), Ok(WalSync::Always));
    assert_eq!(WalSync::parse("5s"), Ok(WalSync::Every(Duration::from_secs(5))));
    for text in ["", "0s", "never"] {
        assert!(WalSync::parse(text).is_err(), "{text}");
    }
}

#[test]
fn files_that_cannot_be_read_are_left_alone_and_cost_no_other() {
    let dir = tempfile::tempdir().unwrap();
    for second in 0..4 {
        // Each store begins a segment of its own.
        open(dir.path()).append(&[(labels("a", "1"), sample(second, 1.0))]).unwrap();
    }
    let segment = |number: u64| dir.path().join(format!("wal/{number:08}.wal"));
    let foreign = b"plmwal99 and what a later version wrote";
    std::fs::write(segment(2), foreign).unwrap();
    for unreadable in [3, 9] {
        let _ = std::fs::remove_file(segment(unreadable));
        std::fs::create_dir(segment(unreadable)).unwrap();
    }
    for _ in 0..2 {
        let (store, replayed) = Store::open(dir.path(), options(), Arc::new(ManualClock::at(START_MS))).unwrap();
        assert_eq!((replayed.damaged_segments, all(&store)[0].samples.len() >= 2), (3, true));
        store.append(&[(labels("b", "1"), sample(5, 1.0))]).unwrap();
    }
    assert_eq!(std::fs::read(segment(2)).unwrap(), foreign);
    assert!(segment(3).is_dir() && segment(9).is_dir() && segment(10).is_file());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Cutting or flipping a byte anywhere never costs a sample that was written before that place.
    #[test]
    fn damage_costs_nothing_before_it(at in 0.0f64..1.0, flip in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut ends = Vec::new();
        let path = dir.path().join("wal/00000001.wal");
        {
            let store = open(dir.path());
            for i in 0..30 {
                store.append(&[(labels("a", &(i % 4).to_string()), sample(i, i as f64))]).unwrap();
                ends.push(std::fs::metadata(&path).unwrap().len());
            }
        }
        let mut content = std::fs::read(&path).unwrap();
        let place = (content.len() as f64 * at) as usize;
        if flip { content[place] ^= 0x10 } else { content.truncate(place) }
        std::fs::write(&path, &content).unwrap();
        let (store, replayed) = Store::open(dir.path(), options(), Arc::new(ManualClock::at(START_MS))).unwrap();
        let whole = ends.iter().filter(|end| **end <= place as u64).count();
        prop_assert!(replayed.samples >= whole as u64);
        prop_assert!(all(&store).iter().map(|s| s.samples.len()).sum::<usize>() >= whole);
        store.append(&[(labels("a", "0"), sample(100, 7.0))]).unwrap();
        drop(store);
        prop_assert!(all(&open(dir.path())).iter().any(|s| s.samples.contains(&sample(100, 7.0))));
    }
}

mod sealing;
