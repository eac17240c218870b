//! Who is suspected in a window, and whose trouble is explained by somebody it calls. Pure. Start at `find`.

use std::collections::{BTreeMap, BTreeSet};

use protocol::faults::FaultKind;

use super::history::Line;
use super::likelihood::{SIGNIFICANT, confidence, ratio};
use super::reading::{EdgeReading, NodeReading, Reading};
use super::roles::Calls;
use super::weather::Weather;

/// Fewer errors are single ones.
const BORN_MIN: f64 = 3.0;
/// Errors of one second are a replica that went, not an outage.
const BORN_SECONDS_MIN: u32 = 2;
/// "Not now" for a few seconds is what a service says that catches its breath.
const REFUSING_SECONDS_MIN: u32 = 5;
/// A smaller share of errors hurts fewer than any objective of today lets pass.
pub const SHARE_MIN: f64 = 0.03;

/// Fewer late requests are single ones.
const SLOW_MIN: f64 = 5.0;
/// A machine that does something else for a second or two makes late what runs on it; that passes.
const SLOW_SECONDS_MIN: u32 = 4;
/// Less is not felt by anybody, milliseconds.
const SLOW_EXCESS_MIN_MS: f64 = 10.0;
/// If others are late too the cause is common to them: their median share, so many times, is what is usual now.
const COMMON_TIMES: f64 = 1.5;

/// When there is more to do than can be done, more time is nobody's fault unless it is so much, milliseconds: the usual
/// objective for a whole request, and so many times that as the others take as long.
const ROUGH_EXCESS_MIN_MS: f64 = 250.0;
/// No queue is so long, milliseconds, of which those are turned away who would wait for too long.
const QUEUE_EXCESS_MIN_MS: f64 = 1_000.0;
/// Where the others take so many times as long, at the median, the machine is to blame.
const COLLAPSE: f64 = 4.0;
/// A culprit is slower than the others by so many times, and by so many when all have too much to do.
const SLOWDOWN_MIN: f64 = 1.3;
const ROUGH_SLOWDOWN_MIN: f64 = 3.0;

/// A service that has never been seen well may still be starting, seconds.
const STARTING_S: i64 = 30;

/// From this share on trouble is explained.
pub const EXPLAINED: f64 = 0.5;

/// One service under suspicion.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// Who.
    pub node: u32,
    /// Of what.
    pub fault: FaultKind,
    /// What tells how it goes on.
    pub line: Line,
    /// How likely it is no chance.
    pub likelihood: f64,
    /// Share of its requests.
    pub share: f64,
    /// The usual share.
    pub usual: f64,
    /// Errors born, or milliseconds lost, beyond the usual.
    pub weight: f64,
    /// Share of it that somebody below explains, and who.
    pub explained: f64,
    /// Who explains most of it.
    pub explained_by: Option<u32>,
    /// From 0 to 1.
    pub score: f64,
}

/// Everybody under suspicion in a window that ends at `to`, the likeliest first. `open` are those named already.
pub fn find(weather: &Weather<'_>, open: &BTreeSet<u32>, to: i64) -> Vec<Suspicion> {
    let (memory, reading) = (weather.memory, weather.reading);
    let avoided = avoided(reading);
    let mut found: Vec<Suspicion> = Vec::new();
    for (node, sum) in &reading.nodes {
        let Some((_, known)) = memory.nodes.get(*node) else { continue };
        if known.first_well.is_none() && to - known.first_seen < STARTING_S {
            continue;
        }
        found.extend(errors(weather, *node, sum, known.sends, avoided.contains(node)));
        let slow = slowness(weather, *node, sum, avoided.contains(node));
        found.extend(slow.or_else(|| standstill(weather, *node, sum)));
    }
    explain(reading, open, &mut found);
    score(&mut found);
    found.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then(b.likelihood.total_cmp(&a.likelihood)).then(a.node.cmp(&b.node))
    });
    found
}

