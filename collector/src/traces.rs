//! Keeps recent traces, and learns rate, errors, duration and the service graph from them.
//! Never sees a wire format: `otlp` hands it spans, `Appendable` takes its series. Start at `Traces`.

#[cfg(test)]
pub(crate) mod example;
pub mod generator;
mod graph;
pub mod interner;
mod jaeger;
mod latency;
mod learner;
mod ledger;
mod own;
mod pairing;
mod search;
pub mod span;
mod store;
mod telemetry;
mod watch;
mod window;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use lifecycle::Clock;
use lifecycle::metrics::Metrics;
use parking_lot::{Mutex, MutexGuard};

use self::interner::Interner;
use self::learner::Learner;
use self::span::{Span, TraceId};
use self::store::{SpanStore, Stored};
use self::telemetry::{Reason, Telemetry};
use self::watch::Watched;
use crate::blame::Blame;
use crate::otlp::admission::Admission;

pub use self::generator::Generator;
pub use self::learner::LearnerLimits;
pub use self::watch::Watchman;

/// How long spans wait in their services before they are sent: a second and a little, where they are sent often.
const BATCH_MS: i64 = 1_000;

/// Bounds of what is kept and learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Spans kept.
    pub spans_max: usize,
    /// Estimated bytes of the spans kept.
    pub bytes_max: usize,
    /// How learning is bounded.
    pub learner: LearnerLimits,
}

impl Default for Limits {
    /// 128 MiB, a small part of a machine on which the collector is worth running, are some 200,000 spans.
    fn default() -> Self {
        Self { spans_max: 500_000, bytes_max: 128 << 20, learner: LearnerLimits::default() }
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
}

/// Recent traces and what was learnt from them.
pub struct Traces {
    core: Arc<Core>,
    sink: Arc<SpanSink>,
}

impl Traces {
    /// Empty.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let core = Arc::new(Core {
            interner: Mutex::new(Interner::default()),
            store: Mutex::new(SpanStore::new(limits.spans_max, limits.bytes_max)),
            learner: Mutex::new(Learner::new(&limits.learner)),
            blame: Mutex::new(Blame::new(limits.learner.settle_ms + BATCH_MS)),
            watched: Watched::default(),
            telemetry: Telemetry::default(),
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
        let own = Router::new().route("/api/v1/graph", get(graph::get)).route("/api/v1/faults", get(watch::get));
        jaeger::routes().merge(own).with_state(Arc::clone(&self.core))
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> TraceStats {
        self.core.telemetry.stats()
    }

    /// Registers `plimsoll_collector_spans_*` and the like.
    pub fn register(&self, metrics: &Metrics) {
        self.core.telemetry.register(metrics);
        self.core.watched.register(metrics);
    }

    /// What looks each second whether something is broken.
    pub fn watchman(&self) -> Watchman {
        Watchman::new(Arc::clone(&self.core))
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

    /// Keeps spans and learns from them; `invalid` of the request's spans were none.
    pub fn accept(&self, mut spans: Vec<(TraceId, Arc<Span>)>, invalid: u64) {
        let core = &*self.core;
        core.telemetry.received(spans.len() as u64 + invalid);
        core.telemetry.dropped(Reason::InvalidId, invalid);
        let (mut duplicates, mut over) = (0, 0);
        let mut store = core.store.lock();
        spans.retain(|(trace, span)| match store.insert(*trace, Arc::clone(span)) {
            Stored::Kept => true,
            Stored::TraceFull => {
                over += 1;
                true
            }
            Stored::Duplicate => {
                duplicates += 1;
                false
            }
        });
        core.telemetry.stored(store.spans(), store.traces(), store.bytes(), store.spans_evicted());
        drop(store);
        core.telemetry.dropped(Reason::Duplicate, duplicates);
        core.telemetry.dropped(Reason::TraceFull, over);
        let mut learner = core.learner.lock();
        learner.observe(spans.iter().map(|(trace, span)| (*trace, &**span)), core.clock.now_ms());
        core.telemetry.unlearnt(learner.refused() + learner.window().dropped());
    }
}

#[cfg(test)]
mod tests;
