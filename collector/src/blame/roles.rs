//! What each service has to do with the faults that go on, and whom a fault can hurt. Pure. Start at `roles`, `radius`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::faults::{BlastRadius, Caller, JourneyRole, Role};

use super::changes::Changes;
use super::history::{History, Line};
use super::incidents::Incident;
use super::likelihood::{SIGNIFICANT, ratio};
use super::memory::Memory;
use super::reading::{Count, EdgeReading, NodeReading, Reading};
use super::suspicion::{SHARE_MIN, has_dried_up, is_troubled};
use super::words;
use super::work::Text;

/// A front-door operation of which fewer requests come by a service does not depend on it.
const COMES_BY_MIN: f64 = 0.01;

/// Seconds for which work that came to nothing is remembered: half-open breakers try every few seconds.
const JOBS_S: usize = 60;

/// A service's part.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its role.
    pub role: Role,
    /// The culprit it is about.
    pub because_of: Option<u32>,
    /// Why, for people.
    pub why: String,
    /// The epoch's second since when it fails or waits.
    pub since: Option<i64>,
}

/// Who calls whom, now or usually.
#[derive(Debug)]
pub struct Calls {
    callers: BTreeMap<u32, BTreeSet<u32>>,
}

impl Calls {
    /// Of a window and of what is usual.
    pub fn of(reading: &Reading) -> Self {
        let mut callers: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let now = reading.edges.iter().filter(|(_, edge)| edge.calls > 0.0).map(|(ends, _)| *ends);
        for (client, server) in
            now.chain(reading.usual_edges.keys().copied()).filter(|(client, server)| client != server)
        {
            callers.entry(server).or_default().insert(client);
        }
        Self { callers }
    }

    /// Everybody who calls a service, directly or through others, with the number of calls between them.
    pub fn callers(&self, node: u32) -> BTreeMap<u32, u32> {
        let mut distances = BTreeMap::from([(node, 0)]);
        let mut next = VecDeque::from([node]);
        while let Some(at) = next.pop_front() {
            let distance = distances.get(&at).copied().unwrap_or(0);
            for caller in self.callers.get(&at).into_iter().flatten() {
                if !distances.contains_key(caller) {
                    distances.insert(*caller, distance + 1);
                    next.push_back(*caller);
                }
            }
        }
        distances.remove(&node);
        distances
    }

    /// Everybody there is: who sends spans, and who is called.
    pub fn everybody(&self, memory: &Memory) -> BTreeSet<u32> {
        let senders = memory.nodes.iter().filter(|(_, _, node)| node.sends).map(|(number, ..)| number);
        senders.chain(self.callers.keys().copied()).collect()
    }
}

/// Everybody's part while these faults go on.
pub fn roles(memory: &Memory, reading: &Reading, open: &BTreeMap<u32, Incident>, to: i64) -> BTreeMap<u32, Part> {
    let calls = Calls::of(reading);
    let everybody = calls.everybody(memory);
    let unaffected = || Part { role: Role::Unaffected, because_of: None, why: String::new(), since: None };
    let mut parts: BTreeMap<u32, Part> = everybody.iter().map(|node| (*node, unaffected())).collect();
    if open.is_empty() {
        return parts;
    }
    let mut culprits: Vec<(u32, &Incident, BTreeMap<u32, u32>)> =
        open.iter().map(|(node, incident)| (*node, incident, calls.callers(*node))).collect();
    culprits.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then(a.0.cmp(&b.0)));
    for node in everybody.iter().filter(|node| !open.contains_key(node)) {
        let suffers_from = culprits.iter().find(|(_, _, callers)| callers.contains_key(node));
        // Retries of others may overload what a culprit calls itself.
        let is_below = || culprits.iter().find(|(culprit, ..)| reading.edges.contains_key(&(*culprit, *node)));
        let Some((culprit, incident, callers)) = suffers_from.or_else(is_below) else { continue };
        let is_direct = callers.get(node) == Some(&1);
        if let Some((why, since)) = suffering(memory, reading, *node, is_direct.then_some(*incident), to) {
            parts.insert(*node, Part { role: Role::Victim, because_of: Some(*culprit), why, since });
        }
    }
    let hurt: BTreeSet<u32> =
        parts.iter().filter(|(_, part)| part.role == Role::Victim).map(|(node, _)| *node).collect();
    for ((client, server), edge) in &reading.edges {
        let is_well = parts.get(client).is_some_and(|part| part.role == Role::Unaffected) && !open.contains_key(client);
        if is_well && client != server && is_troubled(edge) && (open.contains_key(server) || hurt.contains(server)) {
            let through = parts.get(server).and_then(|part| part.because_of);
            let why = shielded(memory, *server, edge);
            let because_of = Some(through.unwrap_or(*server));
            parts.insert(*client, Part { role: Role::Isolated, because_of, why, since: None });
        }
    }
    for (node, incident) in open {
        let because_of = None;
        let why = incident.evidence.first().map(|evidence| evidence.text.clone()).unwrap_or_default();
        parts.insert(*node, Part { role: Role::Culprit, because_of, why, since: Some(incident.since) });
    }
    parts
}