/// Services from which somebody got errors and which it then stopped calling; and those from which these got errors.
fn avoided(reading: &Reading) -> BTreeSet<u32> {
    let failing = || {
        reading.edges.iter().filter(|((client, server), edge)| client != server && edge.failed.hits + edge.cut >= 1.0)
    };
    let mut avoided: BTreeSet<u32> =
        failing().filter(|(_, edge)| has_dried_up(edge)).map(|((_, server), _)| *server).collect();
    loop {
        let below = failing().filter(|((client, _), _)| avoided.contains(client)).map(|((_, server), _)| *server);
        let more: BTreeSet<u32> = below.filter(|server| !avoided.contains(server)).collect();
        if more.is_empty() {
            return avoided;
        }
        avoided.extend(more);
    }
}

fn errors(weather: &Weather<'_>, node: u32, sum: &NodeReading, sends: bool, is_avoided: bool) -> Option<Suspicion> {
    let is_excused = weather.excuses(node);
    let born = if is_excused { sum.plain } else { sum.born };
    let usual = born.usual_share();
    let likelihood = ratio(born.hits, born.of, usual);
    let is_refusing = !is_excused && sum.refused() > 0.5 * born.hits;
    let lasts = match is_refusing {
        true => born.seconds_hit() >= REFUSING_SECONDS_MIN,
        false => {
            born.seconds_hit() >= BORN_SECONDS_MIN || is_avoided || has_stopped_calling(weather.reading, node, sum)
        }
    };
    let is_plain = born.hits >= BORN_MIN && lasts && born.share() >= SHARE_MIN;
    if !is_plain || likelihood < SIGNIFICANT || born.share() < 2.0 * usual {
        return None;
    }
    let is_silent = sends && sum.missing >= 0.5 * born.hits;
    let fault = if is_silent { FaultKind::NoAnswer } else { FaultKind::Errors };
    Some(Suspicion {
        node,
        fault,
        line: match is_excused {
            _ if sum.unreached >= 0.5 * born.hits => Line::Calls,
            true => Line::Plain,
            false => Line::Of(fault),
        },
        likelihood,
        share: born.share(),
        usual,
        weight: born.hits - born.usual,
        explained: 0.0,
        explained_by: None,
        score: 0.0,
    })
}

/// Whether it makes those calls no more that came to nothing because of itself.
fn has_stopped_calling(reading: &Reading, node: u32, sum: &NodeReading) -> bool {
    let mut below = reading.edges.range((node, u32::MIN)..=(node, u32::MAX));
    sum.unreached >= 1.0 && below.any(|(_, edge)| edge.unreached >= 1.0 && has_dried_up(edge))
}

fn slowness(weather: &Weather<'_>, node: u32, sum: &NodeReading, is_avoided: bool) -> Option<Suspicion> {
    let slow = sum.slow;
    // Breakers that keep others from it leave it few seconds to be slow in.
    let seconds_min = if is_avoided { BORN_SECONDS_MIN } else { SLOW_SECONDS_MIN };
    let is_plain = slow.hits >= SLOW_MIN && slow.seconds_hit() >= seconds_min && slow.share() >= SHARE_MIN;
    // First what costs little: almost nobody is slow, and how the others are is asked for each.
    if !is_plain {
        return None;
    }
    let slowdown = weather.slowdown(node);
    if slowdown >= COLLAPSE {
        return None;
    }
    let (others_slow, others_slowdown) = weather.others(sum);
    let usual = slow.usual_share().max((others_slow * COMMON_TIMES).min(0.98));
    let likelihood = ratio(slow.hits, slow.of, usual);
    let excess_ms = sum.lost_ms / slow.hits;
    // Who turns requests away because it has too many makes those wait that it lets in.
    let (excess_min_ms, slowdown_min) = if weather.excuses(node) {
        (QUEUE_EXCESS_MIN_MS, ROUGH_SLOWDOWN_MIN)
    } else if weather.is_rough(node) {
        (ROUGH_EXCESS_MIN_MS * slowdown, ROUGH_SLOWDOWN_MIN)
    } else {
        (SLOW_EXCESS_MIN_MS, SLOWDOWN_MIN)
    };
    let stands_out = sum.slowdown() >= slowdown_min * others_slowdown.max(1.0);
    (excess_ms >= excess_min_ms && stands_out && likelihood >= SIGNIFICANT).then(|| Suspicion {
        node,
        fault: FaultKind::Slow,
        line: Line::Of(FaultKind::Slow),
        likelihood,
        share: slow.share(),
        usual,
        weight: sum.lost_ms,
        explained: 0.0,
        explained_by: None,
        score: 0.0,
    })
}

