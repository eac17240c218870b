//! Who is whose child, and when each span was once clocks are brought together. Every span has its place, whatever it says.

use std::collections::BTreeMap;

use protocol::jaeger::Span;

/// Times beyond this, in microseconds since the epoch or long, are no times: start and duration together stay a number.
const TIME_MAX: u64 = i64::MAX as u64 / 4;

/// When a span was, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub start: i64,
    pub end: i64,
    /// How far it was moved: a call cannot begin before its caller, so that then its clock is behind.
    pub moved: i64,
    /// It names a parent that is not there.
    pub is_orphan: bool,
    /// Who made it, as the trace numbers them: those of one process share a clock.
    pub process: String,
}

/// All spans, without circles.
pub(super) struct Family {
    pub spans: Vec<Placed>,
    /// By start.
    children: Vec<Vec<usize>>,
    /// Those that miss no parent first, then by start.
    pub roots: Vec<usize>,
}

impl Family {
    pub fn of(spans: &[Span]) -> Self {
        let mut index: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, span) in spans.iter().enumerate() {
            index.entry(&span.span_id).or_insert(at);
        }
        let parents = parents(spans, &index);
        let is_orphan = |span: &Span| span.parent_id().is_some_and(|id| !index.contains_key(id));
        let placed = spans.iter().map(|span| Placed { is_orphan: is_orphan(span), ..place(span) }).collect();
        let mut family = Self { children: vec![Vec::new(); spans.len()], roots: Vec::new(), spans: placed };
        for (at, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => family.children[*parent].push(at),
                None => family.roots.push(at),
            }
        }
        family.bring_clocks_together();
        let Self { spans, children, roots } = &mut family;
        children.iter_mut().for_each(|children| children.sort_by_key(|at| spans[*at].start));
        roots.sort_by_key(|at| (spans[*at].is_orphan, spans[*at].start));
        family
    }

    /// By start.
    pub fn children(&self, at: usize) -> &[usize] {
        &self.children[at]
    }

    /// Parents before their children, with the depth of each.
    pub fn in_order(&self) -> Vec<(usize, usize)> {
        let mut order = Vec::with_capacity(self.spans.len());
        let mut pending: Vec<(usize, usize)> = self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((at, depth)) = pending.pop() {
            order.push((at, depth));
            pending.extend(self.children[at].iter().rev().map(|child| (*child, depth + 1)));
        }
        order
    }

    /// Moves what begins before its caller, and what shares its clock below it, to where the caller begins.
    fn bring_clocks_together(&mut self) {
        for (at, _) in self.in_order() {
            let parent = self.spans[at].clone();
            for child in self.children[at].clone() {
                let child = &mut self.spans[child];
                let moved = match child.process == parent.process {
                    true => parent.moved,
                    false => (parent.start - child.start).max(0),
                };
                // Among spans that say anything, moves may add up beyond all numbers.
                let (start, end) = (child.start.saturating_add(moved), child.end.saturating_add(moved));
                (child.start, child.end, child.moved) = (start, end, moved);
            }
        }
    }
}

fn place(span: &Span) -> Placed {
    let number = |us: u64| i64::try_from(us.min(TIME_MAX)).unwrap_or(0);
    let (start, duration) = (number(span.start_time), number(span.duration));
    Placed { start, end: start + duration, moved: 0, is_orphan: false, process: span.process_id.clone() }
}

/// Each span's parent. Of spans with one id the first is the parent; a circle is cut where it is closed.
fn parents(spans: &[Span], index: &BTreeMap<&str, usize>) -> Vec<Option<usize>> {
    let named =
        |(at, span): (usize, &Span)| span.parent_id().and_then(|id| index.get(id)).copied().filter(|p| *p != at);
    let mut parents: Vec<Option<usize>> = spans.iter().enumerate().map(named).collect();
    // The walk on which a span was first met; 0 is none.
    let mut met = vec![0usize; spans.len()];
    for start in 0..spans.len() {
        let mut at = start;
        while met[at] == 0 {
            met[at] = start + 1;
            match parents[at] {
                Some(parent) if met[parent] == start + 1 => parents[at] = None,
                Some(parent) => at = parent,
                None => break,
            }
        }
    }
    parents
}
