//! All that blame remembers: who there is, what they did in the last seconds, and what is usual. Judges nothing.
//! Pure: the time comes in. Start at `Memory::observe` and `Memory::absorb`.

use std::collections::HashMap;

use super::frames::{Frames, SECONDS_KEPT};
use super::sketch::{self, Many};
use super::table::Table;
use super::work::{Alias, Answer, ErrorKind, Outcall, PeerKind, Text, Work, WorkKind};

/// Services and peers: four times as many as a person oversees.
const NODES_MAX: usize = 4_000;

/// Operations of one service; the rest is one operation more, so that a service whose operations hold ids costs its
/// neighbours nothing.
const OPERATIONS_MAX: u32 = 40;

/// Operations of all services.
const UNITS_MAX: usize = 16_000;

/// Operations' calls to peers.
const EDGES_MAX: usize = 40_000;

/// Front-door operations' ways to services.
const PATHS_MAX: usize = 40_000;

/// Names that clients have for services.
const ALIASES_MAX: usize = 20_000;

/// Who has not been seen for so many seconds is forgotten: as long as the graph remembers.
const IDLE_S: i64 = 900;

/// How often the past is made to count less, and idle rows are looked for, seconds.
const UPKEEP_S: i64 = 60;

/// How often it is worked out anew what is late, seconds: what is usual changes slowly.
const BOUNDS_S: i64 = 5;

/// What is usual is forgotten by half in ten minutes: a slow change of the day is usual, an outage is not.
const HALF_LIFE_S: f64 = 600.0;

/// The name of operations beyond [`OPERATIONS_MAX`].
const OTHERS: &str = "(others)";

/// A service or peer.
#[derive(Debug, Default)]
pub struct Node {
    /// It sends spans.
    pub sends: bool,
    /// Of a peer that sends none.
    pub kind: Option<PeerKind>,
    /// The first second in which it was called or worked.
    pub first_seen: i64,
    /// The first second in which something went well there.
    pub first_well: Option<i64>,
    operations: u32,
}

/// What is usual for an operation of a service.
#[derive(Debug, Default)]
pub struct Unit {
    /// Requests.
    pub count: f64,
    /// Of the front door.
    pub entries: f64,
    /// Failed.
    pub failed: f64,
    /// Failed by itself.
    pub born: f64,
    /// Jobs.
    pub jobs: f64,
    /// Failed jobs.
    pub jobs_failed: f64,
    /// Own time.
    pub own: Many,
    /// Own time together, microseconds.
    pub own_us: f64,
    /// All of their time.
    pub whole: Many,
    /// When own time is late.
    pub own_late: Option<Lateness>,
    /// When all of the time is late.
    pub whole_late: Option<Lateness>,
}

/// What is usual for calls of an operation to a peer.
#[derive(Debug, Default)]
pub struct Edge {
    /// Calls.
    pub calls: f64,
    /// Failed calls.
    pub failed: f64,
    /// How long they take.
    pub took: Many,
    /// How long they take together, microseconds.
    pub took_us: f64,
    /// When a call is late.
    pub late: Option<Lateness>,
    /// How much longer they take than the one called says.
    pub gap: Many,
    /// When that is late.
    pub gap_late: Option<Lateness>,
}

/// What found no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Work that ended too long ago or too far ahead.
    pub out_of_time: u64,
    /// Services, operations, edges or ways beyond what is held.
    pub too_many: u64,
}

/// All that is remembered.
#[derive(Debug)]
pub struct Memory {
    /// By name.
    pub nodes: Table<Text, Node>,
    /// By node and operation.
    pub units: Table<(u32, Text), Unit>,
    /// By unit, node and kind.
    pub edges: Table<(u32, u32, PeerKind), Edge>,
    /// Requests that come from a front-door unit by a node.
    pub paths: Table<(u32, u32), f64>,
    /// The last seconds.
    pub frames: Frames,
    /// Seconds of which the usual is made, those long ago counting less.
    pub seconds: f64,
    /// Client and its name for a peer to who that is.
    aliases: HashMap<(u32, u32), u32>,
    absorbed: Option<i64>,
    upkeep_due: i64,
    out_of_time: u64,
    others: Text,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            nodes: Table::new(NODES_MAX),
            units: Table::new(UNITS_MAX),
            edges: Table::new(EDGES_MAX),
            paths: Table::new(PATHS_MAX),
            frames: Frames::default(),
            seconds: 0.0,
            aliases: HashMap::new(),
            absorbed: None,
            upkeep_due: 0,
            out_of_time: 0,
            others: OTHERS.into(),
        }
    }
}

