//! A store in a folder of its own, and all that is in it, comparable bit by bit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use collector::series::{Queryable, SeriesSamples, Unmetered};
use collector::store::{Replayed, Store, StoreOptions};
use lifecycle::ManualClock;
use tempfile::TempDir;

/// The time of all clocks here: the beginning of a window of two hours, so that sealing comes at the same time in every run.
pub const NOW_MS: i64 = 236_111 * 7_200_000;

/// Long enough for every time that an input may hold.
const RETENTION: Duration = Duration::from_secs(1 << 32);

/// How late samples may be.
const LATE_WINDOW: Duration = Duration::from_secs(3_600);

/// A new folder, gone when this is dropped. On a file system in memory it takes a tenth of the time: see `TMPDIR`.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

/// The options of all stores here.
pub fn options() -> StoreOptions {
    StoreOptions { retention: RETENTION, late_window: LATE_WINDOW, ..StoreOptions::default() }
}

/// Opens a store; whatever is in the folder, that must succeed.
pub fn open(dir: &Path) -> (Store, Replayed) {
    Store::open(dir, options(), Arc::new(ManualClock::at(NOW_MS))).expect("damage is no reason not to start")
}

/// A series' labels, the bits of its numbers, and its histograms.
pub type Series = (String, Vec<(i64, u64)>, String);

/// Everything that a store holds.
pub fn everything(store: &dyn Queryable) -> Vec<Series> {
    let found = store.select(&[], i64::MIN, i64::MAX, &Unmetered).expect("nobody refuses and all blocks are well");
    comparable(found)
}

/// Samples that can be compared: of a NaN, too, the bits.
pub fn comparable(found: Vec<SeriesSamples>) -> Vec<Series> {
    let one = |series: SeriesSamples| {
        let numbers = series.samples.iter().map(|sample| (sample.timestamp_ms, sample.value.to_bits())).collect();
        (series.labels.to_string(), numbers, format!("{:?}", series.histograms))
    };
    found.into_iter().map(one).collect()
}
