//! From the head to blocks and on: nothing is lost, nothing is there twice, wherever it is stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::window::BLOCK_MS;
use super::*;
use crate::series::{Histogram, SelectError};

/// The beginning of a window of 18 hours.
const WINDOW_MS: i64 = START_MS / (9 * BLOCK_MS) * 9 * BLOCK_MS;

const SECONDS: i64 = 60;

fn at(minutes: i64) -> i64 {
    WINDOW_MS + minutes * SECONDS * 1_000
}

fn keep() -> StoreOptions {
    StoreOptions { retention: Duration::from_secs(1 << 30), ..StoreOptions::default() }
}

fn open_with(dir: &Path, options: StoreOptions) -> Store {
    Store::open(dir, options, Arc::new(ManualClock::at(at(0)))).unwrap().0
}

/// Appends a sample a minute to each of some pods, whose values tell pod and time.
fn fill(store: &Store, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let one = |pod: i64| {
            let sample = Sample { timestamp_ms: at(minute), value: (pod * 100_000 + minute) as f64 };
            (labels("m", &pod.to_string()), sample)
        };
        let done = store.append(&(0..5).map(one).collect::<Vec<_>>()).unwrap();
        assert_eq!(done.stored, 5, "{minute}");
    }
}

fn assert_whole(store: &Store, minutes: std::ops::Range<i64>) {
    let found = all(store);
    assert_eq!(found.len(), 5);
    for (pod, series) in (0i64..).zip(found) {
        let wanted: Vec<Sample> = (minutes.clone())
            .map(|minute| Sample { timestamp_ms: at(minute), value: (pod * 100_000 + minute) as f64 })
            .collect();
        assert_eq!(series.samples, wanted, "pod {pod}");
    }
}

fn block_folders(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir.join("blocks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_time_without_samples_is_no_work() {
    const CENTURY: i64 = 100 * 365 * 24 * 60;
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), keep());
    fill(&store, 0..3);
    fill(&store, CENTURY..CENTURY + 3);
    tend(&store);
    assert_eq!(store.stats().blocks, 1, "what is a century old; not a look at each two hours since");
    assert_eq!(all(&store).iter().map(|series| series.samples.len()).sum::<usize>(), 5 * 6);
}

#[test]
fn full_windows_become_blocks_and_leave_memory_and_log() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(at(0));
    let store = Store::open(dir.path(), keep(), Arc::new(clock.clone())).unwrap().0;
    for hour in 0..7 {
        fill(&store, hour * 60..(hour + 1) * 60);
        clock.advance_ms(3_600_000);
    }
    let before = store.stats();
    tend(&store);
    let after = store.stats();
    assert_eq!(after.blocks, 2, "four of seven hours");
    assert!(after.wal_bytes < before.wal_bytes && after.upkeep_failed.iter().all(|(_, count)| *count == 0));
    assert_whole(&store, 0..420);
    assert!(store.head.oldest_ms(i64::MIN).unwrap() > at(0), "{before:?} {after:?}");
    drop(store);
    let store = open_with(dir.path(), keep());
    assert_whole(&store, 0..420);
    fill(&store, 420..430);
    assert_whole(&store, 0..430);
    let refused = store.append(&[(labels("new", "1"), Sample { timestamp_ms: at(239), value: 1.0 })]).unwrap();
    assert_eq!((refused.too_old, refused.stored), (1, 0), "its block is sealed");
}

#[test]
fn an_end_between_any_two_steps_loses_nothing_and_doubles_nothing() {
    // Each step leaves the folder as it would be found after an end just then.
    type Step = fn(&Path, &Path);
    let steps: [(&str, Step); 3] = [
        ("before the block has its name", |dir, sealed| {
            let block = block_folders(sealed).remove(0);
            let unfinished = dir.join("blocks").join(block.file_name().unwrap()).with_extension("tmp");
            fs::create_dir(&unfinished).unwrap();
            for file in fs::read_dir(block).unwrap().map(|file| file.unwrap()).take(2) {
                fs::copy(file.path(), unfinished.join(file.file_name())).unwrap();
            }
        }),
        ("before the log is cut", |dir, sealed| {
            let block = block_folders(sealed).remove(0);
            let same = dir.join("blocks").join(block.file_name().unwrap());
            fs::create_dir(&same).unwrap();
            for file in fs::read_dir(block).unwrap().map(|file| file.unwrap()) {
                fs::copy(file.path(), same.join(file.file_name())).unwrap();
            }
        }),
        ("before anything", |_, _| {}),
    ];
    for (name, step) in steps {
        let (dir, sealed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [dir.path(), sealed.path()] {
            fill(&open_with(folder, keep()), 0..200);
        }
        tend(&open_with(sealed.path(), keep()));
        step(dir.path(), sealed.path());
        for _ in 0..2 {
            let store = open_with(dir.path(), keep());
            assert_whole(&store, 0..200);
            tend(&store);
            assert_whole(&store, 0..200);
            assert_eq!(store.stats().blocks, 1, "{name}");
        }
        let samples: u64 = open_with(dir.path(), keep()).blocks.list().iter().map(|b| b.meta.stats.num_samples).sum();
        assert_eq!(samples, 5 * 120, "{name}");
    }
}

#[test]
fn a_head_that_takes_too_much_memory_is_sealed_early() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), StoreOptions { head_bytes_max: 1_000, ..keep() });
    for seconds in 0..1_500 {
        store
            .append(&[(labels("m", "0"), Sample { timestamp_ms: at(0) + seconds * 1_000, value: seconds as f64 })])
            .unwrap();
    }
    let before = store.head_bytes();
    tend(&store);
    assert!(store.head_bytes() < before / 2, "{before} {}", store.head_bytes());
    assert_eq!(store.stats().blocks, 1);
    assert_eq!(all(&store)[0].samples.len(), 1_500);
}

