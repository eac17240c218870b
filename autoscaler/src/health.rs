//! `/healthz` and `/readyz` of the autoscaler: ready means that it sees the cluster, knows its policies, has gone through a tick, and
//! leads or knows who does. Says in words what is missing; finds nothing out by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use lifecycle::Liveness;
use lifecycle::health::{Report, routes};
use parking_lot::Mutex;

use crate::lead::Lead;

/// What readiness depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The cluster lists its workloads.
    Cluster,
    /// The policies are known.
    Policies,
    /// The custom resource has a status that takes what is written.
    Statuses,
    /// A tick went through.
    Tick,
}

/// What is missing, by part; ready when nothing is. Clones see the same.
#[derive(Debug, Clone)]
pub struct Health {
    missing: Arc<Mutex<BTreeMap<Part, String>>>,
    lead: Lead,
    liveness: Liveness,
}

impl Default for Health {
    /// Without an election.
    fn default() -> Self {
        Self::new(Lead::default(), Liveness::default())
    }
}

impl Health {
    /// Not ready before the first tick, nor while nobody leads.
    pub fn new(lead: Lead, liveness: Liveness) -> Self {
        let missing = BTreeMap::from([(Part::Tick, "the first tick has not gone through".to_owned())]);
        Self { missing: Arc::new(Mutex::new(missing)), lead, liveness }
    }

    /// Whether the process lives.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Says what a part misses; `None` when it is well.
    pub fn set(&self, part: Part, missing: Option<String>) {
        let mut parts = self.missing.lock();
        match missing {
            Some(missing) => parts.insert(part, missing),
            None => parts.remove(&part),
        };
    }

    /// Why it is not ready; empty when it is.
    pub fn missing(&self) -> Vec<String> {
        let lead = self.lead.trouble();
        lead.into_iter().chain(self.missing.lock().values().cloned()).collect()
    }

    /// `/healthz` and `/readyz`.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let health = self.clone();
        routes(&self.liveness, move || Report { missing: health.missing(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests;
