//! Whose fault it is that calls come to nothing or take long: of the one who makes them, or of the one who is called. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::likelihood::{SIGNIFICANT, ratio};
use super::{Count, EdgeReading, Memory, Reading};

/// Fewer calls given up soon are single ones.
const GIVEN_UP_SOON_MIN: f64 = 5.0;

/// Fewer calls without a connection are single ones, and others' calls all connect by chance no oftener than this.
const UNCONNECTED_MIN: f64 = 2.0;
const CHANCE_MAX: f64 = 0.001;

/// Fewer calls that wait are single ones.
const HELD_MIN: f64 = 5.0;
/// Who holds up its own calls does so to whomever it calls: no server has more of them than this.
const HELD_SHARE_MAX: f64 = 0.7;

/// A node's calls, by whoever is on their other side.
#[derive(Debug, Default)]
struct Sides {
    /// All of them that took much longer than those say who served them.
    held: Count,
    /// How many of these, and whether they are more than chance, by the other side.
    by: BTreeMap<u32, (f64, bool)>,
}

impl Sides {
    fn add(&mut self, other: u32, edge: &EdgeReading) {
        let Count { hits, of, usual, seconds } = edge.held;
        self.held.hits += hits;
        self.held.of += of;
        self.held.usual += usual;
        self.held.seconds |= seconds;
        self.by.insert(other, (hits, is_held(&edge.held)));
    }

    /// Whether they wait at one side as at the other.
    fn are_spread(&self) -> bool {
        let most = self.by.values().map(|(hits, _)| *hits).fold(0.0, f64::max);
        is_held(&self.held) && most <= HELD_SHARE_MAX * self.held.hits
    }

    /// Whether they wait at two sides of three.
    fn are_held(&self) -> bool {
        let held = self.by.values().filter(|(_, is_held)| *is_held).count();
        held > 0 && held * 3 >= self.by.len() * 2
    }
}

/// Whether much more of the calls than usual took much longer than the one called says.
fn is_held(held: &Count) -> bool {
    held.hits >= HELD_MIN && held.seconds_hit() >= 2 && ratio(held.hits, held.of, held.usual_share()) >= SIGNIFICANT
}

/// Whether most of the others wait, too: then it is the machine.
fn are_common(sides: &BTreeMap<u32, Sides>) -> bool {
    let waiting = sides.values().filter(|of| is_held(&of.held)).count();
    waiting.saturating_sub(1) * 2 > sides.len().saturating_sub(1)
}

impl Reading {
    /// Time that calls take beyond what those say who serve them. At whomever a client calls it is the client that stands still, or
    /// has no CPU, when the answers come: of its calls those that are under way just then, which may be few. At all calls to a
    /// service, whose callers' other calls do not wait, it is the service when the requests come.
    pub(super) fn add_held(&mut self) {
        let told = || self.edges.iter().filter(|(of, edge)| of.0 != of.1 && edge.held.of > 0.0);
        let (mut from, mut into): (BTreeMap<u32, Sides>, BTreeMap<u32, Sides>) = (BTreeMap::new(), BTreeMap::new());
        for ((client, server), edge) in told() {
            from.entry(*client).or_default().add(*server, edge);
            into.entry(*server).or_default().add(*client, edge);
        }
        let others_wait = |client: u32, server: &u32| {
            into.get(server).is_some_and(|of| of.by.iter().any(|(other, (_, is_held))| *other != client && *is_held))
        };
        let is_client = |client: u32, of: &Sides| {
            let at_theirs: f64 =
                of.by.iter().filter(|(to, _)| others_wait(client, to)).map(|(_, (hits, _))| hits).sum();
            of.are_spread() && at_theirs < 0.5 * of.held.hits
        };
        let clients = from.iter().filter(|(client, of)| !are_common(&from) && is_client(**client, of));
        let clients: BTreeSet<u32> = clients.map(|(client, _)| *client).collect();
        let waits_elsewhere = |client: u32, server: u32| {
            let Some(of) = from.get(&client) else { return true };
            let here = of.by.get(&server).map_or(0.0, |(hits, _)| *hits);
            of.by.len() < 2 || clients.contains(&client) || here < HELD_SHARE_MAX * of.held.hits
        };
        let is_server = |server: u32, of: &Sides| {
            of.are_held() && of.by.iter().all(|(client, (_, is_held))| !is_held || !waits_elsewhere(*client, server))
        };
        let servers = into.iter().filter(|(server, of)| !are_common(&into) && is_server(**server, of));
        let servers: BTreeSet<u32> = servers.map(|(server, _)| *server).collect();
        let mut held: BTreeMap<u32, (Count, f64)> = BTreeMap::new();
        for ((client, server), edge) in told() {
            let node = if clients.contains(client) { client } else { server };
            if node == client || servers.contains(server) {
                let (sum, lost_ms) = held.entry(*node).or_default();
                sum.hits += edge.held.hits;
                sum.of += edge.held.of;
                sum.usual += edge.held.usual;
                sum.seconds |= edge.held.seconds;
                *lost_ms += edge.held_ms;
            }
        }
        for (node, (count, lost_ms)) in held {
            let Some(sum) = self.nodes.get_mut(&node) else { continue };
            (sum.held, sum.held_ms, sum.holds_answers) = (count, lost_ms, clients.contains(&node));
        }
    }

