//! One service, second by second: how much went badly of how much. Says since when, and whether it is over. Pure.

use protocol::faults::FaultKind;

use super::frames::SECONDS_KEPT;
use super::memory::{Lateness, Memory};
use super::reading::Count;

/// Seconds with traffic in which nothing is bad end what was bad before them.
const GAP_S: usize = 5;

/// A share this small of the worst is the end of it.
const OVER_SHARE: f64 = 0.1;

/// So many requests would have had to go well by chance, were it not over: one in a hundred.
const OVER_EXPECTED: f64 = 4.6;

/// Seconds looked back to tell whether it is over; the first with enough requests decides.
const OVER_SPANS_S: [usize; 4] = [5, 10, 20, 40];

/// Which second-by-second lines are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A culprit's.
    Of(FaultKind),
    /// Errors that do not say "not now".
    Plain,
    /// Failed requests, whoever is to blame.
    Failed,
    /// Late requests, whoever is to blame.
    Late,
    /// Jobs.
    Jobs,
    /// Calls that come to nothing because of who makes them.
    Calls,
    /// Calls by it and to it that take longer than those say who serve them.
    Held,
}

/// What is bad of what, a value a second, ending where the window ends.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    seconds: Vec<(f64, f64)>,
    to: i64,
}

impl History {
    /// The seconds before `to`, of a node.
    pub fn of(memory: &Memory, node: u32, line: Line, to: i64) -> Self {
        let sends = memory.nodes.get(node).is_some_and(|(_, node)| node.sends);
        let is_of_calls = matches!(line, Line::Calls | Line::Held);
        let units = memory.units.iter().filter(|(_, (of, _), _)| *of == node && !is_of_calls);
        let bound = |usual: &super::memory::Unit| match line {
            Line::Of(FaultKind::Slow) => usual.own_late,
            Line::Late => usual.whole_late,
            _ => None,
        };
        let units: Vec<(u32, Option<Lateness>)> = units.map(|(number, _, usual)| (number, bound(usual))).collect();
        let is_asked_by_calls =
            !sends || matches!(line, Line::Plain | Line::Of(FaultKind::Errors | FaultKind::NoAnswer));
        let client = |unit: u32| memory.units.get(unit).map(|((client, _), _)| *client);
        let edges: Vec<(u32, Option<Lateness>)> = if is_of_calls {
            let from = memory.edges.iter().filter(|(_, (unit, peer, _), _)| {
                let is_to = |client| line == Line::Held && memory.resolve(client, *peer) == node;
                client(*unit).is_some_and(|client| client == node || is_to(client))
            });
            from.map(|(number, _, usual)| (number, usual.gap_late)).collect()
        } else if is_asked_by_calls {
            let into = memory.edges.iter().filter(|(_, (unit, peer, _), _)| {
                client(*unit).is_some_and(|client| memory.resolve(client, *peer) == node)
            });
            into.map(|(number, _, usual)| (number, usual.late)).collect()
        } else {
            Vec::new()
        };
        let from = to - SECONDS_KEPT + 10;
        let second = |second| {
            let Some(frame) = memory.frames.at(second) else { return (0.0, 0.0) };
            let (mut bad, mut all) = (0.0, 0.0);
            for (unit, late) in &units {
                let Some(cell) = frame.cells.get(unit) else { continue };
                let count = f64::from(cell.count);
                let (hits, of) = match (line, late) {
                    (Line::Of(FaultKind::Slow), Some(late)) => (cell.own.above(late.bucket), count),
                    (Line::Late, Some(late)) => (cell.whole.above(late.bucket), count),
                    (Line::Of(FaultKind::Slow) | Line::Late, None) => (0.0, 0.0),
                    (Line::Of(_), _) => (f64::from(cell.born), count),
                    (Line::Plain, _) => (f64::from(cell.born.saturating_sub(cell.refused)), count),
                    (Line::Failed, _) => (f64::from(cell.failed), count),
                    (Line::Jobs, _) => (f64::from(cell.jobs_failed), f64::from(cell.jobs)),
                    (Line::Calls | Line::Held, _) => (0.0, 0.0),
                };
                (bad, all) = (bad + hits, all + of);
            }
            for (edge, late) in &edges {
                let Some(cell) = frame.edges.get(edge) else { continue };
                let (hits, of) = match (sends, line, late) {
                    (_, Line::Calls, _) => (f64::from(cell.unreached), f64::from(cell.calls)),
                    (_, Line::Held, late) => {
                        (late.map_or(0.0, |late| cell.gap.above(late.bucket)), f64::from(cell.gaps))
                    }
                    (true, ..) => (f64::from(cell.missing), f64::from(cell.missing)),
                    (false, Line::Of(FaultKind::Slow) | Line::Late, late) => {
                        (late.map_or(0.0, |late| cell.took.above(late.bucket)), f64::from(cell.calls))
                    }
                    (false, Line::Plain, _) => {
                        (f64::from(cell.failed.saturating_sub(cell.refused)), f64::from(cell.calls))
                    }
                    (false, ..) => (f64::from(cell.failed), f64::from(cell.calls)),
                };
                (bad, all) = (bad + hits, all + of);
            }
            (bad, all)
        };
        Self { seconds: (from..to).map(second).collect(), to }
    }

    /// The first second of what goes on at the end, if anything does: since then no five seconds with traffic were free
    /// of it.
    pub fn onset(&self, usual_share: f64) -> Option<i64> {
        let (mut onset, mut free) = (None, 0);
        for (at, (bad, all)) in self.seconds.iter().enumerate().rev() {
            if *all <= 0.0 {
                continue;
            }
            if *bad > 0.0 && bad / all > 2.0 * usual_share {
                onset = Some(at);
                free = 0;
            } else {
                free += 1;
                if onset.is_some() && free >= GAP_S {
                    break;
                }
            }
        }
        onset.map(|at| self.to - (self.seconds.len() - at) as i64)
    }

    /// The last second in which something was bad.
    pub fn last_bad(&self) -> Option<i64> {
        let at = self.seconds.iter().rposition(|(bad, _)| *bad > 0.0)?;
        Some(self.to - (self.seconds.len() - at) as i64)
    }

    /// The same, of the seconds from this one on.
    #[must_use]
    pub fn since(mut self, second: i64) -> Self {
        let kept = usize::try_from(self.to - second).unwrap_or(0);
        self.seconds.drain(..self.seconds.len().saturating_sub(kept));
        self
    }

    /// What was bad in the last seconds, of how much.
    pub fn recent(&self, seconds: usize) -> Count {
        let mut count = Count::default();
        for (bad, all) in self.seconds.iter().rev().take(seconds) {
            (count.hits, count.of) = (count.hits + bad, count.of + all);
        }
        count
    }

    /// Whether what was bad in `worst_share` of the requests is over; nothing where too few came since to tell.
    pub fn is_over(&self, worst_share: f64, usual_share: f64) -> Option<bool> {
        let enough = |seconds: &&usize| self.recent(**seconds).of * worst_share >= OVER_EXPECTED;
        let count = self.recent(*OVER_SPANS_S.iter().find(enough)?);
        Some(count.share() <= (2.0 * usual_share).max(worst_share * OVER_SHARE))
    }
}