/// Who is well because a breaker keeps it from a culprit, or from somebody who suffers.
pub fn isolate(memory: &Memory, parts: &mut BTreeMap<u32, Part>, changes: &Changes) {
    let troubled = |part: &Part| matches!(part.role, Role::Culprit | Role::Victim);
    let mut away: Vec<(u32, u32, String)> = Vec::new();
    for (node, part) in parts.iter().filter(|(_, part)| troubled(part)) {
        let name = words::name(memory, *node);
        for (client, _) in changes.kept_from(&name) {
            if let Some(client) = memory.nodes.find(&Text::from(client)) {
                away.push((client, part.because_of.unwrap_or(*node), name.clone()));
            }
        }
    }
    for (client, culprit, name) in away {
        if let Some(part) = parts.get_mut(&client).filter(|part| part.role == Role::Unaffected) {
            let why = format!("its breaker to {name} is open, and it serves its callers all the same");
            *part = Part { role: Role::Isolated, because_of: Some(culprit), why, since: None };
        }
    }
}

fn is_plain(count: Count, hits_min: f64, seconds_min: u32) -> bool {
    count.hits >= hits_min
        && count.seconds_hit() >= seconds_min
        && count.share() >= SHARE_MIN
        && ratio(count.hits, count.of, count.usual_share()) >= SIGNIFICANT
}

fn fails(sum: &NodeReading) -> bool {
    is_plain(sum.failed, 3.0, 1)
}

/// How a service suffers, and since when; nothing if it does not. `incident` is that of a culprit which it calls itself.
fn suffering(
    memory: &Memory,
    reading: &Reading,
    node: u32,
    incident: Option<&Incident>,
    to: i64,
) -> Option<(String, Option<i64>)> {
    let sum = reading.nodes.get(&node).cloned().unwrap_or_default();
    if fails(&sum) {
        let onset = History::of(memory, node, Line::Failed, to).onset(sum.failed.usual_share());
        return Some((format!("{} of its requests fail", words::percent(sum.failed.share())), onset));
    }
    if is_plain(sum.late, 5.0, 3) {
        let onset = History::of(memory, node, Line::Late, to).onset(sum.late.usual_share());
        return Some((format!("{} of its requests are late", words::percent(sum.late.share())), onset));
    }
    let jobs = History::of(memory, node, Line::Jobs, to);
    let came_to_nothing = jobs.recent(JOBS_S).hits;
    let since_then = jobs.last_bad().zip(incident).is_some_and(|(last, incident)| last >= incident.since);
    (came_to_nothing >= 2.0 && since_then).then(|| {
        let why = "its requests are answered, but the work they leave behind waits".to_owned();
        (why, incident.map(|incident| incident.since))
    })
}

fn shielded(memory: &Memory, server: u32, edge: &EdgeReading) -> String {
    let name = words::name(memory, server);
    if has_dried_up(edge) {
        let left = words::percent(((edge.calls - edge.retries) / edge.expected).clamp(0.0, 1.0));
        return format!("makes {left} of its usual calls to {name} and serves its callers all the same");
    }
    let share = edge.failed.share().max((edge.missing / edge.calls.max(1.0)).min(1.0));
    if share >= SHARE_MIN {
        return format!(
            "{} of its calls to {name} fail, and it serves its callers all the same",
            words::percent(share)
        );
    }
    format!("its calls to {name} are late, and it serves its callers all the same")
}

/// Share of a front-door operation's requests that usually come by each service.
pub struct Journeys {
    /// Unit to requests, and how many of them come by which node.
    ways: BTreeMap<u32, (f64, BTreeMap<u32, f64>)>,
}

