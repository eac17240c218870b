//! `/healthz` and `/readyz`, the same for every program. Healthy means: a restart would not help. Ready means: it would serve a
//! request now. What is away, such as a server that this one asks, makes a program unready at most, and never unhealthy.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tokio::time::Instant;

/// Whether the process lives: it has all its tasks, and those that go round do. Clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<Mutex<Vitals>>);

#[derive(Debug, Default)]
struct Vitals {
    /// A task that ended, with its reason.
    lost: Option<String>,
    pulses: Vec<Pulse>,
    next: u64,
}

#[derive(Debug)]
struct Pulse {
    id: u64,
    task: String,
    patience: Duration,
    last: Instant,
}

impl Liveness {
    /// From now on the task must beat: no two beats may lie further apart than `patience`. It is expected until the heartbeat is
    /// dropped.
    pub fn expect(&self, task: &str, patience: Duration) -> Heartbeat {
        let mut vitals = self.vitals();
        let id = vitals.next;
        vitals.next += 1;
        vitals.pulses.push(Pulse { id, task: task.to_owned(), patience, last: Instant::now() });
        drop(vitals);
        Heartbeat { liveness: self.clone(), id }
    }

    /// Says that a task is gone for good; the first one is told of.
    pub fn lose(&self, reason: impl Display) {
        self.vitals().lost.get_or_insert_with(|| reason.to_string());
    }

    /// Why the process is of no use any more; `None` while it lives.
    pub fn trouble(&self) -> Option<String> {
        let vitals = self.vitals();
        let silent = || {
            let pulse = vitals.pulses.iter().find(|pulse| pulse.last.elapsed() > pulse.patience)?;
            let (task, patience) = (&pulse.task, pulse.patience.as_secs_f64());
            let silence = pulse.last.elapsed().as_secs();
            Some(format!("{task} has not gone on for {silence} s, and should every {patience} s at least"))
        };
        vitals.lost.clone().or_else(silent)
    }

    fn vitals(&self) -> MutexGuard<'_, Vitals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells that a task goes on.
#[derive(Debug)]
pub struct Heartbeat {
    liveness: Liveness,
    id: u64,
}

impl Heartbeat {
    /// The task has gone on.
    pub fn beat(&self) {
        let mut vitals = self.liveness.vitals();
        if let Some(pulse) = vitals.pulses.iter_mut().find(|pulse| pulse.id == self.id) {
            pulse.last = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    /// Whoever dropped it has ended; if that was too soon, its supervisor says so.
    fn drop(&mut self) {
        self.liveness.vitals().pulses.retain(|pulse| pulse.id != self.id);
    }
}

/// Whether a program would serve a request now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What it needs for that and does not have; ready when there is none.
    pub missing: Vec<String>,
    /// What an engineer should know although it is ready.
    pub notes: Vec<String>,
}

/// The two routes: `/healthz` answers 200, or 503 when the process is of no use any more; `/readyz` answers 200, or 503 with a line
/// for each reason. Notes are lines of either answer.
pub fn routes<S: Clone + Send + Sync + 'static>(
    liveness: &Liveness,
    report: impl Fn() -> Report + Clone + Send + Sync + 'static,
) -> Router<S> {
    routes_at(["/healthz", "/readyz"], liveness, report)
}

/// The same at other paths.
pub fn routes_at<S: Clone + Send + Sync + 'static>(
    [healthy_path, ready_path]: [&str; 2],
    liveness: &Liveness,
    report: impl Fn() -> Report + Clone + Send + Sync + 'static,
) -> Router<S> {
    let liveness = liveness.clone();
    let lives = move || async move {
        match liveness.trouble() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not healthy: {reason}\n")),
        }
    };
    let ready = move || async move {
        let Report { missing, notes } = report();
        let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
        if missing.is_empty() {
            return (StatusCode::OK, format!("ok\n{notes}"));
        }
        let reasons: String = missing.iter().map(|reason| format!("not ready: {reason}\n")).collect();
        (StatusCode::SERVICE_UNAVAILABLE, reasons + &notes)
    };
    Router::new().route(healthy_path, get(lives)).route(ready_path, get(ready))
}

/// Whether the program wants traffic; starts as no.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says that the program wants traffic, or no longer does.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    /// Whether the program wants traffic.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The same with what an engineer should know.
    pub fn report(&self, notes: Vec<String>) -> Report {
        let missing = (!self.is_ready()).then(|| "it is starting or ending".to_owned());
        Report { missing: missing.into_iter().collect(), notes }
    }

    /// The two routes, without notes.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self, liveness: &Liveness) -> Router<S> {
        let readiness = self.clone();
        routes(liveness, move || readiness.report(Vec::new()))
    }
}

#[cfg(test)]
mod tests;
