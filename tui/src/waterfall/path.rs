//! The critical path: from the end backwards, always in the call that was waited for last. Its pieces are as long together as
//! the root is.

use super::family::Family;

/// So much later than its caller, in microseconds, a call of another process may end and still have been waited for: clocks that are
/// kept in step differ by less.
const CLOCKS_DIFFER_US: i64 = 1_000;

/// For each span the times when the path was in it and in no child, in order; `None` for those that it does not come by.
pub(super) fn critical(family: &Family) -> Vec<Option<Vec<(i64, i64)>>> {
    let mut path: Vec<Option<Vec<(i64, i64)>>> = vec![None; family.spans.len()];
    let root = family.roots.first().map(|root| (*root, family.spans[*root].start, family.spans[*root].end));
    let mut pending: Vec<(usize, i64, i64)> = root.into_iter().collect();
    while let Some((at, from, to)) = pending.pop() {
        let span = &family.spans[at];
        let mut pieces = Vec::new();
        let mut before = to;
        for child in waited_for(family, at) {
            let (begins, ends) = (family.spans[child].start.max(from), family.spans[child].end.min(span.end).min(to));
            if ends > before || begins >= ends {
                continue;
            }
            if before > ends {
                pieces.push((ends, before));
            }
            pending.push((child, begins, ends));
            before = begins;
        }
        if before > from {
            pieces.push((from, before));
        }
        pieces.reverse();
        path[at] = Some(pieces);
    }
    path
}

/// The children, the last to end first; without those that the parent did not wait for.
fn waited_for(family: &Family, at: usize) -> Vec<usize> {
    let parent = &family.spans[at];
    let is_waited_for = |child: &usize| {
        let child = &family.spans[*child];
        let leeway = if child.process == parent.process { 0 } else { CLOCKS_DIFFER_US };
        child.end <= parent.end.saturating_add(leeway)
    };
    let mut children: Vec<usize> = family.children(at).iter().copied().filter(is_waited_for).collect();
    children
        .sort_by_key(|child| (std::cmp::Reverse(family.spans[*child].end.min(parent.end)), family.spans[*child].start));
    children
}
