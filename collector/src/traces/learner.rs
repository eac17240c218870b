//! Learns from spans as they arrive: span metrics, the service graph's metrics, and the window behind `/api/v1/graph`,
//! and the single requests that `blame` judges. Pure: the time comes in. The order in which the spans of a trace arrive does not matter.

use std::collections::HashSet;
use std::sync::Arc;

use super::ledger::{Counter, Entry, Histogram, Ledger, Mark, Page};
use super::own::Settling;
use super::pairing::{Call, Clock, Pairing};
use super::span::{Kind, Span, Status, Text, TraceId};
use super::window::{EdgeKey, Window};
use crate::blame::work::{Alias, ErrorKind, Work, WorkKind};
use crate::series::{Labels, Sample};

/// How learning is bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerLimits {
    /// How long a span waits for the other half of its call, milliseconds.
    pub pair_wait_ms: i64,
    /// How long after its last span a request's own part is settled, milliseconds.
    pub settle_ms: i64,
    /// A series that nothing moves for so long ends, milliseconds.
    pub idle_ms: i64,
    /// Combinations of service, operation, kind and status.
    pub operations_max: usize,
    /// Edges of the service graph.
    pub edges_max: usize,
}

impl Default for LearnerLimits {
    /// OpenTelemetry's exporters send every 5 s unless told otherwise: a call's two halves are at most that far apart,
    /// and twice that is safe. A quarter of an hour idle is Tempo's. 2,000 operations are 36,000 series.
    fn default() -> Self {
        Self { pair_wait_ms: 10_000, settle_ms: 5_000, idle_ms: 900_000, operations_max: 2_000, edges_max: 1_000 }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OperationKey {
    service: Text,
    name: Text,
    kind: Kind,
    status: Status,
}

#[derive(Debug)]
struct OperationSeries {
    calls: Counter,
    latency: Histogram,
}

impl OperationSeries {
    fn new(key: &OperationKey) -> Self {
        let base = [
            ("service", key.service.clone()),
            ("span_name", key.name.clone()),
            ("span_kind", Arc::from(key.kind.otlp_name())),
            ("status_code", Arc::from(key.status.otlp_name())),
        ];
        Self {
            calls: Counter::new("traces_spanmetrics_calls_total", &base),
            latency: Histogram::new("traces_spanmetrics_latency", &base),
        }
    }
}

impl Entry for OperationSeries {
    fn write(&self, page: &mut Page<'_>) {
        self.calls.write(page);
        self.latency.write(page);
    }
}

#[derive(Debug)]
struct EdgeSeries {
    requests: Counter,
    failed: Counter,
    client: Histogram,
    server: Histogram,
}

impl EdgeSeries {
    fn new((client, server, connection): &EdgeKey) -> Self {
        let connection = Arc::from(connection.label());
        let base = [("client", client.clone()), ("server", server.clone()), ("connection_type", connection)];
        Self {
            requests: Counter::new("traces_service_graph_request_total", &base),
            failed: Counter::new("traces_service_graph_request_failed_total", &base),
            client: Histogram::new("traces_service_graph_request_client_seconds", &base),
            server: Histogram::new("traces_service_graph_request_server_seconds", &base),
        }
    }
}

impl Entry for EdgeSeries {
    fn write(&self, page: &mut Page<'_>) {
        self.requests.write(page);
        self.failed.write(page);
        self.client.write(page);
        self.server.write(page);
    }
}

/// The operation of which it is that a clock is off.
const OFF: &str = "(clock)";

/// Requests that wait to be asked for; they are each second.
const LESSONS_MAX: usize = 400_000;

/// What spans teach of single requests.
#[derive(Debug, Default)]
pub struct Lessons {
    /// In order of settling.
    pub works: Vec<Work>,
    /// Who turned out to be whom; each once.
    pub aliases: HashSet<Alias>,
    /// Requests nobody asked for in time, so far.
    pub dropped: u64,
}

/// What spans teach.
#[derive(Debug)]
pub struct Learner {
    operations: Ledger<OperationKey, OperationSeries>,
    edges: Ledger<EdgeKey, EdgeSeries>,
    pairing: Pairing,
    settling: Settling,
    window: Window,
    unpaired: Counter,
    dropped: Counter,
    lessons: Lessons,
    /// Whether there was ever a span.
    taught: bool,
    written_ms: Option<i64>,
}

impl Learner {
    /// Knows nothing yet.
    pub fn new(limits: &LearnerLimits) -> Self {
        Self {
            operations: Ledger::new(limits.operations_max, limits.idle_ms),
            edges: Ledger::new(limits.edges_max, limits.idle_ms),
            pairing: Pairing::new(limits.pair_wait_ms),
            settling: Settling::new(limits.settle_ms),
            window: Window::default(),
            unpaired: Counter::new("traces_service_graph_unpaired_spans_total", &[]),
            dropped: Counter::new("traces_service_graph_dropped_spans_total", &[]),
            lessons: Lessons::default(),
            taught: false,
            written_ms: None,
        }
    }

    /// Takes new spans.
    pub fn observe<'s>(&mut self, spans: impl IntoIterator<Item = (TraceId, &'s Span)>, now_ms: i64) {
        self.advance(now_ms);
        let (mut calls, mut settled) = (Vec::new(), Vec::new());
        for (trace, span) in spans {
            self.taught = true;
            self.window.observe_span(span, now_ms);
            self.count_operation(span, now_ms);
            self.pairing.observe(trace, span, now_ms, &mut calls);
            self.settling.observe(trace, span, now_ms, &self.pairing, &mut settled);
        }
        self.conclude(&calls, settled, now_ms);
    }

