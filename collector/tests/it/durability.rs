//! A collector in a process of its own is killed at any moment; what it acknowledged is there when the next one opens.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use collector::WalSync;
use collector::series::{Appendable, Labels, Queryable, Sample, Unmetered};
use collector::store::{HEAD_BYTES_MAX, Store, StoreOptions};
use lifecycle::ManualClock;
use tokio::task::JoinSet;

use crate::running::{Running, Target, scrape};

/// Set in the process that is to be killed: the folder of its store.
const FOLDER: &str = "PLIMSOLL_TEST_STORE";

/// Times it is killed.
const KILLS: u64 = 8;

/// Series of each batch.
const SERIES: i64 = 50;

fn open(folder: &Path) -> Store {
    let options =
        StoreOptions { retention: Duration::from_secs(1 << 30), wal_sync: WalSync::Os, head_bytes_max: HEAD_BYTES_MAX };
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
