//! The store's tasks: each wakes the store for what is due, and knows nothing of how it is done.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::store::Store;

/// How often it is looked what is to be sealed, merged and forgotten. Each time costs a look at every series: Prometheus' number.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Seals, merges and forgets what is due.
pub(super) async fn upkeep(store: Arc<Store>, shutdown: CancellationToken) -> Result<(), String> {
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let (store, stop) = (store.clone(), shutdown.clone());
        let work = tokio::task::spawn_blocking(move || store.tend(&|| stop.is_cancelled()));
        work.await.map_err(|error| error.to_string())?;
    }
}

/// Forces the log to the disk at intervals.
pub(super) async fn sync(store: Arc<Store>, period: Duration, shutdown: CancellationToken) -> Result<(), String> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let store = store.clone();
        let work = tokio::task::spawn_blocking(move || store.sync());
        if let Err(error) = work.await.map_err(|error| error.to_string())? {
            tracing::error!(%error, "the write-ahead log could not be forced to the disk");
        }
    }
}

/// Puts in force what a reload has changed of the store's configuration.
pub(super) async fn store_settings(
    store: Arc<Store>,
    mut configs: watch::Receiver<Arc<Config>>,
    shutdown: CancellationToken,
) -> Result<(), String> {
    let retention = configs.borrow().retention;
    loop {
        let (late_window, wanted) = {
            let config = configs.borrow_and_update();
            (config.late_window, config.retention)
        };
        store.set_late_window(late_window);
        if wanted != retention {
            tracing::warn!(
                "storage.tsdb.retention has changed: that comes into force when the collector is started again"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            // At the end whoever changes them may be gone first: that is no failure.
            Ok(()) = configs.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests;
