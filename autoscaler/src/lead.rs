//! Whether this process leads, as the loop, the writer of statuses and the API ask it. Without an election it always does.
//! Elects nobody: see `cluster::kubernetes::lease`.

use cluster::kubernetes::lease::Standing;
use tokio::sync::watch;

/// Tells who leads. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Lead {
    standing: Option<watch::Receiver<Standing>>,
}

impl Lead {
    /// As an election says.
    pub fn elected(standing: watch::Receiver<Standing>) -> Self {
        Self { standing: Some(standing) }
    }

    /// Whether this process leads.
    pub fn is_ours(&self) -> bool {
        self.standing.as_ref().is_none_or(|standing| matches!(*standing.borrow(), Standing::Leading))
    }

    /// Who leads, as the election sees it; `None` without one.
    pub fn standing(&self) -> Option<Standing> {
        self.standing.as_ref().map(|standing| standing.borrow().clone())
    }

    /// Why it is not known who leads; `None` when it is, and without an election.
    pub fn trouble(&self) -> Option<String> {
        let standing = self.standing.as_ref()?;
        if standing.has_changed().is_err() {
            return Some("the election has ended".to_owned());
        }
        match &*standing.borrow() {
            Standing::Nobody { reason } => Some(format!("no autoscaler leads, as far as is known: {reason}")),
            Standing::Leading | Standing::Following { .. } => None,
        }
    }

    /// Resolves when the lead is won; never without an election.
    pub async fn won(&mut self) {
        let Some(standing) = &mut self.standing else { return std::future::pending().await };
        loop {
            if standing.changed().await.is_err() {
                return std::future::pending().await;
            }
            if matches!(*standing.borrow_and_update(), Standing::Leading) {
                return;
            }
        }
    }

    /// The number from which on a new leader counts its records, so that they come after those of any leader before: no
    /// autoscaler makes a record a millisecond. Zero without an election.
    pub fn sequence_floor(&self, now_ms: i64) -> u64 {
        if self.standing.is_none() { 0 } else { u64::try_from(now_ms).unwrap_or(0) }
    }
}
