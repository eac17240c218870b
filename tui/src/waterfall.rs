//! A trace as rows: order, depth, own time and the critical path (where the time went that it took). Pure; draws nothing, and
//! trusts no span: parents may be missing or go in circles, and clocks may differ. Start at `waterfall`.

mod family;
mod path;

use std::collections::BTreeMap;

use protocol::jaeger::Trace;

use family::Family;

/// One span's row. Times are microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// How deep below the root.
    pub depth: usize,
    /// Who made it.
    pub service: String,
    /// Its name.
    pub operation: String,
    /// From the trace's start.
    pub start_us: u64,
    /// How long.
    pub duration_us: u64,
    /// How much of it no child covers.
    pub own_us: u64,
    /// When the critical path was in this span and in no child, from the trace's start, in order.
    pub path: Vec<(u64, u64)>,
    /// It ended in an error.
    pub is_error: bool,
    /// It lies on the critical path.
    pub is_critical: bool,
    /// Its parent is not among the spans.
    pub is_orphan: bool,
    /// It was moved, as its clock is behind its caller's.
    pub is_moved: bool,
}

impl Bar {
    /// How much of the critical path was spent in it.
    pub fn path_us(&self) -> u64 {
        self.path.iter().map(|(from, to)| to - from).sum()
    }
}

/// A trace ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waterfall {
    /// From the first start to the last end.
    pub total_us: u64,
    /// Parents before children, children by start.
    pub bars: Vec<Bar>,
    /// Where the critical path was, as `service operation` and for how long, the longest first.
    pub hottest: Vec<(String, u64)>,
}

fn hottest(bars: &[Bar]) -> Vec<(String, u64)> {
    let mut times: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for bar in bars.iter().filter(|bar| !bar.path.is_empty()) {
        *times.entry((&bar.service, &bar.operation)).or_default() += bar.path_us();
    }
    let mut ranked: Vec<(String, u64)> =
        times.into_iter().map(|((service, operation), us)| (format!("{service} {operation}"), us)).collect();
    ranked.sort_by_key(|(_, us)| std::cmp::Reverse(*us));
    ranked
}

/// A trace as it was when it was opened, laid out once: it may have thousands of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The trace.
    pub trace: Trace,
    /// Its rows.
    pub fall: Waterfall,
}

impl From<Trace> for Opened {
    fn from(trace: Trace) -> Self {
        Self { fall: waterfall(&trace), trace }
    }
}

/// Lays a trace out. Spans whose parents are unknown, or that lie on a circle, are roots too.
pub fn waterfall(trace: &Trace) -> Waterfall {
    let family = Family::of(&trace.spans);
    let path = path::critical(&family);
    let first = family.spans.iter().map(|span| span.start).min().unwrap_or(0);
    let last = family.spans.iter().map(|span| span.end).max().unwrap_or(0);
    let since_first = |at: i64| u64::try_from(at - first).unwrap_or(0);
    let bar = |(at, depth): (usize, usize)| {
        let (span, placed) = (&trace.spans[at], &family.spans[at]);
        Bar {
            depth,
            service: trace.service_of(span).to_owned(),
            operation: span.operation_name.clone(),
            start_us: since_first(placed.start),
            duration_us: since_first(placed.end) - since_first(placed.start),
            own_us: own_us(&family, at),
            path: path[at].iter().flatten().map(|(from, to)| (since_first(*from), since_first(*to))).collect(),
            is_error: span.is_error(),
            is_critical: path[at].is_some(),
            is_orphan: placed.is_orphan,
            is_moved: placed.moved != 0,
        }
    };
    let bars: Vec<Bar> = family.in_order().into_iter().map(bar).collect();
    Waterfall { total_us: since_first(last), hottest: hottest(&bars), bars }
}

/// The duration less the time that children cover, overlaps counted once.
fn own_us(family: &Family, at: usize) -> u64 {
    let span = &family.spans[at];
    let mut covered = 0;
    let mut until = span.start;
    for child in family.children(at).iter().map(|child| &family.spans[*child]) {
        let (from, to) = (child.start.max(until), child.end.min(span.end));
        if to > from {
            covered += to - from;
            until = to;
        }
    }
    u64::try_from(span.end - span.start - covered).unwrap_or(0)
}

#[cfg(test)]
mod tests;