impl Journeys {
    /// Of what is usual.
    pub fn of(memory: &Memory) -> Self {
        let entries = memory.units.iter().filter(|(_, _, unit)| unit.entries > 0.0);
        let mut ways: BTreeMap<u32, (f64, BTreeMap<u32, f64>)> =
            entries.map(|(number, _, unit)| (number, (unit.entries, BTreeMap::new()))).collect();
        for (_, (origin, node), count) in memory.paths.iter() {
            let Some((entries, by)) = ways.get_mut(origin) else { continue };
            let entry = memory.units.get(*origin).map_or(*node, |((entry, _), _)| *entry);
            let node = memory.resolve(entry, *node);
            let share: &mut f64 = by.entry(node).or_default();
            *share = (*share + *count / *entries).min(1.0);
        }
        Self { ways }
    }

    fn share(&self, unit: u32, node: u32) -> f64 {
        self.ways.get(&unit).and_then(|(_, by)| by.get(&node)).copied().unwrap_or(0.0)
    }
}

/// Whom a service can hurt.
pub fn radius(memory: &Memory, reading: &Reading, journeys: &Journeys, node: u32) -> BlastRadius {
    let callers = Calls::of(reading).callers(node);
    let mut callers: Vec<Caller> = callers
        .into_iter()
        .map(|(caller, distance)| Caller { service: words::name(memory, caller), distance })
        .collect();
    callers.sort_by(|a, b| a.distance.cmp(&b.distance).then_with(|| a.service.cmp(&b.service)));
    let all: f64 = journeys.ways.values().map(|(entries, _)| entries).sum();
    let (mut at_stake, mut names) = (0.0, Vec::new());
    for (unit, (entries, _)) in &journeys.ways {
        let share = journeys.share(*unit, node);
        at_stake += entries * share;
        if share >= COMES_BY_MIN
            && let Some(((entry, operation), _)) = memory.units.get(*unit)
        {
            names.push(format!("{} {operation}", words::name(memory, *entry)));
        }
    }
    names.sort();
    BlastRadius { callers, front_door_share: if all > 0.0 { at_stake / all } else { 0.0 }, journeys: names }
}

/// The front door's operations, and how they fare in the seconds `from..to`.
pub fn journeys(
    memory: &Memory,
    journeys: &Journeys,
    open: &BTreeMap<u32, Incident>,
    (from, to): (i64, i64),
) -> Vec<JourneyRole> {
    let mut found = Vec::new();
    for unit in journeys.ways.keys() {
        let Some(((node, operation), usual)) = memory.units.get(*unit) else { continue };
        let (mut failed, mut late) = (Count::default(), Count::default());
        let bound = usual.whole_late;
        for cell in (from..to).filter_map(|second| memory.frames.at(second)?.cells.get(unit)) {
            failed.hits += f64::from(cell.failed);
            failed.of += f64::from(cell.count);
            late.hits += bound.map_or(0.0, |bound| cell.whole.above(bound.bucket));
        }
        late.of = failed.of;
        let usually = (usual.failed / usual.count.max(1.0)).max(0.01);
        let late_usually = bound.map_or(1.0, |bound| bound.share);
        let is_hurt = ratio(failed.hits, failed.of, usually) >= SIGNIFICANT / 2.0
            || ratio(late.hits, late.of, late_usually) >= SIGNIFICANT;
        let mut by: Vec<(u32, f64)> = open.iter().map(|(node, incident)| (*node, incident.score)).collect();
        by.retain(|(culprit, _)| journeys.share(*unit, *culprit) >= COMES_BY_MIN);
        by.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let role = match (by.first(), is_hurt && !open.is_empty()) {
            (_, true) => Role::Victim,
            (Some(_), false) => Role::Isolated,
            (None, false) => Role::Unaffected,
        };
        found.push(JourneyRole {
            service: words::name(memory, *node),
            operation: operation.to_string(),
            role,
            because_of: by.first().map_or_else(String::new, |(culprit, _)| words::name(memory, *culprit)),
            rate: failed.of / (to - from).max(1) as f64,
            error_ratio: failed.share(),
        });
    }
    found.sort_by(|a, b| a.service.cmp(&b.service).then_with(|| a.operation.cmp(&b.operation)));
    found
}
