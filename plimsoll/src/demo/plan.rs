//! The faults of a run, planned, on and past: what is asked for, and the ground truth of what was on and when. Whoever guesses
//! at what is wrong is never told. Switches nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle::{Clock, SystemClock};
use serde::Serialize;
use tokio::time::Instant;

use super::fault::FaultSpec;

/// Faults of one run: one every ten seconds for almost three hours.
const FAULTS_MAX: usize = 1_000;

/// How far a fault has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Waiting,
    On,
    /// Its time is over, but some replica has not heard of it yet.
    Ending,
    Over,
}

/// One fault, with what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: usize,
    pub spec: FaultSpec,
    pub state: State,
    /// The replicas of the zone that is cut off; of other kinds of fault all are struck.
    pub zone: Vec<SocketAddr>,
    /// Since the load began.
    began: Option<Duration>,
    ended: Option<Duration>,
}

/// The ground truth about one fault, in seconds since the load began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultReport {
    pub service: String,
    pub kind: &'static str,
    pub value: Option<String>,
    pub start: f64,
    /// None while it is on.
    pub end: Option<f64>,
}

/// A fault as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub id: usize,
    pub fault: String,
    pub service: String,
    pub kind: &'static str,
    pub value: Option<String>,
    pub state: State,
    /// Milliseconds since the epoch at which replicas began to be told of it; none before.
    pub began_ms: Option<i64>,
    /// Of the round in which the last one heard of its end.
    pub ended_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When the load began, by both clocks.
    load_began: Option<(Instant, i64)>,
    entries: Vec<Entry>,
}

/// The plan. Clones see the same one.
#[derive(Debug, Clone, Default)]
pub struct Plan(Arc<Mutex<Inner>>);

impl Plan {
    /// With these from the beginning.
    pub fn new(specs: &[FaultSpec]) -> Self {
        let plan = Self::default();
        plan.lock().entries.extend(specs.iter().enumerate().map(|(id, spec)| Entry::new(id, spec.clone())));
        plan
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The load begins now.
    pub fn begin(&self) {
        self.lock().load_began = Some((Instant::now(), SystemClock.now_ms()));
    }

    /// How long the load has gone on; none before it.
    pub fn elapsed(&self) -> Option<Duration> {
        self.lock().load_began.map(|(began, _)| began.elapsed())
    }

    /// Adds a fault; none, with the reason, when there are too many.
    pub fn add(&self, spec: FaultSpec) -> Result<usize, String> {
        let mut inner = self.lock();
        let id = inner.entries.len();
        if id >= FAULTS_MAX {
            return Err(format!("this run has had its {FAULTS_MAX} faults; start another"));
        }
        inner.entries.push(Entry::new(id, spec));
        Ok(id)
    }

    /// Ends a fault, or all; whether there is such a one.
    pub fn end(&self, id: Option<usize>) -> bool {
        let mut inner = self.lock();
        let Some(elapsed) = inner.load_began.map(|(began, _)| began.elapsed()) else { return id.is_none() };
        let mut found = id.is_none();
        for entry in inner.entries.iter_mut().filter(|entry| id.is_none_or(|id| entry.id == id)) {
            found = true;
            let lasts = elapsed.saturating_sub(entry.spec.start);
            entry.spec.duration = Some(entry.spec.duration.map_or(lasts, |duration| duration.min(lasts)));
        }
        found
    }

    /// Those that are not over.
    pub fn open(&self) -> Vec<Entry> {
        self.lock().entries.iter().filter(|entry| entry.state != State::Over).cloned().collect()
    }

    /// Writes down how far a fault has come.
    pub fn reached(&self, reached: &Entry, state: State, elapsed: Duration) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.get_mut(reached.id) else { return };
        entry.state = state;
        entry.zone.clone_from(&reached.zone);
        if state == State::On {
            entry.began.get_or_insert(elapsed);
        }
        if state == State::Over {
            entry.ended.get_or_insert(elapsed);
        }
    }

    /// What was on, and when.
    pub fn truth(&self) -> Vec<FaultReport> {
        let inner = self.lock();
        let report = |entry: &Entry| {
            Some(FaultReport {
                service: entry.spec.service.clone(),
                kind: entry.spec.kind.name(),
                value: entry.spec.value.clone(),
                start: entry.began?.as_secs_f64(),
                end: entry.ended.map(|ended| ended.as_secs_f64()),
            })
        };
        inner.entries.iter().filter_map(report).collect()
    }

    /// All of them.
    pub fn shown(&self) -> Vec<Shown> {
        let inner = self.lock();
        let at = |elapsed: Option<Duration>| {
            let (_, began_ms) = inner.load_began?;
            Some(began_ms + i64::try_from(elapsed?.as_millis()).unwrap_or(i64::MAX))
        };
        let shown = |entry: &Entry| Shown {
            id: entry.id,
            fault: entry.spec.label(),
            service: entry.spec.service.clone(),
            kind: entry.spec.kind.name(),
            value: entry.spec.value.clone(),
            state: entry.state,
            began_ms: at(entry.began),
            ended_ms: at(entry.ended),
        };
        inner.entries.iter().map(shown).collect()
    }
}

impl Entry {
    fn new(id: usize, spec: FaultSpec) -> Self {
        Self { id, spec, state: State::Waiting, zone: Vec::new(), began: None, ended: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_truth_is_what_was_on_and_not_what_was_planned() {
        let plan = Plan::new(&["payment:error=1@3+4".parse().unwrap(), "order:crash@60".parse().unwrap()]);
        assert_eq!((plan.elapsed(), plan.end(Some(0))), (None, false));
        plan.begin();
        tokio::time::advance(Duration::from_secs(5)).await;
        let id = plan.add(FaultSpec::new("search:hang", plan.elapsed().unwrap(), None).unwrap()).unwrap();
        let second = |seconds| Duration::from_secs(seconds);
        for (id, state, at) in
            [(0, State::On, 3), (0, State::On, 4), (0, State::Ending, 7), (0, State::Over, 8), (id, State::On, 5)]
        {
            let entry = plan.open().into_iter().find(|entry| entry.id == id).unwrap();
            plan.reached(&entry, state, second(at));
        }
        let truth: Vec<_> = plan.truth().into_iter().map(|fault| (fault.service, fault.start, fault.end)).collect();
        assert_eq!(truth, [("payment".to_owned(), 3.0, Some(8.0)), ("search".to_owned(), 5.0, None)]);
        assert!(plan.end(Some(id)) && !plan.end(Some(9)) && plan.end(None));
        assert!(plan.open().iter().all(|entry| !entry.spec.is_on(plan.elapsed().unwrap())));
    }
}
