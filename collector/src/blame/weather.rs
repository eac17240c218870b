//! Whether there is more to do than can be done: more requests than usual, a machine that is slow for all, services that turn
//! requests away in turn. Says how many requests a service may turn away then without being broken. Pure. Start at
//! `Weather::of`.

use std::collections::{BTreeMap, BTreeSet};

use super::frames::SECONDS_KEPT;
use super::likelihood::{SIGNIFICANT, ratio};
use super::memory::Memory;
use super::reading::{NodeReading, Reading};
use super::roles::Calls;
use super::suspicion::has_dried_up;
use super::{LEARNT_S, WINDOW_S};

/// From so many times the usual requests on it is a surge.
const SURGE: f64 = 1.4;
/// Fewer seconds do not tell how many requests are usual.
const USUAL_SECONDS_MIN: f64 = 8.0;

/// If the others' requests take so many times as long, at the median, the machine is slow for all.
const BUSY: f64 = 1.5;

/// More requests times more time for each: from here on it is more than a service need be ready for.
const PRESSURE_MIN: f64 = 1.25;
/// Seconds by which a surge is known that has just begun.
const RECENT_S: i64 = 5;

/// Under pressure a service still does this share of what it usually does; it is less while all turn requests away, since
/// those that fail further down were work, too.
const GOODPUT_MIN: f64 = 0.7;
const GOODPUT_MIN_OF_ALL: f64 = 0.5;

/// Seconds within which services that turn requests away in turn all do.
const SPELL_S: i64 = 60;
/// Fewer requests turned away are single ones, and so is a smaller share of them.
const REFUSED_MIN: u32 = 3;
const REFUSED_SHARE_MIN: f64 = 0.02;
/// So many others turn requests away when all have too much to do.
const OTHERS_MIN: usize = 2;
/// What the others turn away in their worst seconds, so many times, is no reason to accuse one.
const OTHERS_TIMES: f64 = 2.0;
/// Who turns away more is broken, whatever the others do.
const ROOM_MAX: f64 = 0.9;

/// Of what a service turns away so much must be calls that breakers keep it from.
const KEPT_MIN: f64 = 0.5;

/// Fewer requests do not tell how slow a service is.
const SLOW_OF_MIN: f64 = 5.0;

/// What has gone on for so long is how things are, seconds.
const LASTING_S: i64 = 3_600;

/// Who turned requests away of late.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The share in the worst seconds, by node.
    worst: BTreeMap<u32, f64>,
    /// The same, of the seconds before the window.
    before: BTreeMap<u32, f64>,
    /// The last seconds.
    recent: Reading,
    /// Those before them.
    earlier: Reading,
}

impl Refusals {
    /// Of the last minute before `to`.
    pub fn of(memory: &Memory, to: i64) -> Self {
        let seconds = to - SPELL_S..to;
        let recent = Reading::of(memory, to - RECENT_S, to);
        let earlier = Reading::of(memory, to - WINDOW_S, to - RECENT_S);
        let mut refused: BTreeMap<u32, u32> = BTreeMap::new();
        for frame in seconds.clone().filter_map(|second| memory.frames.at(second)).filter(|frame| frame.refused > 0) {
            for (unit, cell) in frame.cells.iter().filter(|(_, cell)| cell.refused > 0) {
                let Some(((node, _), _)) = memory.units.get(*unit) else { continue };
                *refused.entry(*node).or_default() += cell.refused;
            }
        }
        refused.retain(|_, count| *count >= REFUSED_MIN);
        if refused.is_empty() {
            return Self { recent, earlier, ..Self::default() };
        }
        let mut shares: BTreeMap<u32, Vec<(u32, u32)>> =
            refused.into_keys().map(|node| (node, vec![(0, 0); SPELL_S as usize])).collect();
        for (at, second) in seconds.enumerate() {
            let Some(frame) = memory.frames.at(second) else { continue };
            for (unit, cell) in &frame.cells {
                let Some(((node, _), _)) = memory.units.get(*unit) else { continue };
                let Some((refused, count)) = shares.get_mut(node).and_then(|shares| shares.get_mut(at)) else {
                    continue;
                };
                (*refused, *count) = (*refused + cell.refused, *count + cell.count);
            }
        }
        let worst_of = |seconds: usize| -> BTreeMap<u32, f64> {
            let worst = shares.iter().map(|(node, shares)| (*node, worst_share(&shares[..seconds])));
            worst.filter(|(_, share)| *share >= REFUSED_SHARE_MIN).collect()
        };
        Self { worst: worst_of(SPELL_S as usize), before: worst_of((SPELL_S - WINDOW_S) as usize), recent, earlier }
    }
}

