//! Names what is broken: where errors are born and time is lost, against what is usual, with evidence, whom it hurts and
//! who is safe. Pure: no I/O, no wire format, no clock; `traces` tells it what was done and asks at each tick. The same
//! work in any order gives the same answer. Start at `Blame::judge`.

pub mod changes;
pub mod counters;
mod frames;
mod history;
mod incidents;
mod likelihood;
mod memory;
mod reading;
mod roles;
mod sketch;
mod suspicion;
mod table;
mod weather;
mod words;
pub mod work;

use std::collections::BTreeMap;

use protocol::faults::{Faults, Role, ServiceRole, Source, Suspect, TimelineEvent, Watch};
use protocol::graph::NodeKind;

pub use self::memory::Drops;

use self::changes::{Changes, Fact};
use self::history::Line;
use self::incidents::{Incidents, Turn};
use self::memory::Memory;
use self::reading::Reading;
use self::roles::{Journeys, Part};
use self::suspicion::Suspicion;
use self::weather::{Overload, Refusals, Spells, Weather};
use self::words::Scene;
use self::work::{Alias, PeerKind, Work};

/// Seconds that are judged together: enough requests to tell, and short enough to be told in time.
const WINDOW_S: i64 = 10;

/// Seconds that are judged together for services with few requests ...
const WINDOW_LONG_S: i64 = 30;

/// ... which are those with fewer in so long.
const RARE_REQUESTS: f64 = 300.0;

/// What is judged is taken for usual so long after it, seconds: twice what it takes to name what is plain.
const ABSORB_AFTER_S: i64 = 15;

/// Seconds of which the usual must be made before it is called known.
const LEARNT_S: f64 = 10.0;

/// Where among a suspect's evidence its changes stand: after what says that it is one.
const CHANGES_AT: usize = 2;

/// Names in one list of the verdict.
const NAMES_MAX: usize = 5;

/// What is broken.
#[derive(Debug)]
pub struct Blame {
    memory: Memory,
    incidents: Incidents,
    spells: Spells,
    changes: Changes,
    source: Source,
    /// How long after its end work is told, seconds.
    lag_s: i64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    named: u64,
}

impl Blame {
    /// Knows nothing yet. Work is told at most about so long after its end.
    pub fn new(lag_ms: i64) -> Self {
        Self {
            memory: Memory::default(),
            incidents: Incidents::default(),
            spells: Spells::default(),
            changes: Changes::default(),
            source: Source::Spans,
            lag_s: seconds_of(lag_ms),
            first_ms: None,
            last_ms: None,
            named: 0,
        }
    }

    /// Says what the work that it is told is made from.
    pub fn judges_by(&mut self, source: Source) {
        self.source = source;
    }

    /// Work is told about so long after its end from now on.
    pub fn lags_by(&mut self, lag_ms: i64) {
        self.lag_s = seconds_of(lag_ms);
    }

    /// When it was told of work last.
    pub fn last_ms(&self) -> Option<i64> {
        self.last_ms
    }