impl Memory {
    /// Lets time pass.
    pub fn advance(&mut self, now: i64) {
        self.frames.advance(now);
        if now < self.upkeep_due && self.upkeep_due - now <= UPKEEP_S {
            return;
        }
        self.upkeep_due = now + UPKEEP_S;
        let oldest = now - IDLE_S;
        self.paths.sweep(oldest);
        self.edges.sweep(oldest);
        self.units.sweep(oldest);
        self.nodes.sweep(oldest);
        let nodes = &self.nodes;
        let is_there = |node: &u32| nodes.get(*node).is_some();
        self.aliases.retain(|(client, peer), server| is_there(client) && is_there(peer) && is_there(server));
    }

    /// What found no room so far.
    pub fn drops(&self) -> Drops {
        let refused = [self.nodes.refused(), self.units.refused(), self.edges.refused(), self.paths.refused()];
        Drops { out_of_time: self.out_of_time, too_many: refused.iter().sum() }
    }

    fn node(&mut self, name: &Text, second: i64) -> Option<u32> {
        self.nodes.number(name, second, || Node { first_seen: second, ..Node::default() })
    }

    fn unit(&mut self, node: u32, operation: &Text, second: i64) -> Option<u32> {
        let key = (node, operation.clone());
        if self.units.find(&key).is_some() {
            return self.units.number(&key, second, Unit::default);
        }
        let known = self.nodes.get_mut(node)?;
        if known.operations >= OPERATIONS_MAX {
            return self.units.number(&(node, self.others.clone()), second, Unit::default);
        }
        known.operations += 1;
        self.units.number(&key, second, Unit::default)
    }

    /// Takes a piece of work.
    pub fn observe(&mut self, work: &Work) {
        let second = i64::try_from(work.end_ns / 1_000_000_000).unwrap_or(i64::MAX);
        if self.frames.at(second).is_none() {
            self.out_of_time += 1;
            return;
        }
        let Some(node) = self.node(&work.service, second) else { return };
        let Some(unit) = self.unit(node, &work.operation, second) else { return };
        if let Some(known) = self.nodes.get_mut(node) {
            known.sends = true;
            if !work.failed && work.kind != WorkKind::Fragment {
                known.first_well = Some(known.first_well.map_or(second, |first| first.min(second)));
            }
        }
        let Some(frame) = self.frames.at_mut(second) else { return };
        let cell = frame.cells.entry(unit).or_default();
        match work.kind {
            WorkKind::Entry | WorkKind::Request => {
                cell.count += 1;
                cell.entries += u32::from(work.kind == WorkKind::Entry);
                cell.failed += u32::from(work.failed);
                if work.own_failed {
                    cell.born += 1;
                    cell.looks.observe(work.error);
                    let refused = u32::from(work.error.is_some_and(ErrorKind::is_not_now));
                    cell.refused += refused;
                    frame.refused += refused;
                }
                cell.own.observe(work.own_ns);
                cell.own_us += work.own_ns / 1_000;
                cell.whole.observe(work.whole_ns);
            }
            WorkKind::Job => {
                cell.jobs += 1;
                // Work that nobody waits for says of itself rarely that it failed; its last call does.
                let ended_badly = work.calls.last().is_some_and(|call| call.failed);
                cell.jobs_failed += u32::from(work.failed || ended_badly);
            }
            WorkKind::Fragment => {}
        }
        let origin = work.origin.as_ref().and_then(|(service, operation)| {
            let node = self.node(service, second)?;
            self.unit(node, operation, second)
        });
        if let Some(origin) = origin.filter(|_| work.kind != WorkKind::Fragment) {
            self.count_path(origin, node, second);
        }
        for call in &work.calls {
            self.observe_call(unit, origin, call, second);
        }
    }

    fn count_path(&mut self, origin: u32, node: u32, second: i64) {
        let Some(path) = self.paths.number(&(origin, node), second, || 0.0) else { return };
        if let Some(frame) = self.frames.at_mut(second) {
            *frame.paths.entry(path).or_default() += 1;
        }
    }