/// What came in and waited, as when a process stands still; it does not see that itself.
fn standstill(weather: &Weather<'_>, node: u32, sum: &NodeReading) -> Option<Suspicion> {
    let held = sum.held;
    let slowdown = weather.slowdown(node);
    let excess_min_ms = if weather.is_rough(node) { QUEUE_EXCESS_MIN_MS * slowdown } else { 0.0 };
    let likelihood = ratio(held.hits, held.of, held.usual_share());
    let lasts = held.seconds_hit() >= SLOW_SECONDS_MIN && slowdown < COLLAPSE;
    (lasts && likelihood >= SIGNIFICANT && sum.held_ms >= excess_min_ms * held.hits).then(|| Suspicion {
        node,
        fault: FaultKind::Slow,
        line: Line::Held,
        likelihood,
        share: held.share(),
        usual: held.usual_share(),
        weight: sum.held_ms,
        explained: 0.0,
        explained_by: None,
        score: 0.0,
    })
}

/// Whether calls go worse than usual, or are not made any more.
pub fn is_troubled(edge: &EdgeReading) -> bool {
    let fails = edge.failed.share() >= SHARE_MIN
        && edge.failed.hits >= 2.0
        && ratio(edge.failed.hits, edge.failed.of, edge.failed.usual_share()) >= SIGNIFICANT / 2.0;
    let is_late = ratio(edge.late.hits, edge.late.of, edge.late.usual_share()) >= SIGNIFICANT;
    fails || is_late || edge.cut >= 2.0 || edge.missing >= 2.0 || has_dried_up(edge)
}

/// Whether calls that are usually made are not made: a breaker is open, or the caller fails before.
pub fn has_dried_up(edge: &EdgeReading) -> bool {
    edge.expected >= 5.0 && edge.calls - edge.retries < 0.5 * edge.expected
}

/// Trouble that goes with failing, slow or given-up calls to another suspect is explained by that one.
fn explain(reading: &Reading, open: &BTreeSet<u32>, found: &mut [Suspicion]) {
    let suspects: BTreeMap<u32, f64> = found.iter().map(|s| (s.node, s.weight)).collect();
    let known: BTreeSet<u32> = suspects.keys().copied().chain(open.iter().copied()).collect();
    let calls = Calls::of(reading);
    // Who calls a suspect, directly or through others, to those suspects.
    let mut leads: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for suspect in &known {
        for node in calls.callers(*suspect).into_keys().chain([*suspect]) {
            leads.entry(node).or_default().push(*suspect);
        }
    }
    let slow: BTreeMap<u32, f64> =
        found.iter().filter(|s| s.fault == FaultKind::Slow).map(|s| (s.node, s.weight)).collect();
    let erring: BTreeSet<u32> =
        found.iter().filter(|s| s.fault != FaultKind::Slow).map(|s| s.node).chain(open.iter().copied()).collect();
    let likelihood: BTreeMap<u32, f64> = found.iter().map(|s| (s.node, s.likelihood)).collect();
    for suspicion in found.iter_mut() {
        let Some(sum) = reading.nodes.get(&suspicion.node) else { continue };
        let below = reading.edges.range((suspicion.node, u32::MIN)..=(suspicion.node, u32::MAX));
        let below = below.filter(|((client, server), edge)| client != server && is_troubled(edge));
        let (mut share, mut by, mut most) = (0.0, None, 0.0);
        for ((_, server), edge) in below {
            let strength = |node: &u32| likelihood.get(node).copied().unwrap_or(f64::MAX);
            let ends = leads.get(server).into_iter().flatten().copied().filter(|end| *end != suspicion.node);
            // The one called itself, else the strongest of those behind it.
            let Some(end) = ends.max_by(|a, b| {
                (a == server).cmp(&(b == server)).then(strength(a).total_cmp(&strength(b))).then(b.cmp(a))
            }) else {
                continue;
            };
            let part = match suspicion.fault {
                FaultKind::Slow => waits(suspicion, edge, erring.contains(&end), slow.get(&end).copied()),
                FaultKind::Errors | FaultKind::NoAnswer => fails_along(sum, edge),
            };
            share += part;
            if part > most {
                (most, by) = (part, Some(end));
            }
        }
        suspicion.explained = f64::min(share, 1.0);
        suspicion.explained_by = by;
    }
    break_circles(found);
}

