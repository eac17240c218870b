//! Faults that go on: opened by evidence, kept while it may only be hidden behind a breaker, ended by what goes well.
//! Pure. Start at `Incidents::update`.

use std::collections::{BTreeMap, BTreeSet};

use protocol::faults::{Evidence, FaultKind};

use super::history::{History, Line};
use super::memory::Memory;
use super::suspicion::{EXPLAINED, Suspicion};
use super::words;

/// Suspects named at a time: a screen full.
const INCIDENTS_MAX: usize = 16;

/// Who has less than this of the blame is not named.
const SCORE_MIN: f64 = 0.2;

/// Where nothing went badly for so many seconds, and nothing well, nobody asks any more.
const FORGOTTEN_S: i64 = 60;

/// What has ended is looked at no more after so many seconds: the longest window and what comes late.
const ENDED_S: i64 = 45;

/// So much must go badly after an end for a beginning.
const ANEW_MIN: f64 = 3.0;

/// Seconds over which the worst share is taken, and requests of which it may be one.
const WORST_S: usize = 10;
const WORST_REQUESTS_MIN: f64 = 5.0;

/// What has gone on for so long is how things are: what is usual is learnt anew.
const USUAL_AFTER_S: i64 = 3_600;

/// What a window began and ended.
#[derive(Debug, Default)]
pub struct Turn {
    /// Who is new.
    pub new: Vec<u32>,
    /// What is over.
    pub ended: Vec<Ended>,
}

/// A fault that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who was suspected.
    pub service: String,
    /// The epoch's seconds from the first in which it was broken to the one after the last.
    pub seconds: (i64, i64),
    /// Somebody whom it calls is suspected now instead.
    pub is_explained: bool,
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What the suspect is called.
    pub service: String,
    /// How it is broken.
    pub fault: FaultKind,
    /// What tells how it goes on.
    line: Line,
    /// From 0 to 1.
    pub score: f64,
    /// The epoch's second in which it began.
    pub since: i64,
    /// The largest share of bad requests.
    pub worst_share: f64,
    /// The usual share.
    pub usual: f64,
    /// How sure it was when it was surest.
    pub likelihood: f64,
    /// As of then.
    pub evidence: Vec<Evidence>,
    last_bad: i64,
}

/// All faults that go on, by node.
#[derive(Debug, Default)]
pub struct Incidents {
    open: BTreeMap<u32, Incident>,
    /// When each ended that ended of late.
    ended: BTreeMap<u32, i64>,
}

impl Incidents {
    /// Those that go on.
    pub fn open(&self) -> &BTreeMap<u32, Incident> {
        &self.open
    }

    /// To be told the evidence.
    pub fn open_mut(&mut self) -> &mut BTreeMap<u32, Incident> {
        &mut self.open
    }

    /// Who is named, or was until the seconds that are still looked at.
    pub fn names(&self) -> BTreeSet<u32> {
        self.open.keys().chain(self.ended.keys()).copied().collect()
    }

    /// Whether a second may be taken for usual: nothing went on then, and nothing has gone on for too long since.
    pub fn is_usual(&self, second: i64) -> bool {
        let goes_on = self.open.values().any(|i| second >= i.since && second - i.since < USUAL_AFTER_S);
        !goes_on && self.ended.values().all(|ended| second > *ended)
    }

    /// Takes the suspicions of a window that ends at `to`. Says what is new and what is over.
    pub fn update(&mut self, memory: &Memory, found: &[Suspicion], to: i64) -> Turn {
        let mut turn = Turn::default();
        self.ended.retain(|_, ended| to - *ended < ENDED_S);
        for suspicion in found.iter().filter(|s| s.explained < EXPLAINED && s.score >= SCORE_MIN) {
            let node = suspicion.node;
            if let Some(known) = self.open.get_mut(&node) {
                known.refresh(suspicion, to);
            } else if self.open.len() < INCIDENTS_MAX
                && self.has_begun_anew(memory, suspicion, to)
                && let Some(incident) = Incident::new(memory, suspicion, to)
            {
                self.ended.remove(&node);
                self.open.insert(node, incident);
                turn.new.push(node);
            }
        }
        let explained = |node: u32| {
            let mut of = found.iter().filter(|s| s.node == node).peekable();
            of.peek().is_some() && of.all(|s| s.explained >= EXPLAINED)
        };
        let ended: Vec<(u32, bool)> = self
            .open
            .iter_mut()
            .map(|(node, incident)| (*node, explained(*node), incident.is_over(memory, *node, to)))
            .filter(|(_, is_explained, is_over)| *is_explained || *is_over)
            .map(|(node, is_explained, _)| (node, is_explained))
            .collect();
        for (node, is_explained) in ended {
            self.ended.insert(node, to);
            let Some(Incident { service, since, last_bad, .. }) = self.open.remove(&node) else { continue };
            if turn.new.contains(&node) {
                turn.new.retain(|new| *new != node);
                continue;
            }
            turn.ended.push(Ended { service, seconds: (since, (last_bad + 1).clamp(since, to)), is_explained });
        }
        turn
    }

    /// The window still holds what was bad before the end, at the one that was named and at all that had to do with it: what a
    /// breaker held back is asked again before that has left the window.
    fn has_begun_anew(&self, memory: &Memory, suspicion: &Suspicion, to: i64) -> bool {
        let Some(ended) = self.ended.values().max() else { return true };
        let history = History::of(memory, suspicion.node, suspicion.line, to).since(*ended);
        history.recent(usize::MAX).hits >= ANEW_MIN
    }
}

impl Incident {
    /// Nothing if no second shows it: then it is over already.
    fn new(memory: &Memory, suspicion: &Suspicion, to: i64) -> Option<Self> {
        let history = History::of(memory, suspicion.node, suspicion.line, to);
        let since = history.onset(suspicion.usual)?;
        Some(Self {
            service: words::name(memory, suspicion.node),
            fault: suspicion.fault,
            line: suspicion.line,
            score: suspicion.score,
            since,
            worst_share: history.since(since).recent(WORST_S).share().max(suspicion.share),
            usual: suspicion.usual,
            likelihood: 0.0,
            evidence: Vec::new(),
            last_bad: to,
        })
    }

    fn refresh(&mut self, suspicion: &Suspicion, to: i64) {
        // Of errors and slowness of one service the surer one speaks.
        let is_same = (self.fault == FaultKind::Slow) == (suspicion.fault == FaultKind::Slow);
        if !is_same && suspicion.likelihood < self.likelihood {
            return;
        }
        if !is_same {
            (self.worst_share, self.likelihood) = (0.0, 0.0);
        }
        (self.fault, self.line) = (suspicion.fault, suspicion.line);
        self.score = suspicion.score;
        self.usual = suspicion.usual;
        self.worst_share = self.worst_share.max(suspicion.share);
        self.last_bad = to;
    }

    fn is_over(&mut self, memory: &Memory, node: u32, to: i64) -> bool {
        let history = History::of(memory, node, self.line, to).since(self.since);
        let recent = history.recent(WORST_S);
        if recent.of >= WORST_REQUESTS_MIN {
            self.worst_share = self.worst_share.max(recent.share());
        }
        self.last_bad = history.last_bad().unwrap_or(self.last_bad);
        let is_forgotten = to - self.last_bad > FORGOTTEN_S;
        let is_gone = memory.nodes.get(node).is_none();
        is_gone || is_forgotten || history.is_over(self.worst_share, self.usual) == Some(true)
    }
}
