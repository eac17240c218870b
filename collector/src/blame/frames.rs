//! What happened in each of the last seconds, by the numbers of `memory`'s rows. Pure: the time comes in.

use std::collections::{HashMap, VecDeque};

use super::sketch::Few;
use super::work::ErrorKind;

/// Seconds kept: long enough to see when something began that was named late.
pub const SECONDS_KEPT: i64 = 90;

/// Seconds that are open ahead of our clock, for machines whose clocks are ahead of it.
const SECONDS_AHEAD: i64 = 10;

/// Looks of errors told apart in one second of one unit.
const LOOKS_MAX: usize = 8;

/// Errors by look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looks(Vec<(ErrorKind, u32)>);

impl Looks {
    /// Counts one.
    pub fn observe(&mut self, look: Option<ErrorKind>) {
        let look = look.unwrap_or(ErrorKind::Other);
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == look) {
            *count += 1;
        } else if self.0.len() < LOOKS_MAX {
            self.0.push((look, 1));
        }
    }

    /// Adds what it counted.
    pub fn add_to(&self, sum: &mut HashMap<ErrorKind, u32>) {
        self.0.iter().for_each(|(look, count)| *sum.entry(*look).or_default() += count);
    }
}

/// One unit's second: requests of one operation of one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// Requests.
    pub count: u32,
    /// Of them, those of the front door.
    pub entries: u32,
    /// Failed, whoever is to blame.
    pub failed: u32,
    /// Failed although no call below did.
    pub born: u32,
    /// Of the errors born here, those that say "not now".
    pub refused: u32,
    /// Own time.
    pub own: Few,
    /// Own time together, microseconds.
    pub own_us: u64,
    /// All of their time.
    pub whole: Few,
    /// Of the errors born here.
    pub looks: Looks,
    /// Work that nobody waits for, and how much of it came to nothing.
    pub jobs: u32,
    /// Of the jobs.
    pub jobs_failed: u32,
}

/// One edge's second: calls of one unit to one peer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EdgeCell {
    /// Calls.
    pub calls: u32,
    /// Failed, and the one called is to blame.
    pub failed: u32,
    /// Of the failed ones, those that were told "not now".
    pub refused: u32,
    /// Failed or cut short, and the one called did not even notice.
    pub missing: u32,
    /// Cut short by the failing of what made them.
    pub cut: u32,
    /// Repeat others.
    pub retries: u32,
    /// Failed without an answer, or for want of one in time.
    pub unreached: u32,
    /// Of them, those that found no connection.
    pub unconnected: u32,
    /// Of them, those that were given up, and after how long together, microseconds.
    pub timed_out: u32,
    /// See `timed_out`.
    pub timed_out_us: u64,
    /// How long they took.
    pub took: Few,
    /// How long they took together, microseconds.
    pub took_us: u64,
    /// Those of which the one called says how long it took, and how much longer they took.
    pub gaps: u32,
    /// See `gaps`.
    pub gap: Few,
    /// Of the failed ones.
    pub looks: Looks,
}

/// One second.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// By unit.
    pub cells: HashMap<u32, Cell>,
    /// By edge.
    pub edges: HashMap<u32, EdgeCell>,
    /// Requests by path: front door's unit to node.
    pub paths: HashMap<u32, u32>,
    /// Of all units, errors that say "not now".
    pub refused: u32,
}

/// The last seconds.
#[derive(Debug, Default)]
pub struct Frames {
    frames: VecDeque<Frame>,
    first: i64,
}

impl Frames {
    /// Opens the seconds up to now and a little ahead and hands back those that fall out. Begins anew if the clock was set.
    pub fn advance(&mut self, now: i64) {
        if self.frames.is_empty() || now < self.first || now - self.first >= 2 * SECONDS_KEPT {
            self.frames.clear();
            self.first = now + 1 - SECONDS_KEPT;
        }
        while self.first + (self.frames.len() as i64) <= now + SECONDS_AHEAD {
            self.frames.push_back(Frame::default());
        }
        while self.frames.len() as i64 > SECONDS_KEPT + SECONDS_AHEAD {
            self.frames.pop_front();
            self.first += 1;
        }
    }

    /// The second in which something ended, if it is kept.
    pub fn at_mut(&mut self, second: i64) -> Option<&mut Frame> {
        let at = usize::try_from(second.checked_sub(self.first)?).ok()?;
        self.frames.get_mut(at)
    }

    /// A second.
    pub fn at(&self, second: i64) -> Option<&Frame> {
        self.frames.get(usize::try_from(second.checked_sub(self.first)?).ok()?)
    }

    /// The earliest second kept.
    pub fn first(&self) -> i64 {
        self.first
    }
}
