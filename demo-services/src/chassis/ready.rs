//! `/healthz` and `/readyz` of a service: ready once it has started and every gate is open, not ready once it shall stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use parking_lot::Mutex;

/// Whether a replica wants traffic.
#[derive(Debug, Clone, Default)]
pub(super) struct Ready(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    serving: AtomicBool,
    waits_for: Mutex<BTreeSet<&'static str>>,
}

/// Holds a replica back from traffic until [`Gate::open`] is called.
#[derive(Debug)]
pub struct Gate {
    ready: Ready,
    waits_for: &'static str,
}

impl Gate {
    /// What was waited for has come; may be called again.
    pub fn open(&self) {
        self.ready.0.waits_for.lock().remove(self.waits_for);
    }
}

impl Ready {
    pub fn gate(&self, waits_for: &'static str) -> Gate {
        self.0.waits_for.lock().insert(waits_for);
        Gate { ready: self.clone(), waits_for }
    }

    pub fn set(&self, serving: bool) {
        self.0.serving.store(serving, Ordering::SeqCst);
    }

    /// Whether it has started and shall not stop.
    pub fn is_serving(&self) -> bool {
        self.0.serving.load(Ordering::SeqCst)
    }

    /// `Ok`, or what is waited for.
    pub fn check(&self) -> Result<(), String> {
        if !self.is_serving() {
            return Err("starting or stopping".to_owned());
        }
        let waits_for = self.0.waits_for.lock();
        if waits_for.is_empty() {
            return Ok(());
        }
        Err(format!("waits for {}", waits_for.iter().copied().collect::<Vec<_>>().join(", ")))
    }

    pub fn routes(&self) -> Router {
        let ready = self.clone();
        let answer = move || async move {
            match ready.check() {
                Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            }
        };
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_once_serving_with_all_gates_open_and_says_what_it_waits_for() {
        let ready = Ready::default();
        let gate = ready.gate("the catalogue");
        assert_eq!(ready.check(), Err("starting or stopping".to_owned()));
        ready.set(true);
        assert_eq!(ready.check(), Err("waits for the catalogue".to_owned()));
        gate.open();
        assert_eq!(ready.check(), Ok(()));
        ready.set(false);
        assert!(ready.check().is_err());
    }
}