/// The largest share in a window's seconds.
fn worst_share(seconds: &[(u32, u32)]) -> f64 {
    let share = |window: &[(u32, u32)]| {
        let (refused, count) = window.iter().fold((0, 0), |(r, c), (refused, count)| (r + refused, c + count));
        if refused >= REFUSED_MIN { f64::from(refused) / f64::from(count.max(1)) } else { 0.0 }
    };
    seconds.windows(WINDOW_S as usize).map(share).fold(0.0, f64::max)
}

/// How things are for all in a window.
#[derive(Debug)]
pub struct Weather<'a> {
    /// What is remembered.
    pub memory: &'a Memory,
    /// The window.
    pub reading: &'a Reading,
    refusals: &'a Refusals,
    calls: Calls,
    /// How many times the usual number of requests come in by the front door.
    surge: f64,
    /// Seconds of the window.
    seconds: f64,
    /// How slow everybody is: in the window, its last seconds, and those before them.
    slowness: [(&'a Reading, Slowness); 3],
    /// Who turns requests away and is not to blame for it.
    excused: BTreeSet<u32>,
}

impl<'a> Weather<'a> {
    /// Of a window of so many seconds.
    pub fn of(memory: &'a Memory, reading: &'a Reading, refusals: &'a Refusals, seconds: i64) -> Self {
        let mut weather = Self {
            memory,
            reading,
            refusals,
            calls: Calls::of(reading),
            surge: surge(memory, reading).max(surge(memory, &refusals.recent)),
            seconds: seconds.max(1) as f64,
            slowness: [reading, &refusals.recent, &refusals.earlier].map(|of| (of, Slowness::of(of))),
            excused: BTreeSet::new(),
        };
        weather.excused = weather.overwhelmed();
        weather
    }

    /// The medians of all but this one: share of slow requests, and slowdown.
    pub fn others(&self, sum: &NodeReading) -> (f64, f64) {
        self.slowness[0].1.others(sum)
    }

    /// Whether more time is nobody's fault.
    pub fn is_rough(&self, node: u32) -> bool {
        self.surge >= SURGE || self.slowdown(node) >= BUSY || self.others_refusing(node).count() >= OTHERS_MIN
    }

    /// Whether what a service turns away is no more than anybody would who has so much to do.
    pub fn excuses(&self, node: u32) -> bool {
        self.excused.contains(&node)
    }

    fn overwhelmed(&self) -> BTreeSet<u32> {
        let refusing = || self.reading.nodes.iter().filter(|(_, sum)| sum.refused() >= 1.0);
        // What is usual is not known yet: only who gives no answer can be accused.
        let is_learning = self.memory.seconds < LEARNT_S;
        let is_excused = |node: u32, sum: &NodeReading| is_learning || is_within(sum, self.room(node, sum));
        let mut excused: BTreeSet<u32> =
            refusing().filter(|(node, sum)| is_excused(**node, sum)).map(|(node, _)| *node).collect();
        // Breakers that keep a service from those, or from who needs them, make it say "not now", too.
        let mut troubled: BTreeSet<u32> = self.refusals.worst.keys().copied().collect();
        for node in self.refusals.worst.keys() {
            troubled.extend(self.calls.callers(*node).into_keys());
        }
        let kept_from = |node: u32| -> f64 {
            let below = self.reading.edges.range((node, u32::MIN)..=(node, u32::MAX));
            let to_them = below.filter(|((_, server), _)| *server != node && troubled.contains(server));
            let given_up = to_them.filter(|(_, edge)| edge.failed.hits >= 1.0 || has_dried_up(edge));
            given_up.map(|(_, edge)| edge.given_up()).sum()
        };
        let is_stormy = self.surge >= PRESSURE_MIN || self.refusals.worst.len() > OTHERS_MIN;
        let is_kept = |(node, sum): &(&u32, &NodeReading)| kept_from(**node) >= KEPT_MIN * sum.refused();
        let kept: Vec<u32> = refusing().filter(is_kept).map(|(node, _)| *node).collect();
        if is_stormy || !excused.is_empty() {
            excused.extend(kept);
        }
        excused
    }

    /// The share of its requests that a service may turn away.
    fn room(&self, node: u32, sum: &NodeReading) -> f64 {
        let others: Vec<f64> = self.others_refusing(node).collect();
        let slowdown = self.slowdown(node);
        let pressure = self.load(node, sum) * slowdown;
        let is_common = slowdown >= BUSY || !others.is_empty();
        let goodput_min = if is_common { GOODPUT_MIN_OF_ALL } else { GOODPUT_MIN };
        let by_pressure = if pressure >= PRESSURE_MIN { 1.0 - goodput_min / pressure } else { 0.0 };
        let mean = others.iter().sum::<f64>() / others.len().max(1) as f64;
        let by_others = if others.len() >= OTHERS_MIN { mean * OTHERS_TIMES } else { 0.0 };
        by_pressure.max(by_others).min(ROOM_MAX)
    }

    /// How many times as long the others' requests take, in all of the window or for some seconds of it.
    pub fn slowdown(&self, node: u32) -> f64 {
        let of = |(reading, slowness): &(&Reading, Slowness)| {
            slowness.others(reading.nodes.get(&node).unwrap_or(&NodeReading::default())).1
        };
        self.slowness.iter().map(of).fold(1.0, f64::max)
    }

    /// How many times the usual requests come, to all or to this one; repetitions are not counted.
    fn load(&self, node: u32, sum: &NodeReading) -> f64 {
        let usual: f64 = self.memory.units.iter().filter(|(_, (of, _), _)| *of == node).map(|(_, _, u)| u.count).sum();
        let into = self.reading.edges.iter().filter(|((_, server), _)| *server == node);
        let asked = (sum.requests - into.map(|(_, edge)| edge.retries).sum::<f64>()).max(0.0);
        let own = times(asked / self.seconds, usual, self.memory.seconds);
        self.surge.max(own).max(1.0)
    }

    /// What others turned away; of those that call this one and wait for it, what they did before.
    fn others_refusing(&self, node: u32) -> impl Iterator<Item = f64> {
        let callers = if self.refusals.worst.is_empty() { BTreeMap::new() } else { self.calls.callers(node) };
        self.refusals.worst.iter().filter(move |(other, _)| **other != node).filter_map(move |(other, share)| {
            let is_held_up = callers.contains_key(other) && self.is_held_up(*other);
            if is_held_up { self.refusals.before.get(other).copied() } else { Some(*share) }
        })
    }

    /// Whether a service waits for somebody it calls, or is kept from one.
    fn is_held_up(&self, node: u32) -> bool {
        let below = self.reading.edges.range((node, u32::MIN)..=(node, u32::MAX));
        let mut below = below.filter(|((_, server), _)| *server != node);
        below.any(|(_, edge)| {
            let is_late = ratio(edge.late.hits, edge.late.of, edge.late.usual_share()) >= SIGNIFICANT;
            is_late || edge.missing >= 2.0 || edge.cut >= 2.0 || has_dried_up(edge)
        })
    }

    /// Who turns requests away and is not to blame for it, and how many times the usual requests come; nothing if nobody.
    pub fn overload(&self) -> Option<Overload> {
        let is_refusing =
            |node: &&u32| self.reading.nodes.get(node).is_some_and(|sum| sum.refused() >= f64::from(REFUSED_MIN));
        let refusing: BTreeSet<u32> = self.excused.iter().filter(is_refusing).copied().collect();
        (!refusing.is_empty()).then_some(Overload { refusing, surge: self.surge })
    }
}

/// How slow everybody is.
#[derive(Debug)]
struct Slowness {
    /// Shares of slow requests, sorted.
    shares: Vec<f64>,
    /// Slowdowns, sorted.
    slowdowns: Vec<f64>,
}

impl Slowness {
    fn of(reading: &Reading) -> Self {
        let known = || reading.nodes.values().filter(|sum| sum.slow.of >= SLOW_OF_MIN);
        let sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        Self {
            shares: sorted(known().map(|sum| sum.slow.share()).collect()),
            slowdowns: sorted(known().map(NodeReading::slowdown).collect()),
        }
    }

    /// The medians of all but this one: share of slow requests, and slowdown.
    fn others(&self, sum: &NodeReading) -> (f64, f64) {
        let is_in = sum.slow.of >= SLOW_OF_MIN;
        let without = |value: f64| is_in.then_some(value);
        (
            median_without(&self.shares, without(sum.slow.share())).unwrap_or(0.0),
            median_without(&self.slowdowns, without(sum.slowdown())).unwrap_or(1.0),
        )
    }
}

/// Services that turn requests away and are not to blame for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Overload {
    /// Who.
    pub refusing: BTreeSet<u32>,
    /// How many times the usual requests come in by the front door.
    pub surge: f64,
}

