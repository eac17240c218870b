//! Keeps recent traces in memory and a sample of all on disk, and learns rate, errors, duration and the service graph from every
//! span. Never sees a wire format: `otlp` hands it spans, `Appendable` takes its series. Start at `Traces`.
//!
//! The way of a span: into `store`, where its trace gathers; `learner`, which sees them all; and, when the trace rests and
//! `sampling` decides so, by `keeper` into `disk`. `lookup` asks memory and disk.

mod disk;
#[cfg(test)]
pub(crate) mod example;
pub mod generator;
mod graph;
pub mod interner;
mod jaeger;
mod keeper;
mod latency;
mod learner;
mod ledger;
mod lookup;
mod own;
mod pairing;
mod sampling;
mod search;
pub mod span;
mod store;
mod telemetry;
mod watch;
mod window;

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use lifecycle::Clock;
use lifecycle::metrics::Metrics;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};

use self::disk::SpanFolder;
use self::interner::Interner;
use self::keeper::DiskMetrics;
use self::learner::Learner;
use self::sampling::{ORDINARY_PER_SECOND_DEFAULT, Sampler};
use self::span::{Span, Text, TraceId};
use self::store::{SpanStore, Stored, WAITING_BYTES_MAX};
use self::telemetry::{Reason, Telemetry};
use self::watch::Watched;
use crate::blame::Blame;
use crate::otlp;
use crate::otlp::admission::Admission;

pub use self::disk::{OpenSpansError, SpanRetention};
pub use self::generator::Generator;
pub use self::keeper::Keeper;
pub use self::learner::LearnerLimits;
pub use self::watch::Watchman;

/// How long spans wait in their services before they are sent: a second and a little, where they are sent often.
const BATCH_MS: i64 = 1_000;

/// Estimated bytes that wait to be written at which they are, before the second is over.
const WAITING_BYTES_WAKE: usize = WAITING_BYTES_MAX / 4;

/// Bounds of what is kept and learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Spans kept.
    pub spans_max: usize,
    /// Estimated bytes of the spans kept.
    pub bytes_max: usize,
    /// How learning is bounded.
    pub learner: LearnerLimits,
    /// Traces without error, and not slow, that are kept on disk each second; of more a sample is.
    pub ordinary_per_second: u32,
}

impl Default for Limits {
    /// 48 MiB are some 60,000 spans with eight attributes each: 12 s of 5,000 a second, by which their traces have rested, are decided
    /// upon, and if kept are on disk.
    fn default() -> Self {
        let ordinary_per_second = ORDINARY_PER_SECOND_DEFAULT;
        Self { spans_max: 300_000, bytes_max: 48 << 20, learner: LearnerLimits::default(), ordinary_per_second }
    }
}

/// What became of the spans so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceStats {
    /// Spans that arrived.
    pub spans_received: u64,
    /// Spans in memory now.
    pub spans_stored: u64,
    /// Spans refused, for any reason; spans that made room for newer ones are not among them.
    pub spans_dropped: u64,
    /// Traces in memory now.
    pub traces: u64,
}

/// What sink, routes and generator share. Of its locks only one is held at a time.
struct Core {
    limits: Limits,
    clock: Arc<dyn Clock>,
    interner: Mutex<Interner>,
    store: Mutex<SpanStore>,
    learner: Mutex<Learner>,
    blame: Mutex<Blame>,
    watched: Watched,
    telemetry: Telemetry,
    /// None where traces are in memory only.
    disk: Option<Arc<SpanFolder>>,
    /// Wakes who writes, when much waits.
    waiting: Notify,
    /// Searches of the disk at once; more wait.
    searches: Arc<Semaphore>,
}

/// Recent traces and what was learnt from them.
pub struct Traces {
    core: Arc<Core>,
    sink: Arc<SpanSink>,
}

