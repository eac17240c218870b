//! The last verdict, the timeline, and the numbers around them: what the task writes and everybody else reads. Judges nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use lifecycle::metrics::Metrics;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use protocol::faults::{FaultKind, Faults, Source, Timeline};

use super::stream::Channel;
use crate::blame::counters::Counters;
use crate::blame::{Blame, Drops};
use crate::series::SelectError;

type SuspectLabels = [(&'static str, String); 2];

/// The last answer and the numbers around it.
#[derive(Debug, Default)]
pub(in crate::traces) struct Watched {
    /// The last answer.
    pub faults: ArcSwap<Faults>,
    /// What happened in the last hour.
    pub timeline: ArcSwap<Timeline>,
    /// Whose timeline was copied, and its revision then.
    copied: Mutex<(Source, u64)>,
    /// To those who listen.
    pub channel: Channel,
    /// Judges where no spans come.
    pub fallback: Mutex<Fallback>,
    is_blindfolded: AtomicBool,
    scores: Family<SuspectLabels, Gauge<f64, AtomicU64>>,
    named: Counter,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Gauge<f64, AtomicU64>,
    known: Gauge,
    clients: Gauge,
}

impl Watched {
    /// Registers `plimsoll_collector_faults_*`.
    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let faults = registry.sub_registry_with_prefix("plimsoll_collector_faults");
            faults.register("suspect_score", "Blame of each suspect, from 0 to 1", self.scores.clone());
            faults.register("named", "Suspects named", self.named.clone());
            faults.register("unjudged", "Requests that were not judged, by reason", self.dropped.clone());
            faults.register("judging_seconds", "How long the last judgement took", self.seconds.clone());
            faults.register("services", "Services and peers that are watched", self.known.clone());
            faults.register("stream_clients", "Who listens to the stream", self.clients.clone());
        });
    }

    fn count(&self, reason: &'static str, so_far: u64) {
        let counter = self.dropped.get_or_create(&[("reason", reason)]);
        counter.inc_by(so_far.saturating_sub(counter.get()));
    }

    /// Makes a verdict known.
    pub fn show(&self, faults: Faults) {
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
        let now = Arc::new(faults);
        let before = self.faults.swap(now.clone());
        self.channel.tell(&now);
        let is_in = |faults: &Faults, service: &str| faults.suspects.iter().any(|suspect| suspect.service == service);
        for suspect in now.suspects.iter().filter(|suspect| !is_in(&before, &suspect.service)) {
            let evidence = suspect.evidence.first().map(|evidence| evidence.text.as_str()).unwrap_or_default();
            tracing::warn!(service = suspect.service, score = suspect.score, evidence, "a service is suspected");
        }
        for suspect in before.suspects.iter().filter(|suspect| !is_in(&now, &suspect.service)) {
            tracing::info!(service = suspect.service, "a service is no longer suspected");
        }
    }

    /// Copies the timeline if it has changed: who reads it must not wait for a judgement.
    pub fn copy_timeline(&self, blame: &Blame, source: Source) {
        let (events, revision) = blame.changes().events();
        let mut copied = self.copied.lock();
        if *copied != (source, revision) {
            *copied = (source, revision);
            self.timeline.store(Arc::new(Timeline { events: events.cloned().collect() }));
        }
    }

    /// What was read; what could not be is said once, and counted.
    pub fn read<T>(&self, read: Result<T, SelectError>) -> Option<T> {
        match read {
            Ok(found) => {
                if self.is_blindfolded.swap(false, Ordering::Relaxed) {
                    tracing::info!("series about workloads, breakers and calls are read again");
                }
                Some(found)
            }
            Err(error) => {
                self.dropped.get_or_create(&[("reason", "unread_series")]).inc();
                if !self.is_blindfolded.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        "series about workloads, breakers and calls are not read: too many, or a block is damaged"
                    );
                }
                None
            }
        }
    }

    /// Counts what a look cost and found.
    pub fn tally(&self, look: &Look) {
        self.seconds.set(look.took.as_secs_f64());
        self.named.inc_by(look.named.saturating_sub(self.named.get()));
        self.known.set(i64::try_from(look.known).unwrap_or(i64::MAX));
        self.clients.set(i64::try_from(self.channel.clients()).unwrap_or(i64::MAX));
        self.count("out_of_time", look.drops.out_of_time);
        self.count("too_many", look.drops.too_many);
        self.count("not_asked_for", look.not_asked_for);
    }
}

/// What a look cost and found.
#[derive(Debug)]
pub(in crate::traces) struct Look {
    /// How long the judgement took.
    pub took: Duration,
    /// Suspects named so far.
    pub named: u64,
    /// Services and peers.
    pub known: usize,
    /// What was not judged so far.
    pub drops: Drops,
    /// Requests that nobody asked for in time, so far.
    pub not_asked_for: u64,
}

/// Judges by counters where no spans come.
#[derive(Debug)]
pub(in crate::traces) struct Fallback {
    /// What they are made into.
    pub counters: Counters,
    /// Who judges that.
    pub blame: Blame,
}

impl Default for Fallback {
    fn default() -> Self {
        let (counters, mut blame) = (Counters::default(), Blame::new(0));
        blame.judges_by(Source::Metrics);
        Self { counters, blame }
    }
}
