//! The blast radius of a service: who calls it, directly or through others, how much of the front door's traffic comes by it, what
//! is at stake and what is safe. Pure; draws nothing. Start at `radius`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::faults::{Caller, Faults, JourneyRole, Role};
use protocol::graph::{Graph, Node, NodeKind};

use crate::roles;

/// How much of the front door's traffic comes by a service, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// As the collector learnt from whole traces.
    Usual(f64),
    /// From the rates of calls alone, as if requests that make one call make no other.
    Estimated(f64),
    /// There is no graph, or no traffic at the front door.
    Unknown,
}

/// An operation of the front door that comes by the service.
#[derive(Debug, Clone, PartialEq)]
pub struct Stake {
    /// `service operation`.
    pub name: String,
    /// How it fares; `None` where nobody asks for it now.
    pub fares: Option<JourneyRole>,
}

/// Whom a service can hurt.
#[derive(Debug, Clone, PartialEq)]
pub struct Radius {
    /// Nearest first, then by name.
    pub callers: Vec<Caller>,
    /// Of the front door's traffic.
    pub share: Share,
    /// Those callers that nobody calls, and itself where nobody does: where customers come in.
    pub doors: Vec<String>,
    /// Operations that come by it; known of suspects only.
    pub at_stake: Option<Vec<Stake>>,
    /// Services that do not depend on it and are well.
    pub safe_services: Vec<String>,
    /// Operations that do not come by it and are well.
    pub safe_operations: Vec<String>,
}

/// The blast radius of a service, by the graph of now and, of a suspect, by what is usual.
pub fn radius(service: &str, graph: Option<&Graph>, faults: Option<&Faults>) -> Radius {
    let suspect = faults.and_then(|faults| roles::suspect(faults, service));
    let mut distances = graph.map(|graph| distances(graph, service)).unwrap_or_default();
    for caller in suspect.iter().flat_map(|suspect| &suspect.blast_radius.callers) {
        // Who has stopped calling behind a breaker is in what is usual only.
        let known = distances.entry(&caller.service).or_insert(caller.distance);
        *known = caller.distance.min(*known);
    }
    let share = match (suspect, graph) {
        (Some(suspect), _) => Share::Usual(suspect.blast_radius.front_door_share),
        (None, Some(graph)) => estimated_share(graph, service, &distances).map_or(Share::Unknown, Share::Estimated),
        (None, None) => Share::Unknown,
    };
    let at_stake = suspect.map(|suspect| stakes(&suspect.blast_radius.journeys, faults));
    let is_reached = |name: &str| name == service || distances.contains_key(name);
    let called = graph.map(called).unwrap_or_default();
    let mut callers: Vec<Caller> =
        distances.iter().map(|(name, distance)| Caller { service: (*name).to_owned(), distance: *distance }).collect();
    callers.sort_by(|a, b| a.distance.cmp(&b.distance).then_with(|| a.service.cmp(&b.service)));
    let is_served = |node: &&Node| node.kind == NodeKind::Service && node.service == service;
    let itself = graph.and_then(|graph| graph.nodes.iter().find(is_served)).map(|node| node.service.as_str());
    let doors = itself.into_iter().chain(callers.iter().map(|caller| caller.service.as_str()));
    Radius {
        share,
        doors: doors.filter(|name| !called.contains(name)).map(str::to_owned).collect(),
        safe_services: safe_services(graph, faults, is_reached),
        safe_operations: safe_operations(faults, at_stake.as_deref()),
        at_stake,
        callers,
    }
}

/// Everybody who calls a service, with the number of calls between them.
fn distances<'a>(graph: &'a Graph, service: &str) -> BTreeMap<&'a str, u32> {
    let mut callers: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for edge in &graph.edges {
        callers.entry(&edge.server).or_default().push(&edge.client);
    }
    let mut found: BTreeMap<&'a str, u32> = BTreeMap::new();
    let mut next = VecDeque::from([(service, 0)]);
    while let Some((name, distance)) = next.pop_front() {
        for caller in callers.get(name).into_iter().flatten().copied() {
            if caller != service && !found.contains_key(caller) {
                found.insert(caller, distance + 1);
                next.push_back((caller, distance + 1));
            }
        }
    }
    found
}

/// Whom somebody else calls.
fn called(graph: &Graph) -> BTreeSet<&str> {
    graph.edges.iter().filter(|edge| edge.client != edge.server).map(|edge| edge.server.as_str()).collect()
}