impl Traces {
    /// Empty, and in memory only.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let store = SpanStore::new(limits.spans_max, limits.bytes_max);
        Self::with(limits, clock, Interner::default(), store, None)
    }

    /// Goes on with what is in a folder, which is made if need be: what was acknowledged before the end, however that came.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(
        limits: Limits,
        clock: Arc<dyn Clock>,
        dir: &Path,
        retention: SpanRetention,
    ) -> Result<Arc<Self>, OpenSpansError> {
        let mut store = SpanStore::new(limits.spans_max, limits.bytes_max);
        store.keep_with(Sampler::new(limits.ordinary_per_second));
        let (store, mut interner, now_ms) = (RefCell::new(store), Interner::default(), clock.now_ms());
        let name = |service: &Text, name: &Text, kind| store.borrow_mut().learn_name(service, name, kind);
        let request = |request: &[u8]| {
            // They were learnt from when they came.
            for (trace, span) in otlp::spans_of(request, &mut interner) {
                store.borrow_mut().insert(trace, span, now_ms);
            }
        };
        let disk = SpanFolder::open(dir, retention, now_ms, name, request)?;
        Ok(Self::with(limits, clock, interner, store.into_inner(), Some(Arc::new(disk))))
    }

    fn with(
        limits: Limits,
        clock: Arc<dyn Clock>,
        interner: Interner,
        store: SpanStore,
        disk: Option<Arc<SpanFolder>>,
    ) -> Arc<Self> {
        let core = Arc::new(Core {
            interner: Mutex::new(interner),
            store: Mutex::new(store),
            learner: Mutex::new(Learner::new(&limits.learner)),
            blame: Mutex::new(Blame::new(limits.learner.settle_ms + BATCH_MS)),
            watched: Watched::default(),
            telemetry: Telemetry::default(),
            disk,
            waiting: Notify::new(),
            searches: Arc::new(Semaphore::new(lookup::SEARCHES_MAX)),
            limits,
            clock,
        });
        let sink = Arc::new(SpanSink { core: Arc::clone(&core), admission: Arc::default() });
        Arc::new(Self { core, sink })
    }

    /// Where `otlp` puts spans.
    pub fn sink(&self) -> Arc<SpanSink> {
        Arc::clone(&self.sink)
    }

    /// Jaeger's query API below `/api`, `/api/v1/graph` and `/api/v1/faults`.
    pub fn routes(&self) -> Router {
        let own = Router::new()
            .route("/api/v1/graph", get(graph::get))
            .route("/api/v1/faults", get(watch::get))
            .route("/api/v1/faults/timeline", get(watch::timeline::get))
            .route("/api/v1/faults/stream", get(watch::stream::get));
        jaeger::routes().merge(own).with_state(Arc::clone(&self.core))
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> TraceStats {
        self.core.telemetry.stats()
    }

    /// Registers `plimsoll_collector_spans_*` and the like.
    pub fn register(&self, metrics: &Metrics) {
        self.core.telemetry.register(metrics);
        self.sink.admission.register(metrics);
        let disk = Box::new(DiskMetrics(Arc::clone(&self.core)));
        metrics.register(|registry| registry.register_collector(disk));
        self.core.watched.register(metrics);
    }

    /// What looks each second whether something is broken.
    pub fn watchman(&self) -> Watchman {
        Watchman::new(Arc::clone(&self.core))
    }

    /// What decides which traces are kept, and writes them to disk; none where there is no disk.
    pub fn keeper(&self) -> Option<Keeper> {
        let disk = self.core.disk.clone()?;
        Some(Keeper::new(Arc::clone(&self.core), disk))
    }

    /// What appends the learnt series.
    pub fn generator(&self) -> Generator {
        Generator::new(Arc::clone(&self.core))
    }
}

/// Takes spans in.
pub struct SpanSink {
    core: Arc<Core>,
    admission: Arc<Admission>,
}

impl SpanSink {
    /// What is being received now.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Shares equal texts between spans; to be given back before [`Self::accept`].
    pub fn interner(&self) -> MutexGuard<'_, Interner> {
        self.core.interner.lock()
    }

    /// Writes a request down before anything is done with it, so that it survives the end of the process.
    pub fn log(&self, request: &[u8]) {
        if let Some(disk) = &self.core.disk {
            disk.log(request, self.core.clock.now_ms());
        }
    }

    /// Counts spans of which something was left out.
    pub fn count_cut(&self, spans: u64) {
        self.core.telemetry.cut(spans);
    }

    /// Keeps spans and learns from them; `invalid` of the request's spans were none.
    pub fn accept(&self, mut spans: Vec<(TraceId, Arc<Span>)>, invalid: u64) {
        let core = &*self.core;
        let now_ms = core.clock.now_ms();
        core.telemetry.received(spans.len() as u64 + invalid);
        core.telemetry.dropped(Reason::InvalidId, invalid);
        let (mut duplicates, mut over, mut late) = (0, 0, 0);
        let mut store = core.store.lock();
        spans.retain(|(trace, span)| match store.insert(*trace, Arc::clone(span), now_ms) {
            Stored::Kept => true,
            Stored::TraceFull => {
                over += 1;
                true
            }
            Stored::Late => {
                late += 1;
                true
            }
            Stored::Duplicate => {
                duplicates += 1;
                false
            }
        });
        core.telemetry.stored(store.spans(), store.traces(), store.bytes(), store.spans_evicted());
        let waits_long = store.waiting_bytes() > WAITING_BYTES_WAKE;
        core.telemetry.lost(store.lost());
        drop(store);
        if waits_long {
            core.waiting.notify_one();
        }
        core.telemetry.dropped(Reason::SampledOutLate, late);
        core.telemetry.dropped(Reason::Duplicate, duplicates);
        core.telemetry.dropped(Reason::TraceFull, over);
        let mut learner = core.learner.lock();
        learner.observe(spans.iter().map(|(trace, span)| (*trace, &**span)), now_ms);
        core.telemetry.unlearnt(learner.refused() + learner.window().dropped());
    }
}

#[cfg(test)]
mod tests;