/// Backing off, and waiting for a place in a pool, is time of one's own that a failing peer causes.
fn waits(suspicion: &Suspicion, edge: &EdgeReading, errs: bool, slow_weight: Option<f64>) -> f64 {
    let is_slower = slow_weight.is_some_and(|weight| weight >= 0.25 * suspicion.weight);
    let fails = errs && (edge.failed.hits + edge.missing >= 2.0 || has_dried_up(edge));
    if fails || is_slower { 0.8 } else { 0.0 }
}

/// What share of the errors born at a client has to do with one that it calls.
fn fails_along(sum: &NodeReading, edge: &EdgeReading) -> f64 {
    let own = (sum.born.hits - sum.missing).max(0.0);
    let passed_on = (sum.failed.hits - own).max(0.0);
    // Lost spans make some of the errors that are passed on look like errors of one's own.
    if passed_on > 2.0 * sum.born.hits {
        return 0.8;
    }
    let is_given_up = edge.failed.hits >= 1.0 || has_dried_up(edge);
    let by_call = if is_given_up { edge.given_up() } else { edge.cut };
    if sum.born.hits > 0.0 { (by_call / sum.born.hits).min(1.0) } else { 0.0 }
}

/// Two that explain each other explain nothing: the likelier one stands.
fn break_circles(found: &mut [Suspicion]) {
    let explained = explanations(found);
    let weight: BTreeMap<u32, f64> = found.iter().map(|s| (s.node, s.likelihood)).collect();
    for suspicion in found.iter_mut().filter(|s| s.explained >= EXPLAINED) {
        let (mut at, mut circle) = (suspicion.node, vec![suspicion.node]);
        while let Some(next) = explained.get(&at) {
            if *next == suspicion.node {
                let of = |node: &u32| weight.get(node).copied().unwrap_or(0.0);
                let strongest = circle.iter().copied().max_by(|a, b| of(a).total_cmp(&of(b)).then(b.cmp(a)));
                if strongest == Some(suspicion.node) {
                    (suspicion.explained, suspicion.explained_by) = (0.0, None);
                }
                break;
            }
            if circle.contains(next) {
                break;
            }
            circle.push(*next);
            at = *next;
        }
    }
}

/// Who is explained, and by whom.
fn explanations(found: &[Suspicion]) -> BTreeMap<u32, u32> {
    let explained = found.iter().filter(|s| s.explained >= EXPLAINED);
    explained.filter_map(|s| s.explained_by.map(|by| (s.node, by))).collect()
}

/// The one at the end of "is explained by"; in a circle, where it began.
fn end_of_chain(from: u32, explained: &BTreeMap<u32, u32>) -> u32 {
    let (mut at, mut seen) = (from, BTreeSet::from([from]));
    while let Some(next) = explained.get(&at).copied() {
        if !seen.insert(next) {
            return from;
        }
        at = next;
    }
    at
}

/// How much of all trouble of its kind is explained by each, and how sure that is.
fn score(found: &mut [Suspicion]) {
    let is_slow = |fault| fault == FaultKind::Slow;
    let sum = |slow: bool| found.iter().filter(|s| is_slow(s.fault) == slow).map(|s| s.weight).sum::<f64>();
    let sums = [sum(false), sum(true)];
    let explained = explanations(found);
    let mut credit: BTreeMap<(u32, bool), f64> = BTreeMap::new();
    for suspicion in found.iter() {
        let key = |node| (node, is_slow(suspicion.fault));
        *credit.entry(key(suspicion.node)).or_default() += suspicion.weight * (1.0 - suspicion.explained);
        if let Some(by) = suspicion.explained_by {
            let end = end_of_chain(by, &explained);
            *credit.entry(key(end)).or_default() += suspicion.weight * suspicion.explained;
        }
    }
    for suspicion in found.iter_mut() {
        let slow = is_slow(suspicion.fault);
        let whole = sums[usize::from(slow)].max(f64::MIN_POSITIVE);
        let share = (credit.get(&(suspicion.node, slow)).copied().unwrap_or(0.0) / whole).min(1.0);
        suspicion.score = share * confidence(suspicion.likelihood) * (1.0 - suspicion.explained);
    }
}