    /// Clients that give up before anything is late, and try again: no service is as fast as they want it.
    pub(super) fn impatient(&self) -> BTreeSet<u32> {
        let mut clients: BTreeMap<u32, (f64, f64, f64)> = BTreeMap::new();
        for ((client, _), edge) in &self.edges {
            let (soon, all, retries) = clients.entry(*client).or_default();
            *soon += edge.given_up_soon;
            *all += edge.timed_out;
            *retries += edge.retries;
        }
        clients.retain(|_, (soon, all, retries)| {
            *soon >= GIVEN_UP_SOON_MIN && *soon >= 0.5 * *all && *retries >= 0.5 * *soon
        });
        clients.into_keys().collect()
    }

    /// Whether a client finds no connection to a service that the others reach in the same seconds. What they ask of it may
    /// differ, so that answers that fail to come say less.
    pub(super) fn is_cut_off(&self, client: u32, server: u32) -> bool {
        let Some(edge) = self.edges.get(&(client, server)) else { return false };
        if edge.unconnected < UNCONNECTED_MIN || edge.unconnected < 0.8 * edge.unreached {
            return false;
        }
        let others = self.edges.iter().filter(|((other, to), _)| *to == server && *other != client);
        let (mut answered, mut seconds) = (0.0, 0);
        for (_, other) in others {
            if other.unconnected > 0.0 {
                return false;
            }
            answered += other.calls - other.unreached;
            seconds |= other.answered_seconds;
        }
        let by_chance = (1.0 - edge.unreached / edge.calls.max(1.0)).powf(answered);
        seconds & edge.unreached_seconds != 0 && by_chance < CHANCE_MAX
    }

    /// Clients that get no answers from several services at once, while those who serve others serve them well: the
    /// trouble is between a client and the rest of the world.
    pub(super) fn clients_at_fault(&self, memory: &Memory) -> Vec<u32> {
        let sends = |node: u32| memory.nodes.get(node).is_some_and(|(_, node)| node.sends);
        let mut unanswered: BTreeMap<u32, (usize, usize, usize)> = BTreeMap::new();
        for ((client, server), edge) in
            self.edges.iter().filter(|((_, server), edge)| sends(*server) && edge.calls > 0.0)
        {
            let (servers, silent, well_elsewhere) = unanswered.entry(*client).or_default();
            *servers += 1;
            if edge.missing >= 3.0 && edge.missing >= 0.3 * edge.calls {
                *silent += 1;
                // In the same seconds: what went well before says nothing.
                let others = self.edges.iter().filter(|((other, to), _)| to == server && other != client);
                let answered =
                    others.fold(0, |seconds, (_, other)| seconds | (other.answered_seconds & !other.missing_seconds));
                *well_elsewhere += usize::from((answered & edge.missing_seconds).count_ones() >= 2);
            }
        }
        let at_fault = |(servers, silent, well): (usize, usize, usize)| {
            (silent >= 1 && well == silent && silent == servers) || silent >= 3 && (well == silent || silent == servers)
        };
        unanswered.into_iter().filter(|(_, counts)| at_fault(*counts)).map(|(client, _)| client).collect()
    }
}