    /// Takes pieces of work.
    pub fn observe<'w>(&mut self, works: impl IntoIterator<Item = &'w Work>, now_ms: i64) {
        self.memory.advance(now_ms.div_euclid(1_000));
        for work in works {
            self.first_ms.get_or_insert(now_ms);
            self.last_ms = Some(now_ms);
            self.memory.observe(work);
            if let Some(version) = &work.version {
                let at_ms = i64::try_from(work.end_ns / 1_000_000).unwrap_or(now_ms);
                self.changes.see_version(&work.service, version, at_ms, now_ms);
            }
        }
    }

    /// Takes all that is known now of workloads and breakers.
    pub fn take(&mut self, facts: &[Fact], now_ms: i64) {
        self.changes.take(facts, now_ms);
    }

    /// What began, ended and changed in the last hour.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Learns whom clients mean by a name.
    pub fn learn<'a>(&mut self, aliases: impl IntoIterator<Item = &'a Alias>, now_ms: i64) {
        let now = now_ms.div_euclid(1_000);
        aliases.into_iter().for_each(|alias| self.memory.learn_alias(alias, now));
    }

    /// What found no room so far.
    pub fn drops(&self) -> Drops {
        let drops = self.memory.drops();
        Drops { too_many: drops.too_many + self.changes.dropped(), ..drops }
    }

    /// Services and peers known now.
    pub fn known(&self) -> usize {
        self.memory.nodes.len()
    }

    /// Suspects named so far.
    pub fn named(&self) -> u64 {
        self.named
    }

    /// Judges the last seconds. To be asked about once a second.
    pub fn judge(&mut self, now_ms: i64) -> Faults {
        self.memory.advance(now_ms.div_euclid(1_000));
        let to = now_ms.div_euclid(1_000) - self.lag_s;
        let from = to - WINDOW_S;
        let reading = Reading::of(&self.memory, from, to);
        let refusals = Refusals::of(&self.memory, to);
        let weather = Weather::of(&self.memory, &reading, &refusals, WINDOW_S);
        let overload = weather.overload();
        let mut found = suspicion::find(&weather, &self.incidents.names(), to);
        let long = Reading::of(&self.memory, to - WINDOW_LONG_S, to);
        let weather = Weather::of(&self.memory, &long, &refusals, WINDOW_LONG_S);
        let rare = suspicion::find(&weather, &self.incidents.names(), to);
        let is_rare = |node: u32| long.nodes.get(&node).is_some_and(|sum| sum.requests < RARE_REQUESTS);
        let is_new = |node: u32| found.iter().all(|suspicion| suspicion.node != node);
        // Of a process that stands still only the calls tell that were under way just then, and they are few.
        let is_few = |s: &Suspicion| s.line == Line::Held || is_rare(s.node);
        let rare: Vec<_> = rare.into_iter().filter(|s| is_few(s) && is_new(s.node)).collect();
        found.extend(rare.iter().cloned());
        let turn = self.incidents.update(&self.memory, &found, to);
        self.named += turn.new.len() as u64;
        for suspicion in &found {
            let Some(incident) = self.incidents.open_mut().get_mut(&suspicion.node) else { continue };
            // Later windows may know less of it, behind a breaker.
            if incident.fault == suspicion.fault && suspicion.likelihood * 2.0 >= incident.likelihood {
                let is_rare = rare.iter().any(|s| s.node == suspicion.node);
                let (reading, from) = if is_rare { (&long, to - WINDOW_LONG_S) } else { (&reading, from) };
                let (window, since) = ((from, to), incident.since);
                let scene = Scene { memory: &self.memory, reading, window, since, source: self.source };
                incident.evidence = words::of_suspicion(&scene, suspicion);
                incident.likelihood = incident.likelihood.max(suspicion.likelihood);
            }
        }
        let faults = self.describe(&reading, (from, to), overload.as_ref(), now_ms);
        self.tell(&turn, &faults, now_ms);
        self.spells.note((from, to), overload.is_some() && self.memory.seconds >= LEARNT_S);
        let (incidents, spells) = (&self.incidents, &self.spells);
        self.memory.absorb(to - ABSORB_AFTER_S, |second| incidents.is_usual(second) && !spells.holds(second));
        faults
    }

    /// Adds to the timeline what began and what ended.
    fn tell(&mut self, turn: &Turn, faults: &Faults, now_ms: i64) {
        let names: Vec<String> = turn.new.iter().map(|node| words::name(&self.memory, *node)).collect();
        let new = faults.suspects.iter().filter(|suspect| names.contains(&suspect.service)).map(words::of_beginning);
        let events: Vec<TimelineEvent> = new.chain(turn.ended.iter().map(words::of_end)).collect();
        events.into_iter().for_each(|event| self.changes.push(event, now_ms));
    }

    fn describe(&self, reading: &Reading, (from, to): (i64, i64), overload: Option<&Overload>, now_ms: i64) -> Faults {
        let open = self.incidents.open();
        let mut parts = roles::roles(&self.memory, reading, open, to);
        roles::isolate(&self.memory, &mut parts, &self.changes);
        let ways = Journeys::of(&self.memory);
        let mut suspects: Vec<Suspect> = open
            .iter()
            .map(|(node, incident)| {
                let (window, since) = ((from, to), incident.since);
                let scene = Scene { memory: &self.memory, reading, window, since, source: self.source };
                let suffers = |(victim, part): (&u32, &Part)| {
                    let is_its = part.role == Role::Victim && part.because_of == Some(*node);
                    part.since.filter(|_| is_its).map(|since| (*victim, since))
                };
                let victims: BTreeMap<u32, i64> = parts.iter().filter_map(suffers).collect();
                let service = words::name(&self.memory, *node);
                let mut evidence = incident.evidence.clone();
                // What changed says why, which is asked for as soon as it is known what.
                let changed = words::of_changes(&self.changes, &service, incident.since * 1_000);
                let rest = evidence.split_off(evidence.len().min(CHANGES_AT));
                evidence.extend(changed);
                evidence.extend(rest);
                evidence.extend(words::of_breakers(&self.changes, &service));
                evidence.extend(words::of_callers(&scene, *node, &victims));
                Suspect {
                    service,
                    node: self.kind(*node),
                    fault: incident.fault,
                    score: (incident.score * 1_000.0).round() / 1_000.0,
                    since_ms: incident.since * 1_000,
                    evidence,
                    blast_radius: roles::radius(&self.memory, reading, &ways, *node),
                }
            })
            .collect();
        suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
        let mut services: Vec<ServiceRole> = parts.iter().map(|(node, part)| self.service(*node, part)).collect();
        services.sort_by(|a, b| a.service.cmp(&b.service));
        let watch = match self.first_ms {
            None => Watch::Blind,
            Some(_) if self.memory.seconds < LEARNT_S => Watch::Learning,
            Some(_) => Watch::Watching,
        };
        let watched_seconds = self.first_ms.map_or(0.0, |first| (now_ms - first).max(0) as f64 / 1_000.0);
        let journeys = roles::journeys(&self.memory, &ways, open, (from, to));
        let mut verdict = verdict(watch, watched_seconds, &suspects, &services);
        verdict.extend(overload.map(|overload| words::of_overload(&self.memory, overload)));
        Faults {
            at_ms: to * 1_000,
            window_seconds: (to - from) as f64,
            watch,
            source: self.source,
            watched_seconds,
            verdict,
            suspects,
            services,
            journeys,
        }
    }

    fn kind(&self, node: u32) -> NodeKind {
        match self.memory.nodes.get(node) {
            Some((_, node)) if node.sends => NodeKind::Service,
            Some((_, node)) => match node.kind {
                Some(PeerKind::Database) => NodeKind::Database,
                Some(PeerKind::Queue) => NodeKind::MessagingSystem,
                Some(PeerKind::Service) | None => NodeKind::Virtual,
            },
            None => NodeKind::Virtual,
        }
    }

    fn service(&self, node: u32, part: &Part) -> ServiceRole {
        ServiceRole {
            service: words::name(&self.memory, node),
            node: self.kind(node),
            role: part.role,
            because_of: part.because_of.map_or_else(String::new, |culprit| words::name(&self.memory, culprit)),
            why: part.why.clone(),
            since_ms: part.since.map(|second| second * 1_000),
            breakers: self.changes.breakers(&words::name(&self.memory, node)),
        }
    }
}