    fn observe_call(&mut self, unit: u32, origin: Option<u32>, call: &Outcall, second: i64) {
        let Some((name, kind)) = &call.peer else { return };
        let Some(peer) = self.node(name, second) else { return };
        if let Some(known) = self.nodes.get_mut(peer) {
            known.kind.get_or_insert(*kind);
            if !call.failed {
                known.first_well = Some(known.first_well.map_or(second, |first| first.min(second)));
            }
        }
        let Some(edge) = self.edges.number(&(unit, peer, *kind), second, Edge::default) else { return };
        let Some(frame) = self.frames.at_mut(second) else { return };
        let cell = frame.edges.entry(edge).or_default();
        cell.calls += 1;
        cell.failed += u32::from(call.failed);
        // A call that its caller gave up was not turned away by whom it was for.
        let is_refused = |error: ErrorKind| error.is_not_now() && error != ErrorKind::TimedOut;
        cell.refused += u32::from(call.failed && call.error.is_some_and(is_refused));
        cell.cut += u32::from(call.was_cut_short);
        cell.retries += u32::from(call.is_retry);
        let is_missing = (call.failed || call.was_cut_short) && call.answer == Answer::Missing;
        cell.missing += u32::from(is_missing);
        let failed_by = |error| call.failed && call.error == Some(error);
        let (is_given_up, has_none) = (failed_by(ErrorKind::TimedOut), failed_by(ErrorKind::NoConnection));
        cell.unreached += u32::from(is_missing || is_given_up || has_none);
        cell.unconnected += u32::from(has_none);
        if is_given_up {
            cell.timed_out += 1;
            cell.timed_out_us += call.ns / 1_000;
        }
        cell.took.observe(call.ns);
        cell.took_us += call.ns / 1_000;
        if let Some(gap_ns) = call.gap_ns {
            cell.gaps += 1;
            cell.gap.observe(gap_ns);
        }
        if call.failed {
            cell.looks.observe(call.error);
        }
        if let Some(origin) = origin.filter(|_| matches!(call.answer, Answer::Missing | Answer::Unknown)) {
            self.count_path(origin, peer, second);
        }
    }

    /// Learns whom a client means by a name.
    pub fn learn_alias(&mut self, alias: &Alias, now: i64) {
        if alias.peer == alias.server || self.aliases.len() >= ALIASES_MAX {
            return;
        }
        let (client, peer) = (self.node(&alias.client, now), self.node(&alias.peer, now));
        if let (Some(client), Some(peer), Some(server)) = (client, peer, self.node(&alias.server, now)) {
            self.aliases.insert((client, peer), server);
        }
    }

    /// Who is called by this name.
    pub fn resolve(&self, client: u32, peer: u32) -> u32 {
        if self.nodes.get(peer).is_some_and(|(_, node)| node.sends) {
            return peer;
        }
        if let Some(server) = self.aliases.get(&(client, peer)) {
            return *server;
        }
        // `payment.shop.svc.cluster.local` is the service that calls itself `payment`.
        let first = self.nodes.get(peer).and_then(|(name, _)| name.split(['.', ':']).next()).unwrap_or_default();
        let known = self.nodes.find(&Text::from(first));
        known.filter(|node| self.nodes.get(*node).is_some_and(|(_, node)| node.sends)).unwrap_or(peer)
    }

    /// Takes the seconds before `until` into what is usual, unless `usual` says no of a second.
    pub fn absorb(&mut self, until: i64, usual: impl Fn(i64) -> bool) {
        let from = self.absorbed.unwrap_or(self.frames.first()).max(self.frames.first()).max(until - SECONDS_KEPT);
        for second in from..until {
            if usual(second) {
                self.absorb_second(second);
            }
        }
        self.absorbed = Some(self.absorbed.map_or(until, |absorbed| absorbed.max(until)));
        if until % BOUNDS_S == 0 {
            for unit in self.units.values_mut() {
                (unit.own_late, unit.whole_late) = (lateness(&unit.own), lateness(&unit.whole));
            }
            for edge in self.edges.values_mut() {
                (edge.late, edge.gap_late) = (lateness(&edge.took), waiting(&edge.gap));
            }
        }
    }