/// Rounds after which shares on circles of calls have settled well enough for a percentage.
const ROUNDS_MAX: usize = 32;
/// A change that no percentage shows.
const SETTLED: f64 = 1e-4;

/// How many of the front door's requests come by a service if each call is as likely as its rate says.
fn estimated_share(graph: &Graph, service: &str, distances: &BTreeMap<&str, u32>) -> Option<f64> {
    let rates: BTreeMap<&str, f64> = graph.nodes.iter().map(|node| (node.service.as_str(), node.red.rate)).collect();
    let mut shares: BTreeMap<&str, f64> = BTreeMap::from([(service, 1.0)]);
    let leads_there = |name: &str| name == service || distances.contains_key(name);
    let edges: Vec<(&str, &str, f64)> = graph
        .edges
        .iter()
        .filter(|edge| edge.client != service && leads_there(&edge.client) && leads_there(&edge.server))
        .filter_map(|edge| {
            let served = rates.get(edge.client.as_str()).copied().filter(|rate| *rate > 0.0)?;
            Some((edge.client.as_str(), edge.server.as_str(), (edge.red.rate / served).clamp(0.0, 1.0)))
        })
        .collect();
    for _ in 0..ROUNDS_MAX {
        let mut next: BTreeMap<&str, f64> = BTreeMap::from([(service, 1.0)]);
        for (client, server, ratio) in &edges {
            let by = ratio * shares.get(server).copied().unwrap_or(0.0);
            let share: &mut f64 = next.entry(client).or_default();
            *share = (*share + by).min(1.0);
        }
        let moved = next.iter().map(|(name, share)| (share - shares.get(name).copied().unwrap_or(0.0)).abs());
        let is_settled = moved.fold(0.0, f64::max) < SETTLED;
        shares = next;
        if is_settled {
            break;
        }
    }
    let called = called(graph);
    let is_door = |name: &str| !called.contains(name);
    let doors = || graph.nodes.iter().filter(|node| node.kind == NodeKind::Service && is_door(&node.service));
    let all: f64 = doors().map(|node| node.red.rate).sum();
    let by: f64 = doors().map(|node| node.red.rate * shares.get(node.service.as_str()).copied().unwrap_or(0.0)).sum();
    (all > 0.0).then(|| by / all)
}

fn name(journey: &JourneyRole) -> String {
    format!("{} {}", journey.service, journey.operation)
}

fn stakes(names: &[String], faults: Option<&Faults>) -> Vec<Stake> {
    let all = faults.map(|faults| faults.journeys.as_slice()).unwrap_or_default();
    let stake = |wanted: &String| Stake {
        name: wanted.clone(),
        fares: all.iter().find(|journey| name(journey) == *wanted).cloned(),
    };
    names.iter().map(stake).collect()
}

fn safe_services(graph: Option<&Graph>, faults: Option<&Faults>, is_reached: impl Fn(&str) -> bool) -> Vec<String> {
    let nodes = graph.map(|graph| graph.nodes.as_slice()).unwrap_or_default();
    let services = nodes.iter().filter(|node| node.kind == NodeKind::Service).map(|node| node.service.as_str());
    let known = faults.map(|faults| faults.services.as_slice()).unwrap_or_default();
    let named = known.iter().filter(|part| part.node == NodeKind::Service).map(|part| part.service.as_str());
    let is_hurt = |name: &str| {
        let role = faults.and_then(|faults| roles::part(faults, name)).map(|part| part.role);
        matches!(role, Some(Role::Culprit | Role::Victim))
    };
    let all: BTreeSet<&str> = services.chain(named).filter(|name| !is_reached(name) && !is_hurt(name)).collect();
    all.into_iter().map(str::to_owned).collect()
}

fn safe_operations(faults: Option<&Faults>, at_stake: Option<&[Stake]>) -> Vec<String> {
    let Some((faults, at_stake)) = faults.zip(at_stake) else { return Vec::new() };
    let is_at_stake = |journey: &JourneyRole| at_stake.iter().any(|stake| stake.name == name(journey));
    let safe = faults.journeys.iter().filter(|journey| journey.role != Role::Victim && !is_at_stake(journey));
    safe.map(|journey| journey.operation.clone()).collect()
}

#[cfg(test)]
mod tests;
