//! The three probes of a replica while its process runs: startup first, then readiness and liveness side by side.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Replica, Report};
use crate::local::manifest::model::Probe;
use crate::local::probe::ask;

/// Until a replica is ready for the first time it is asked this often, whatever `periodSeconds` and
/// `initialDelaySeconds` say: loopback is cheap, and a start should take no longer than the replica needs.
const POLL_AT_START: Duration = Duration::from_millis(50);

/// A replica that is not ready after this long waits for something: `periodSeconds` then is often enough.
const POLL_AT_START_FOR: Duration = Duration::from_secs(30);

/// A replica that is not ready after this long has its failing probe shown; most are ready well before.
const LATE: Duration = Duration::from_secs(2);

impl Replica {
    /// Reports changes of readiness; returns with the reason when a probe wants the replica started again.
    pub(super) async fn watch_probes(&self) -> String {
        if let Some(startup) = &self.startup
            && let Err(reason) = self.wait_for_start(startup).await
        {
            return reason;
        }
        let liveness = async {
            match &self.liveness {
                Some(probe) => self.watch_liveness(probe).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = liveness => reason,
            () = self.watch_readiness() => std::future::pending().await,
        }
    }

    async fn wait_for_start(&self, probe: &Probe) -> Result<(), String> {
        let deadline = Instant::now() + probe.initial_delay + probe.period * probe.failures;
        loop {
            match ask(probe, self.ip).await {
                Ok(()) => return Ok(()),
                Err(reason) if Instant::now() >= deadline => return Err(format!("startup probe: {reason}")),
                Err(_) => sleep(POLL_AT_START).await,
            }
        }
    }

    async fn watch_readiness(&self) {
        let Some(probe) = &self.readiness else {
            self.report(Report::Ready).await;
            return std::future::pending().await;
        };
        let mut ready = false;
        let mut ready_before = false;
        let mut in_a_row = 0;
        let (began, mut told) = (Instant::now(), false);
        loop {
            let answer = ask(probe, self.ip).await;
            let starting = !ready_before && began.elapsed() < POLL_AT_START_FOR;
            let pause = if starting { POLL_AT_START } else { probe.period };
            in_a_row = if answer.is_ok() == ready { 0 } else { in_a_row + 1 };
            match answer {
                Ok(()) if !ready && in_a_row >= probe.successes => {
                    (ready, ready_before, in_a_row) = (true, true, 0);
                    self.report(Report::Ready).await;
                }
                Err(reason) if ready && in_a_row >= probe.failures => {
                    (ready, in_a_row) = (false, 0);
                    self.report(Report::NotReady { reason: format!("readiness probe: {reason}") }).await;
                }
                Err(reason) if !ready_before && !told && began.elapsed() >= LATE => {
                    told = true;
                    self.report(Report::NotReady { reason: format!("readiness probe: {reason}") }).await;
                }
                _ => {}
            }
            sleep(pause).await;
        }
    }

    async fn watch_liveness(&self, probe: &Probe) -> String {
        sleep(probe.initial_delay).await;
        let mut failures = 0;
        loop {
            sleep(probe.period).await;
            match ask(probe, self.ip).await {
                Ok(()) => failures = 0,
                Err(reason) => {
                    failures += 1;
                    if failures >= probe.failures {
                        return format!("liveness probe: {reason}");
                    }
                }
            }
        }
    }
}