    fn absorb_second(&mut self, second: i64) {
        let Some(frame) = self.frames.at(second) else { return };
        if frame.cells.is_empty() {
            return;
        }
        for (number, cell) in &frame.cells {
            let Some(unit) = self.units.get_mut(*number) else { continue };
            unit.count += f64::from(cell.count);
            unit.entries += f64::from(cell.entries);
            unit.failed += f64::from(cell.failed);
            unit.born += f64::from(cell.born);
            unit.jobs += f64::from(cell.jobs);
            unit.jobs_failed += f64::from(cell.jobs_failed);
            unit.own.add(&cell.own);
            unit.own_us += cell.own_us as f64;
            unit.whole.add(&cell.whole);
        }
        for (number, cell) in &frame.edges {
            let Some(edge) = self.edges.get_mut(*number) else { continue };
            edge.calls += f64::from(cell.calls);
            edge.failed += f64::from(cell.failed);
            edge.took.add(&cell.took);
            edge.took_us += cell.took_us as f64;
            edge.gap.add(&cell.gap);
        }
        for (number, count) in &frame.paths {
            if let Some(path) = self.paths.get_mut(*number) {
                *path += f64::from(*count);
            }
        }
        self.seconds += 1.0;
        if second % UPKEEP_S == 0 {
            self.fade(0.5f64.powf(UPKEEP_S as f64 / HALF_LIFE_S));
        }
    }

    fn fade(&mut self, factor: f64) {
        self.seconds *= factor;
        for unit in self.units.values_mut() {
            for sum in [
                &mut unit.count,
                &mut unit.entries,
                &mut unit.failed,
                &mut unit.born,
                &mut unit.jobs,
                &mut unit.jobs_failed,
                &mut unit.own_us,
            ] {
                *sum *= factor;
            }
            unit.own.fade(factor);
            unit.whole.fade(factor);
        }
        for edge in self.edges.values_mut() {
            edge.calls *= factor;
            edge.failed *= factor;
            edge.took_us *= factor;
            edge.took.fade(factor);
            edge.gap.fade(factor);
        }
        self.paths.values_mut().for_each(|count| *count *= factor);
    }
}

/// From where on a duration is unusual, and what share of the usual ones is beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lateness {
    /// Durations in buckets above this one are late.
    pub bucket: usize,
    /// What share usually is.
    pub share: f64,
    /// The usual median, milliseconds.
    pub median_ms: f64,
    /// What is longer is late, milliseconds.
    pub bound_ms: f64,
}

/// Fewer durations say nothing about what is usual.
const USUAL_MIN: f64 = 20.0;

/// A duration is late when it is so many times the usual median ...
const LATE_MEDIANS: f64 = 2.5;
/// ... and so many times what 95 % keep to ...
const LATE_P95S: f64 = 2.0;
/// ... and so much more than the median, milliseconds: less is the noise of any machine.
const LATE_MS: f64 = 8.0;

/// However seldom something was late so far, this share of it may be by chance.
const LATE_SHARE_MIN: f64 = 0.01;

/// Less than this is what a request waits for a busy service to take it in, milliseconds ...
const WAIT_MS: f64 = 100.0;

/// ... and seldom it is more by chance.
const WAIT_SHARE_MIN: f64 = 0.000_5;

/// How long nobody waits for a process that runs to take in what has come.
fn waiting(usual: &Many) -> Option<Lateness> {
    let late = lateness(usual)?;
    let bound_ms = late.bound_ms.max(late.median_ms + WAIT_MS);
    let bucket = sketch::bucket_at_ms(bound_ms);
    let share = (usual.above(bucket) / usual.count()).max(WAIT_SHARE_MIN);
    Some(Lateness { bucket, share, bound_ms, ..late })
}

/// What is late, by what is usual; nothing where too little is known.
fn lateness(usual: &Many) -> Option<Lateness> {
    if usual.count() < USUAL_MIN {
        return None;
    }
    let (median_ms, p95_ms) = (usual.quantile_ms(0.5), usual.quantile_ms(0.95));
    let bound_ms = (median_ms * LATE_MEDIANS).max(p95_ms * LATE_P95S).max(median_ms + LATE_MS);
    let bucket = sketch::bucket_at_ms(bound_ms);
    let share = (usual.above(bucket) / usual.count()).max(LATE_SHARE_MIN);
    Some(Lateness { bucket, share, median_ms, bound_ms })
}