    /// Lets time pass: gives up waiting, settles, forgets.
    pub fn advance(&mut self, now_ms: i64) {
        let (mut calls, mut settled) = (Vec::new(), Vec::new());
        self.window.advance(now_ms);
        // First: what is settled asks what became of its calls.
        self.settling.settle(now_ms, &self.pairing, &mut settled);
        self.pairing.expire(now_ms, &mut calls);
        self.conclude(&calls, settled, now_ms);
    }

    fn conclude(&mut self, calls: &[Call], settled: Vec<Work>, now_ms: i64) {
        calls.iter().for_each(|call| self.count_call(call, now_ms));
        settled.iter().for_each(|work| self.window.observe_own(work));
        self.lessons.aliases.extend(calls.iter().filter_map(|call| call.alias.clone()));
        if self.lessons.works.len() < LESSONS_MAX {
            self.lessons.works.extend(settled);
            self.lessons.works.extend(calls.iter().filter_map(|call| call.clock.as_ref()).map(off));
        } else {
            self.lessons.dropped += settled.len() as u64;
        }
    }

    /// What was learnt of single requests since this was asked last.
    pub fn lessons(&mut self) -> Lessons {
        let dropped = self.lessons.dropped;
        std::mem::replace(&mut self.lessons, Lessons { dropped, ..Lessons::default() })
    }

    fn count_operation(&mut self, span: &Span, now_ms: i64) {
        let (service, name) = (span.service().clone(), span.name.clone());
        let key = OperationKey { service, name, kind: span.kind, status: span.status };
        if let Some(series) = self.operations.entry(key, now_ms, OperationSeries::new) {
            series.calls.add(1);
            series.latency.observe(span.duration_ns);
        }
    }

    fn count_call(&mut self, call: &Call, now_ms: i64) {
        self.window.observe_call(call);
        let key = (call.client.clone(), call.server.clone(), call.connection);
        if let Some(series) = self.edges.entry(key, now_ms, EdgeSeries::new) {
            series.requests.add(1);
            series.failed.add(u64::from(call.failed));
            series.client.observe(call.client_ns);
            if let Some(server_ns) = call.server_ns {
                series.server.observe(server_ns);
            }
        }
    }

    /// What the series stand at.
    pub fn samples(&mut self, now_ms: i64) -> Vec<(Labels, Sample)> {
        self.advance(now_ms);
        let mut samples = Vec::new();
        // A zero just after the last writing, when the new series did not exist yet.
        let zero_ms = self.written_ms.map_or(now_ms - 1_000, |written| written + 1).min(now_ms - 1);
        self.operations.write(now_ms, zero_ms, &mut samples);
        self.edges.write(now_ms, zero_ms, &mut samples);
        self.unpaired.set(self.pairing.unpaired());
        self.dropped.set(self.pairing.dropped() + self.edges.refused());
        // A collector without traces has no series of them either: a sample of now would close its head to older ones, which
        // a sender that catches up still has.
        if self.taught {
            let mut page = Page::new(now_ms, Mark::Value, &mut samples);
            self.unpaired.write(&mut page);
            self.dropped.write(&mut page);
        }
        self.written_ms = Some(now_ms);
        samples
    }

    /// What happened when.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Observations that found no room in a series: operations and edges.
    pub fn refused(&self) -> u64 {
        self.operations.refused() + self.edges.refused()
    }
}

/// That a clock is off, as a request that failed for it: what its service did has no time that could be trusted.
fn off(clock: &Clock) -> Work {
    Work {
        service: clock.service.clone(),
        operation: OFF.into(),
        kind: WorkKind::Request,
        origin: None,
        version: None,
        end_ns: clock.end_ns,
        whole_ns: 0,
        own_ns: 0,
        failed: true,
        own_failed: true,
        error: Some(ErrorKind::Clock(clock.minutes)),
        calls: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
