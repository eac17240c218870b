//! Faults of the process' threads: CPU that is burnt beside the work, and pauses in which nothing runs at all.

use std::convert::Infallible;
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{Active, FaultKind, Faults, Setting};
use crate::chassis::work;

/// Between two pauses: collectors of garbage that fall behind run about as often.
const PAUSE_EVERY: Duration = Duration::from_secs(1);

impl Active {
    fn cores(&self) -> f64 {
        match self.setting(FaultKind::Cpu) {
            Some(Setting::Cores(cores)) => *cores,
            _ => 0.0,
        }
    }
}

impl Faults {
    /// Burns the CPU that the fault `cpu` asks for, until shutdown.
    pub(super) async fn burn_cpu(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut changes = self.0.active.subscribe();
        loop {
            let cores = changes.borrow_and_update().cores();
            let stop = shutdown.child_token();
            let mut burners = JoinSet::new();
            let mut left = cores;
            while left > 0.0 {
                let (share, stop) = (left.min(1.0), stop.clone());
                burners.spawn_blocking(move || work::burn_share(share, || stop.is_cancelled()));
                left -= 1.0;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = changes.wait_for(|active| active.cores() != cores) => {}
            }
            stop.cancel();
            while burners.join_next().await.is_some() {}
            if shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Stops all threads as the fault `pause` asks, again and again until shutdown.
    pub(super) async fn pause_threads(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut changes = self.0.active.subscribe();
        loop {
            let pause = changes.borrow_and_update().time(FaultKind::Pause);
            if let Some(pause) = pause {
                stop_the_world(pause).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = changes.changed() => {}
                () = tokio::time::sleep(PAUSE_EVERY), if pause.is_some() => {}
            }
        }
    }
}

/// Keeps every thread that runs tasks from doing so.
async fn stop_the_world(pause: Duration) {
    let until = std::time::Instant::now() + pause;
    let mut stops = JoinSet::new();
    for _ in 0..Handle::current().metrics().num_workers() {
        // A thread that gets to its second stop finds that the time is over.
        stops.spawn(async move { std::thread::sleep(until.saturating_duration_since(std::time::Instant::now())) });
    }
    while stops.join_next().await.is_some() {}
}
