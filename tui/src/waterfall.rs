//! A trace as rows: order, depth, own time and the critical path (the calls that made it take as long as it did). Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::jaeger::{Span, Trace};

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
    /// It ended in an error.
    pub is_error: bool,
    /// It lies on the critical path.
    pub is_critical: bool,
}

/// A trace ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waterfall {
    /// From the first start to the last end.
    pub total_us: u64,
    /// Parents before children, children by start.
    pub bars: Vec<Bar>,
}

/// The family of a trace's spans, by index.
struct Family {
    children: BTreeMap<usize, Vec<usize>>,
    roots: Vec<usize>,
}

fn end(span: &Span) -> u64 {
    span.start_time.saturating_add(span.duration)
}

fn family(spans: &[Span]) -> Family {
    let index: BTreeMap<&str, usize> = spans.iter().enumerate().map(|(at, s)| (s.span_id.as_str(), at)).collect();
    let mut family = Family { children: BTreeMap::new(), roots: Vec::new() };
    for (at, span) in spans.iter().enumerate() {
        match span.parent_id().and_then(|id| index.get(id)).filter(|parent| **parent != at) {
            Some(parent) => family.children.entry(*parent).or_default().push(at),
            None => family.roots.push(at),
        }
    }
    for children in family.children.values_mut() {
        children.sort_by_key(|at| spans[*at].start_time);
    }
    family.roots.sort_by_key(|at| spans[*at].start_time);
    family
}

/// Lays a trace out. Spans whose parents are unknown, or that lie on a circle, are roots too.
pub fn waterfall(trace: &Trace) -> Waterfall {
    let spans = &trace.spans;
    let family = family(spans);
    let first = spans.iter().map(|s| s.start_time).min().unwrap_or(0);
    let last = spans.iter().map(end).max().unwrap_or(0);
    let critical = critical_path(spans, &family);
    let mut seen = BTreeSet::new();
    let mut bars = Vec::with_capacity(spans.len());
    let roots = family.roots.iter().copied().chain(0..spans.len());
    for root in roots {
        let mut pending = vec![(root, 0)];
        while let Some((at, depth)) = pending.pop() {
            if !seen.insert(at) {
                continue;
            }
            let span = &spans[at];
            let children = family.children.get(&at).map(Vec::as_slice).unwrap_or_default();
            pending.extend(children.iter().rev().map(|child| (*child, depth + 1)));
            bars.push(Bar {
                depth,
                service: trace.service_of(span).to_owned(),
                operation: span.operation_name.clone(),
                start_us: span.start_time - first,
                duration_us: span.duration,
                own_us: own_time(span, children, spans),
                is_error: span.is_error(),
                is_critical: critical.contains(&at),
            });
        }
    }
    Waterfall { total_us: last.saturating_sub(first), bars }
}

/// The duration less the time that children cover, overlaps counted once.
fn own_time(span: &Span, children: &[usize], spans: &[Span]) -> u64 {
    let mut covered = 0;
    let mut until = span.start_time;
    for child in children {
        let from = spans[*child].start_time.max(until);
        let to = end(&spans[*child]).min(end(span));
        if to > from {
            covered += to - from;
            until = to;
        }
    }
    span.duration.saturating_sub(covered)
}

/// From the first root's end backwards: the child that ended last, then the one that ended last before that began.
fn critical_path(spans: &[Span], family: &Family) -> BTreeSet<usize> {
    let mut path = BTreeSet::new();
    let mut pending: Vec<usize> = family.roots.first().copied().into_iter().collect();
    while let Some(at) = pending.pop() {
        if !path.insert(at) {
            continue;
        }
        let mut children = family.children.get(&at).cloned().unwrap_or_default();
        children.sort_by_key(|child| std::cmp::Reverse(end(&spans[*child])));
        let mut before = end(&spans[at]);
        for child in children {
            if end(&spans[child]) <= before {
                before = spans[child].start_time;
                pending.push(child);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests;
