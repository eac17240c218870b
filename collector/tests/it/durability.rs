//! A collector in a process of its own is killed at any moment; what it acknowledged is there when the next one opens.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use collector::series::{Appendable, Labels, Queryable, Sample, Unmetered};
use collector::store::{Store, StoreOptions};
use lifecycle::ManualClock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::running::{Running, Target, scrape};

/// Set in the process that is to be killed: the folder of its store.
const FOLDER: &str = "PLIMSOLL_TEST_STORE";

/// Set in the process whose disk is full for a while: the folder of its store.
const FULL: &str = "PLIMSOLL_TEST_FULL_DISK";

/// Times it is killed.
const KILLS: u64 = 8;

/// Minute of the samples that come late.
const LATE_MINUTE: i64 = 190;

/// Series of each batch.
const SERIES: i64 = 50;

fn open(folder: &Path) -> Store {
    let (retention, late_window) = (Duration::from_secs(1 << 30), Duration::from_secs(3_600));
    let options = StoreOptions { retention, late_window, ..StoreOptions::default() };
    Store::open(folder, options, Arc::new(ManualClock::at(0))).unwrap().0
}

fn batch(number: i64) -> Vec<(Labels, Sample)> {
    let sample = Sample { timestamp_ms: number, value: number as f64 };
    (0..SERIES).map(|s| (Labels::new([("__name__", "m".to_owned()), ("s", s.to_string())]), sample)).collect()
}

/// Not a test of its own: appends batches, acknowledging each on standard output, until it is killed.
#[test]
fn appends_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    let newest =
        store.latest(&[], i64::MIN, i64::MAX, &Unmetered).unwrap().first().map_or(0, |(_, point)| point.timestamp_ms());
    for number in newest + 1.. {
        store.append(&batch(number)).unwrap();
        println!("acknowledged {number}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["durability::appends_until_killed", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers = lines.by_ref().filter_map(|l| l.ok()?.split_once("acknowledged ")?.1.parse::<i64>().ok());
        // Each time a little later.
        let last = numbers.take(20 + 97 * usize::try_from(kill).unwrap()).last();
        child.kill().unwrap();
        child.wait().unwrap();
        let rest = lines.filter_map(|l| l.ok()?.split_once("acknowledged ")?.1.parse::<i64>().ok()).last();
        acknowledged = acknowledged.max(last.unwrap()).max(rest.unwrap_or(0));

        let store = open(folder.path());
        let found = store.select(&[], i64::MIN, i64::MAX, &Unmetered).unwrap();
        assert_eq!(found.len(), usize::try_from(SERIES).unwrap());
        for series in found {
            let whole = series.samples.iter().zip(1..).all(|(s, number)| s.timestamp_ms == number);
            assert!(whole && series.samples.len() >= usize::try_from(acknowledged).unwrap(), "{}", series.labels);
        }
    }
}

/// How the disk is filled: no file may grow, as if nothing were free. Lifted again it is as if there were room.
fn files_may_grow(may: bool) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: if may { maximum } else { Some(0) }, maximum }).unwrap();
}

/// Not a test of its own: a store whose disk is full for a while, in a process that may be limited.
#[test]
fn goes_on_over_a_full_disk() {
    let Some(folder) = std::env::var_os(FULL) else { return };
    let store = open(Path::new(&folder));
    let at = |minutes: i64| -> Vec<(Labels, Sample)> {
        let timestamp_ms = minutes * 60_000;
        batch(1).into_iter().map(|(labels, sample)| (labels, Sample { timestamp_ms, ..sample })).collect()
    };
    let newest = |store: &Store| store.latest(&[], 0, i64::MAX, &Unmetered).unwrap()[0].1.timestamp_ms() / 60_000;
    (0..=200).for_each(|minutes| assert_eq!(store.append(&at(minutes)).unwrap().stored, 50));
    files_may_grow(false);
    // As a sender that has waited: two samples of each series at once.
    let waited = [at(201), at(202)].concat();
    let error = store.append(&waited).unwrap_err().to_string();
    assert!(error.contains("the write-ahead log could not be written: "), "{error}");
    assert!(store.append(&waited).is_err());
    store.tend(&|| false);
    let stats = store.stats();
    assert_eq!((stats.log_failed, stats.blocks, stats.upkeep_failed[0]), (200, 0, ("seal", 1)));
    assert!(stats.log_failing);
    assert_eq!(newest(&store), 200, "reads go on, and find what is in the log");
    files_may_grow(true);
    assert_eq!(store.append(&waited).unwrap().stored, 100, "the sender tries again");
    assert_eq!(store.append(&at(203)).unwrap().stored, 50);
    store.tend(&|| false);
    assert_eq!(store.stats().blocks, 1);
    let late = |ms: i64| -> Vec<(Labels, Sample)> {
        let later =
            |(labels, sample): (Labels, Sample)| (labels, Sample { timestamp_ms: sample.timestamp_ms + ms, ..sample });
        at(LATE_MINUTE).into_iter().map(later).collect()
    };
    assert_eq!(store.append(&late(1)).unwrap().stored, 50);
    files_may_grow(false);
    assert!(store.append(&[late(2), late(3)].concat()).is_err());
    files_may_grow(true);
    assert_eq!(store.append(&[late(2), late(3)].concat()).unwrap().stored, 100, "the sender of late samples too");
    println!("went on");
}

#[test]
fn a_full_disk_is_said_costs_no_read_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    // A process that meets the limit gets an error instead of a signal only if it ignores the signal, and inherits that.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["durability::goes_on_over_a_full_disk", "--exact", "--nocapture"])
        .env(FULL, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("went on"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let store = open(folder.path());
    for series in store.select(&[], 0, i64::MAX, &Unmetered).unwrap() {
        let minutes: Vec<i64> = series.samples.iter().map(|sample| sample.timestamp_ms / 60_000).collect();
        assert!((0..=203).all(|minute| minutes.contains(&minute)), "{minutes:?}");
        assert_eq!(minutes.iter().filter(|minute| **minute == LATE_MINUTE).count(), 4, "three of them late");
    }
}

#[tokio::test]
async fn a_collector_that_is_dropped_answers_for_the_time_before() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\n");
    let mut running_tasks = JoinSet::new();
    let config = scrape(&[&target.address]);
    let first = Running::start(&mut running_tasks, folder.path(), &config).await;
    first.becomes("count_over_time(a[5m]) >= bool 5", 1.0).await;
    let before = first.query("count_over_time(a[5m])").await;
    drop(first);
    running_tasks.shutdown().await;

    target.prints("b 1\n");
    let second = Running::start(&mut running_tasks, folder.path(), &config).await;
    let after = second.query("count_over_time(a[5m])").await;
    assert!(after[0].1 >= before[0].1, "{before:?} {after:?}");
    second.becomes("b", 1.0).await;
}
