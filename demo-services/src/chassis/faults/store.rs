//! Faults of a service's store: slow, away, or with its connections taken. Knows no service's tables.

use std::convert::Infallible;
use std::time::Duration;

use lifecycle::CancellationToken;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Sqlite, SqlitePool};
use tokio::sync::watch;

use super::{Active, FaultKind, Faults, Setting};

/// Where no file can be.
const NOWHERE: &str = "/proc/self/no-such-folder/store.db";
/// After a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// What every connection asks before it is used.
#[derive(Debug, Clone)]
pub(in crate::chassis) struct StoreFaults(watch::Receiver<Active>);

impl Default for StoreFaults {
    fn default() -> Self {
        Self(watch::channel(Active::default()).1)
    }
}

impl StoreFaults {
    pub(super) fn new(active: watch::Receiver<Active>) -> Self {
        Self(active)
    }

    /// Waits as long as the store is slow; says whether the connection still stands.
    pub async fn connection_holds(&self) -> bool {
        let (slow, down) = {
            let active = self.0.borrow();
            (active.time(FaultKind::SlowStore), active.is_on(FaultKind::StoreDown))
        };
        if let Some(slow) = slow {
            tokio::time::sleep(slow).await;
        }
        !down
    }
}

/// What is to be wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trouble {
    /// Connections that are taken.
    taken: usize,
    down: bool,
}

impl Trouble {
    fn of(active: &Active) -> Self {
        let taken = match active.setting(FaultKind::Pool) {
            Some(Setting::Connections(count)) => *count,
            _ => 0,
        };
        Self { taken, down: active.is_on(FaultKind::StoreDown) }
    }
}

impl Faults {
    /// Takes connections and lets none be made, as the faults `pool` and `store-down` ask, until shutdown.
    pub(super) async fn trouble_store(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let Some(store) = self.0.store.get().cloned() else {
            shutdown.cancelled().await;
            return Ok(());
        };
        let good = SqliteConnectOptions::clone(&store.connect_options());
        let mut changes = self.0.active.subscribe();
        let (mut taken, mut was_down) = (Vec::<PoolConnection<Sqlite>>::new(), false);
        loop {
            let trouble = Trouble::of(&changes.borrow_and_update());
            if trouble.down != was_down {
                let nowhere = || SqliteConnectOptions::new().filename(NOWHERE);
                store.set_connect_options(if trouble.down { nowhere() } else { good.clone() });
                was_down = trouble.down;
            }
            taken.truncate(trouble.taken);
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = changes.changed() => {}
                connection = take(&store), if taken.len() < trouble.taken => taken.extend(connection),
            }
        }
    }
}

/// A connection, unless others have them all.
async fn take(store: &SqlitePool) -> Option<PoolConnection<Sqlite>> {
    match store.acquire().await {
        Ok(connection) => Some(connection),
        Err(_) => {
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}
