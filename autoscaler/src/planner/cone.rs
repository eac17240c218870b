//! How much may be taken at once of services that depend on each other: a fifth of their replicas, and always from one workload. If
//! taking was wrong, the rest still stands when it shows. Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use protocol::scaling::GuardFacts;

/// The share of a cone's replicas that may be taken at once.
const SHARE_MAX: f64 = 0.2;

/// What was taken longer ago has shown what it does: readings of a window or two, and the call graph's lag.
pub const WINDOW_MS: i64 = 30_000;

/// Who calls whom, by the names of services.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calls {
    to: HashMap<String, Vec<String>>,
    from: HashMap<String, Vec<String>>,
}

impl Calls {
    /// From pairs of who calls and who is called.
    pub fn new<'a>(edges: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut calls = Self::default();
        for (client, server) in edges {
            calls.to.entry(client.to_owned()).or_default().push(server.to_owned());
            calls.from.entry(server.to_owned()).or_default().push(client.to_owned());
        }
        calls
    }

    /// A service, all whom it calls in the end, and all who call it in the end.
    pub fn cone<'s>(&'s self, service: &'s str) -> HashSet<&'s str> {
        let mut cone = HashSet::from([service]);
        for way in [&self.to, &self.from] {
            let mut next = vec![service];
            let mut seen = HashSet::from([service]);
            while let Some(place) = next.pop() {
                for other in way.get(place).into_iter().flatten() {
                    if seen.insert(other) {
                        next.push(other);
                    }
                }
            }
            cone.extend(seen);
        }
        cone
    }
}

/// A workload in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member<'a> {
    /// What the call graph calls it.
    pub service: &'a str,
    /// Replicas asked for.
    pub from: i32,
    /// Replicas planned.
    pub wish: i32,
}

/// What one workload's cone bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Services of the cone that are steered.
    pub services: u32,
    /// Their replicas.
    pub replicas: u32,
    /// Replicas taken from others of them of late, and by this tick.
    pub lowered: u32,
    /// The most that may be.
    pub most: u32,
}

impl Share {
    /// Whether so many may be taken.
    pub fn bears(&self, step: u32) -> bool {
        self.lowered == 0 || self.lowered.saturating_add(step) <= self.most
    }

    /// Why not, for people.
    pub fn note(&self) -> String {
        let Self { services, replicas, lowered, most } = self;
        format!(
            "{lowered} of the {replicas} replicas of the {services} services that depend on each other were taken within \
             {} s, and {most} may be",
            WINDOW_MS / 1000
        )
    }

    /// The numbers behind it.
    pub fn facts(&self) -> GuardFacts {
        GuardFacts::Cone {
            services: self.services,
            replicas: self.replicas,
            lowered: self.lowered,
            most: self.most,
            window_seconds: (WINDOW_MS / 1000) as u32,
        }
    }
}

/// Replicas that were taken of late.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lowered(VecDeque<(i64, String, u32)>);

impl Lowered {
    /// Remembers replicas that were taken from a service.
    pub fn add(&mut self, at_ms: i64, service: &str, replicas: u32) {
        self.0.retain(|(then_ms, ..)| *then_ms > at_ms - WINDOW_MS);
        self.0.push_back((at_ms, service.to_owned(), replicas));
    }

    fn of(&self, now_ms: i64, counts: impl Fn(&str) -> bool) -> u32 {
        let recent = self.0.iter().filter(|(at_ms, service, _)| *at_ms > now_ms - WINDOW_MS && counts(service));
        recent.fold(0, |sum, (_, _, replicas)| sum.saturating_add(*replicas))
    }
}

/// What each cone bears, for those members that are to have fewer; `None` for the others. The largest step comes first, then by name:
/// what it takes counts for those after it.
pub fn ration(members: &[Member<'_>], calls: &Calls, lowered: &Lowered, now_ms: i64) -> Vec<Option<Share>> {
    let mut shares = vec![None; members.len()];
    let step = |member: &Member<'_>| member.from.saturating_sub(member.wish).max(0).unsigned_abs();
    let mut order: Vec<usize> = (0..members.len()).filter(|index| step(&members[*index]) > 0).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(step(&members[*index])), members[*index].service));
    let mut taken: Vec<usize> = Vec::new();
    for index in order {
        let own = members[index].service;
        let cone = calls.cone(own);
        let inside = || members.iter().filter(|member| cone.contains(member.service));
        let replicas = inside().fold(0u32, |sum, member| sum.saturating_add(member.from.max(0).unsigned_abs()));
        let now = taken.iter().map(|other| &members[*other]).filter(|member| cone.contains(member.service));
        let by_others = lowered.of(now_ms, |service| service != own && cone.contains(service));
        let share = Share {
            services: u32::try_from(inside().count()).unwrap_or(u32::MAX),
            replicas,
            lowered: now.fold(by_others, |sum, member| sum.saturating_add(step(member))),
            most: (f64::from(replicas) * SHARE_MAX) as u32,
        };
        if share.bears(step(&members[index])) {
            taken.push(index);
        }
        shares[index] = Some(share);
    }
    shares
}

#[cfg(test)]
mod tests;