#[test]
fn blocks_are_merged_and_outlived() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(at(0));
    let options = StoreOptions { retention: Duration::from_secs(15 * 86_400), ..keep() };
    let store = Store::open(dir.path(), options.clone(), Arc::new(clock.clone())).unwrap().0;
    let hours = 30;
    for hour in 0..hours {
        fill(&store, hour * 60..(hour + 1) * 60);
        tend(&store);
    }
    assert_whole(&store, 0..hours * 60);
    let levels: Vec<u32> = store.blocks.list().iter().map(|block| block.meta.compaction.level).collect();
    assert_eq!(levels, [3, 2, 1, 1], "18 h, 6 h, 2 h, 2 h");
    assert_eq!(block_folders(dir.path()).len(), 4, "what was merged is gone");
    assert!(store.stats().blocks_merged >= 5);
    drop(store);
    assert_whole(&open_with(dir.path(), keep()), 0..hours * 60);
    clock.advance_ms(15 * 86_400_000 + 19 * 3_600_000);
    let store = Store::open(dir.path(), options, Arc::new(clock)).unwrap().0;
    tend(&store);
    assert_eq!(store.stats().blocks_outlived, 1);
    assert_whole(&store, 18 * 60..hours * 60);
    drop(store);
    let bytes = open_with(dir.path(), keep()).stats().block_bytes;
    let store = open_with(dir.path(), StoreOptions { retention_bytes: Some(bytes), ..keep() });
    tend(&store);
    assert!(store.stats().blocks < 3, "the log counts too");
}

#[test]
fn late_samples_are_kept_within_the_window_and_survive_everything() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { late_window: Duration::from_secs(4 * 3_600), ..keep() };
    let late = |store: &Store, minute: i64, value: f64| {
        store.append(&[(labels("m", "0"), Sample { timestamp_ms: at(minute) + 1, value })]).unwrap()
    };
    let store = open_with(dir.path(), options.clone());
    fill(&store, 100..300);
    assert_eq!(late(&store, 290, 1.0).stored, 1);
    assert_eq!(late(&store, 290, 1.0).stored, 1, "the same again");
    assert_eq!(late(&store, 290, 2.0).duplicate, 1);
    assert_eq!(late(&store, 70, 3.0).stored, 1, "older than anything, within the window");
    assert_eq!(late(&store, 50, 4.0).too_old, 1);
    let wanted = |store: &Store| {
        let found = &all(store)[0].samples;
        let odd: Vec<(i64, f64)> = found
            .iter()
            .filter(|s| (s.timestamp_ms - at(0)) % 60_000 == 1)
            .map(|s| ((s.timestamp_ms - at(0)) / 60_000, s.value))
            .collect();
        assert!(found.is_sorted_by_key(|sample| sample.timestamp_ms));
        (found.len(), odd)
    };
    let expected = (202, vec![(70, 3.0), (290, 1.0)]);
    assert_eq!(wanted(&store), expected);
    assert_eq!((store.stats().late, store.stats().too_old), (2, 1));
    drop(store);
    let store = open_with(dir.path(), options.clone());
    assert_eq!(wanted(&store), expected, "read back from its log");
    tend(&store);
    assert_eq!(store.late.count(), 0);
    assert_eq!(wanted(&store), expected, "sealed");
    assert_eq!(store.latest(&[], at(0), at(71), &Unmetered).unwrap()[0].1.timestamp_ms(), at(70) + 1);
    for hour in 5..12 {
        fill(&store, hour * 60..(hour + 1) * 60);
        tend(&store);
    }
    assert_eq!(wanted(&store).1, expected.1, "merged");
    let overlapping =
        store.blocks.list().windows(2).filter(|pair| pair[1].meta.min_time < pair[0].meta.max_time).count();
    assert_eq!(overlapping, 0);
    drop(store);
    let store = open_with(dir.path(), options);
    assert_eq!(wanted(&store).1, expected.1);
    store.set_late_window(Duration::ZERO);
    assert_eq!(late(&store, 700, 5.0).out_of_order, 1, "as without a window");
}

