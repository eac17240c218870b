//! `/healthz` and `/readyz` of the autoscaler: ready means that it sees the cluster, knows its policies and has gone through a
//! tick, as a leader or as a follower. Says in words what is missing; finds nothing out by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use parking_lot::Mutex;

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
pub struct Health(Arc<Mutex<BTreeMap<Part, String>>>);

impl Default for Health {
    /// Not ready before the first tick.
    fn default() -> Self {
        let missing = BTreeMap::from([(Part::Tick, "the first tick has not gone through".to_owned())]);
        Self(Arc::new(Mutex::new(missing)))
    }
}

impl Health {
    /// Says what a part misses; `None` when it is well.
    pub fn set(&self, part: Part, missing: Option<String>) {
        let mut parts = self.0.lock();
        match missing {
            Some(missing) => parts.insert(part, missing),
            None => parts.remove(&part),
        };
    }

    /// Why it is not ready; empty when it is.
    pub fn missing(&self) -> Vec<String> {
        self.0.lock().values().cloned().collect()
    }

    /// The two routes: `/healthz` answers 200 while the process lives, `/readyz` 200, or 503 with a reason a line.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let health = self.clone();
        let ready = move || async move {
            let missing = health.missing();
            if missing.is_empty() {
                return (StatusCode::OK, "ok\n".to_owned());
            }
            let lines: String = missing.iter().map(|reason| format!("not ready: {reason}\n")).collect();
            (StatusCode::SERVICE_UNAVAILABLE, lines)
        };
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
    }
}