impl Overload {
    /// Whether it comes from more requests.
    pub fn is_surge(&self) -> bool {
        self.surge >= SURGE
    }
}

/// Seconds of overload: they teach nothing about what is usual.
#[derive(Debug, Default)]
pub struct Spells {
    seconds: BTreeSet<i64>,
    began: Option<i64>,
}

impl Spells {
    /// Notes whether the seconds `from..to` were such.
    pub fn note(&mut self, (from, to): (i64, i64), is_overloaded: bool) {
        self.seconds.retain(|second| to - *second < SECONDS_KEPT);
        if !is_overloaded {
            if self.seconds.is_empty() {
                self.began = None;
            }
            return;
        }
        let began = *self.began.get_or_insert(from);
        if to - began < LASTING_S {
            self.seconds.extend(from..to);
        }
    }

    /// Whether a second was one.
    pub fn holds(&self, second: i64) -> bool {
        self.seconds.contains(&second)
    }
}

/// Whether a service turns away no more than it has room for, or more only by chance.
fn is_within(sum: &NodeReading, room: f64) -> bool {
    let (refused, of) = (sum.refused(), sum.born.of);
    refused <= room * of || (room > 0.0 && ratio(refused, of, room) < SIGNIFICANT)
}

fn times(now: f64, usual: f64, usual_seconds: f64) -> f64 {
    if usual_seconds < USUAL_SECONDS_MIN || usual <= 0.0 { 1.0 } else { now / (usual / usual_seconds) }
}

fn surge(memory: &Memory, reading: &Reading) -> f64 {
    let usual: f64 = memory.units.iter().map(|(_, _, unit)| unit.entries).sum();
    times(reading.entries.values().sum(), usual, memory.seconds)
}

/// The median of sorted values but one of this value.
fn median_without(sorted: &[f64], value: Option<f64>) -> Option<f64> {
    let hole = value.and_then(|value| sorted.binary_search_by(|known| known.total_cmp(&value)).ok());
    let count = sorted.len() - usize::from(hole.is_some());
    let at = |place: usize| sorted.get(place + usize::from(hole.is_some_and(|hole| place >= hole))).copied();
    Some((at(count.checked_sub(1)? / 2)? + at(count / 2)?) / 2.0)
}