fn seconds_of(ms: i64) -> i64 {
    (ms + 999).div_euclid(1_000)
}

fn list(names: &[&str]) -> String {
    let shown = names.len().min(NAMES_MAX);
    let rest = names.len() - shown;
    match (names, rest) {
        ([], _) => String::new(),
        (_, 1..) => format!("{} and {rest} more", names[..shown].join(", ")),
        ([one], _) => (*one).to_owned(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
    }
}

/// Seconds as `4 min 10 s`.
fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

fn verdict(watch: Watch, watched_seconds: f64, suspects: &[Suspect], services: &[ServiceRole]) -> String {
    let with =
        |role: Role| -> Vec<&str> { services.iter().filter(|s| s.role == role).map(|s| s.service.as_str()).collect() };
    let Some(first) = suspects.first() else {
        let count = services.len();
        let (noun, verb) = if count == 1 { ("service", "is") } else { ("services", "are") };
        let watched = span(watched_seconds);
        return match watch {
            Watch::Blind => "nothing can be said: no span has come yet".to_owned(),
            Watch::Learning => {
                format!(
                    "no culprit so far: {count} {noun} {verb} watched for {watched}, what is usual is still being learnt"
                )
            }
            Watch::Watching => format!("nothing to blame: {count} {noun} {verb} watched for {watched}"),
        };
    };
    let since = words::clock(first.since_ms / 1_000);
    let why = first.evidence.first().map(|evidence| format!(": {}", evidence.text)).unwrap_or_default();
    let mut text = format!("{} is the likely culprit since {since}{why}", first.service);
    let changed = first.evidence.iter().find(|evidence| evidence.kind == "changed");
    text.extend(changed.map(|changed| format!("; {}", changed.text)));
    let others: Vec<&str> = suspects[1..].iter().map(|suspect| suspect.service.as_str()).collect();
    for (names, words) in [
        (others, "also suspected"),
        (with(Role::Victim), "suffering"),
        (with(Role::Isolated), "kept from it but well"),
        (with(Role::Unaffected), "not affected"),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("; {words}: {}", list(&names)));
        }
    }
    text
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
