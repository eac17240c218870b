//! The task that asks `blame` each second what is broken, and keeps its answer for `/api/v1/faults` and the metrics.
//! Judges nothing itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Json;
use axum::extract::State;
use lifecycle::CancellationToken;
use lifecycle::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use protocol::faults::{FaultKind, Faults};
use tokio::time::MissedTickBehavior;

use super::Core;

/// How often it is looked: an answer is at most so old.
const INTERVAL: Duration = Duration::from_secs(1);

type SuspectLabels = [(&'static str, String); 2];

/// The last answer and the numbers around it.
#[derive(Debug, Default)]
pub(super) struct Watched {
    faults: ArcSwap<Faults>,
    scores: Family<SuspectLabels, Gauge<f64, AtomicU64>>,
    named: Counter,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Gauge<f64, AtomicU64>,
    known: Gauge,
}

impl Watched {
    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let faults = registry.sub_registry_with_prefix("plimsoll_collector_faults");
            faults.register("suspect_score", "Blame of each suspect, from 0 to 1", self.scores.clone());
            faults.register("named", "Suspects named", self.named.clone());
            faults.register("unjudged", "Requests that were not judged, by reason", self.dropped.clone());
            faults.register("judging_seconds", "How long the last judgement took", self.seconds.clone());
            faults.register("services", "Services and peers that are watched", self.known.clone());
        });
    }

    fn count(&self, reason: &'static str, so_far: u64) {
        let counter = self.dropped.get_or_create(&[("reason", reason)]);
        counter.inc_by(so_far.saturating_sub(counter.get()));
    }

    fn show(&self, faults: Faults) {
        self.scores.clear();
        for suspect in &faults.suspects {
            let kind = match suspect.fault {
                FaultKind::Errors => "errors",
                FaultKind::NoAnswer => "no_answer",
                FaultKind::Slow => "slow",
            };
            let labels = [("service", suspect.service.clone()), ("fault", kind.to_owned())];
            self.scores.get_or_create(&labels).set(suspect.score);
        }
        let before = self.faults.swap(Arc::new(faults));
        let now = self.faults.load();
        let is_in = |faults: &Faults, service: &str| faults.suspects.iter().any(|suspect| suspect.service == service);
        for suspect in now.suspects.iter().filter(|suspect| !is_in(&before, &suspect.service)) {
            let evidence = suspect.evidence.first().map(|evidence| evidence.text.as_str()).unwrap_or_default();
            tracing::warn!(service = suspect.service, score = suspect.score, evidence, "a service is suspected");
        }
        for suspect in before.suspects.iter().filter(|suspect| !is_in(&now, &suspect.service)) {
            tracing::info!(service = suspect.service, "a service is no longer suspected");
        }
    }
}

pub(super) async fn get(State(core): State<Arc<Core>>) -> Json<Faults> {
    Json(Faults::clone(&core.watched.faults.load()))
}

/// Looks each second whether something is broken.
pub struct Watchman {
    core: Arc<Core>,
}

impl Watchman {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Looks until shutdown.
    ///
    /// # Errors
    /// If a look ends in a panic.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), String> {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            // With a thousand services it takes a good part of a second.
            let own = Self::new(self.core.clone());
            tokio::task::spawn_blocking(move || own.look()).await.map_err(|error| error.to_string())?;
        }
    }

    pub(super) fn look(&self) {
        let core = &*self.core;
        let now_ms = core.clock.now_ms();
        let mut learner = core.learner.lock();
        learner.advance(now_ms);
        let lessons = learner.lessons();
        drop(learner);
        let began = Instant::now();
        let mut blame = core.blame.lock();
        blame.learn(&lessons.aliases, now_ms);
        blame.observe(&lessons.works, now_ms);
        let faults = blame.judge(now_ms);
        let (drops, named, known) = (blame.drops(), blame.named(), blame.known());
        drop(blame);
        let watched = &core.watched;
        watched.seconds.set(began.elapsed().as_secs_f64());
        watched.named.inc_by(named.saturating_sub(watched.named.get()));
        watched.known.set(i64::try_from(known).unwrap_or(i64::MAX));
        watched.count("out_of_time", drops.out_of_time);
        watched.count("too_many", drops.too_many);
        watched.count("not_asked_for", lessons.dropped);
        watched.show(faults);
    }
}