#[test]
fn a_snapshot_is_a_data_folder_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { late_window: Duration::from_secs(3_600), ..keep() };
    let store = open_with(dir.path(), options);
    fill(&store, 0..250);
    tend(&store);
    store.append(&[(labels("late", "0"), Sample { timestamp_ms: at(240), value: 7.0 })]).unwrap();
    store.append(&[(labels("late", "0"), Sample { timestamp_ms: at(235), value: 8.0 })]).unwrap();
    let series = all(&store);
    let name = store.snapshot(false).unwrap();
    let copy = open_with(&dir.path().join("snapshots").join(&name), keep());
    assert_eq!(all(&copy), series);
    let blocks_only = store.snapshot(true).unwrap();
    let copy = open_with(&dir.path().join("snapshots").join(blocks_only), keep());
    assert_whole(&copy, 0..120);
    assert_eq!(all(&store), series, "the store is as before");
}

#[test]
fn a_damaged_block_is_said_and_the_rest_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), keep());
    fill(&store, 0..400);
    tend(&store);
    assert_eq!(store.stats().blocks, 2);
    let first = store.blocks.list()[0].folder.join("samples.parquet");
    let mut content = fs::read(&first).unwrap();
    content[100] ^= 1;
    fs::write(&first, &content).unwrap();
    let failed = store.select(&[], at(0), at(400), &Unmetered);
    assert!(matches!(&failed, Err(SelectError::Block { path, .. }) if *path == first), "{failed:?}");
    assert_eq!(store.select(&[], at(120), at(400), &Unmetered).unwrap()[0].samples.len(), 280);
    assert_eq!(store.stats().block_failed, 1);
    drop(store);
    let store = open_with(dir.path(), keep());
    assert_eq!((store.stats().blocks, store.stats().blocks_damaged), (1, 1));
    assert_whole(&store, 120..400);
}

#[test]
fn histograms_are_sealed_with_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), keep());
    let series = store.resolve(&labels("h", "1"));
    for minute in 0..200 {
        let histogram = Arc::new(Histogram { count: minute as f64, sum: 1.5, ..Histogram::default() });
        let sample = HistogramSample { timestamp_ms: at(minute), histogram };
        store.append_histograms(&[(series, sample)], &mut Vec::new()).unwrap();
    }
    let before = all(&store);
    tend(&store);
    assert_eq!((all(&store), store.stats().blocks), (before, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order, the store answers as a plain map would, through sealing, merging and reopening.
    #[test]
    fn answers_as_a_map_would(
        steps in prop::collection::vec((0u8..3, prop::collection::vec((0usize..4, -150i64..60), 1..40)), 1..20)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { late_window: Duration::from_secs(3 * 3_600), ..keep() };
        let mut store = open_with(dir.path(), options.clone());
        let mut model: BTreeMap<(String, i64), f64> = BTreeMap::new();
        let mut now = 0;
        for (action, batch) in steps {
            for (pod, minutes) in batch {
                let (name, time, value) = (pod.to_string(), at(now + minutes), model.len() as f64);
                let done = store.append(&[(labels("m", &name), Sample { timestamp_ms: time, value })]).unwrap();
                if done.stored == 1 {
                    model.entry((name, time)).or_insert(value);
                }
            }
            now += 45;
            match action {
                0 => tend(&store),
                1 => {
                    drop(store);
                    store = open_with(dir.path(), options.clone());
                }
                _ => {}
            }
            let found: BTreeMap<(String, i64), f64> = all(&store).iter().flat_map(|series| {
                let name = series.labels.get("pod").unwrap().to_owned();
                series.samples.iter().map(move |s| ((name.clone(), s.timestamp_ms), s.value)).collect::<Vec<_>>()
            }).collect();
            let wrong: Vec<_> = model.iter().filter(|(key, value)| found.get(key) != Some(value)).collect();
            prop_assert!(wrong.is_empty(), "{:?} and not {:?}", wrong.iter().map(|(key, _)| found.get(key)).collect::<Vec<_>>(), wrong);
            prop_assert_eq!(found.len(), model.len());
            let count: usize = all(&store).iter().map(|series| series.samples.len()).sum();
            prop_assert_eq!(count, model.len());
        }
    }
}
