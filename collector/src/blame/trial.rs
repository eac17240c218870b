//! A world of services with faults, for tests: it makes the work that blame would be told of. Seeded, without a clock.

use std::collections::{BTreeMap, HashMap};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::work::{Answer, ErrorKind, Outcall, PeerKind, Text, Work, WorkKind};

/// When worlds begin: the epoch's second.
pub const BEGIN_S: i64 = 1_700_000_000;

/// How long a caller waits, milliseconds.
const TIMEOUT_MS: f64 = 1_000.0;

/// What a service does for one of its operations.
#[derive(Debug, Clone)]
pub struct Operation {
    pub service: Text,
    pub name: Text,
    pub own_ms: f64,
    /// Operation called, and whether the request can do without.
    pub calls: Vec<(usize, bool)>,
    /// A database asked, and how long it takes, milliseconds.
    pub database: Option<(Text, f64)>,
}

/// Services that call each other.
#[derive(Debug, Clone)]
pub struct Topology {
    pub name: String,
    pub operations: Vec<Operation>,
    /// Front door's operations with their shares of the traffic.
    pub entries: Vec<(usize, f64)>,
}

impl Topology {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), operations: Vec::new(), entries: Vec::new() }
    }

    fn add(&mut self, service: &str, own_ms: f64, calls: &[(usize, bool)]) -> usize {
        let name = format!("GET /{}", self.operations.len());
        let calls = calls.to_vec();
        self.operations.push(Operation { service: service.into(), name: name.into(), own_ms, calls, database: None });
        self.operations.len() - 1
    }

    fn with_database(&mut self, operation: usize, name: &str, ms: f64) {
        self.operations[operation].database = Some((name.into(), ms));
    }

    /// One after the other.
    pub fn chain(length: usize) -> Self {
        let mut topology = Self::new(&format!("chain of {length}"));
        let mut below: Vec<(usize, bool)> = Vec::new();
        for at in (0..length).rev() {
            let operation = topology.add(&format!("s{at}"), 4.0 + at as f64, &below);
            if at == length - 1 {
                topology.with_database(operation, "db", 3.0);
            }
            below = vec![(operation, false)];
        }
        topology.entries = vec![(length - 1, 1.0)];
        topology
    }

    /// One calls many; some it can do without.
    pub fn fan_out(width: usize) -> Self {
        let mut topology = Self::new(&format!("fan-out of {width}"));
        let leaves: Vec<(usize, bool)> = (0..width)
            .map(|at| (topology.add(&format!("leaf{at}"), 3.0 + 2.0 * at as f64, &[]), at % 3 == 2))
            .collect();
        topology.with_database(0, "db", 4.0);
        let front = topology.add("front", 5.0, &leaves);
        topology.entries = vec![(front, 1.0)];
        topology
    }

    /// Two ways to one.
    pub fn diamond() -> Self {
        let mut topology = Self::new("diamond");
        let bottom = topology.add("bottom", 6.0, &[]);
        topology.with_database(bottom, "db", 5.0);
        let left = topology.add("left", 4.0, &[(bottom, false)]);
        let right = topology.add("right", 9.0, &[(bottom, false)]);
        let top = topology.add("top", 3.0, &[(left, false), (right, false)]);
        let aside = topology.add("aside", 5.0, &[]);
        let other = topology.add("top", 3.0, &[(aside, false)]);
        topology.entries = vec![(top, 0.7), (other, 0.3)];
        topology
    }

    /// The demo's shop.
    pub fn shop() -> Self {
        let mut topology = Self::new("shop");
        let payment = topology.add("payment", 12.0, &[]);
        topology.with_database(payment, "payment-db", 2.0);
        let stock = topology.add("inventory", 4.0, &[]);
        let product = topology.add("product", 3.0, &[]);
        topology.with_database(product, "product-db", 2.0);
        let products = topology.add("product", 6.0, &[]);
        let search = topology.add("search", 9.0, &[]);
        let user = topology.add("user", 40.0, &[]);
        let review = topology.add("review", 3.0, &[]);
        let recommendation = topology.add("recommendation", 4.0, &[]);
        let notify = topology.add("notification", 3.0, &[]);
        let order = topology.add("order", 8.0, &[(product, false), (stock, false), (payment, false), (notify, true)]);
        let orders = topology.add("order", 3.0, &[]);
        let view =
            topology.add("gateway", 2.0, &[(product, false), (stock, true), (review, true), (recommendation, true)]);
        let browse = topology.add("gateway", 2.0, &[(products, false)]);
        let find = topology.add("gateway", 2.0, &[(search, false)]);
        let sign_in = topology.add("gateway", 2.0, &[(user, false)]);
        let checkout = topology.add("gateway", 2.0, &[(order, false)]);
        let track = topology.add("gateway", 2.0, &[(orders, false)]);
        topology.entries =
            vec![(view, 0.35), (browse, 0.25), (find, 0.12), (sign_in, 0.08), (checkout, 0.12), (track, 0.08)];
        topology
    }

    /// Services in layers that call some of the next layer.
    pub fn layers(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut topology = Self::new(&format!("layers {seed}"));
        let mut below: Vec<usize> = Vec::new();
        for layer in (0..4).rev() {
            let width = if layer == 0 { 2 } else { 4 };
            let layer: Vec<usize> = (0..width)
                .map(|at| {
                    let mut calls: Vec<(usize, bool)> = Vec::new();
                    for _ in 0..2 {
                        if let Some(callee) = below.get(dice.random_range(0..below.len().max(1)))
                            && calls.iter().all(|(known, _)| known != callee)
                        {
                            calls.push((*callee, dice.random::<f64>() < 0.2));
                        }
                    }
                    let own_ms = dice.random_range(2.0..15.0);
                    topology.add(&format!("l{layer}-{at}"), own_ms, &calls)
                })
                .collect();
            below = layer;
        }
        topology.with_database(0, "db", 3.0);
        topology.entries = below.iter().map(|entry| (*entry, 0.5)).collect();
        topology
    }

    /// Every service and database that traffic comes by, with the share of the traffic.
    pub fn reached(&self) -> BTreeMap<Text, f64> {
        let mut reached = BTreeMap::new();
        for (entry, share) in &self.entries {
            self.reach(*entry, *share, &mut reached);
        }
        reached
    }

    fn reach(&self, operation: usize, share: f64, reached: &mut BTreeMap<Text, f64>) {
        let operation = &self.operations[operation];
        *reached.entry(operation.service.clone()).or_default() += share;
        if let Some((database, _)) = &operation.database {
            *reached.entry(database.clone()).or_default() += share;
        }
        operation.calls.iter().for_each(|(callee, _)| self.reach(*callee, share, reached));
    }
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// This share of its requests fails.
    Error(f64),
    /// Each request takes so much longer, milliseconds.
    Latency(f64),
    /// Every eighth request takes so much longer, milliseconds.
    Tail(f64),
    /// It takes requests and never answers.
    Hang,
    /// It is gone.
    Crash,
    /// One of its three replicas is gone.
    Partial,
    /// Its requests fail, and its callers repeat them.
    RetryStorm,
    /// Nothing is broken: so many times the traffic, and everything is slower.
    Surge(f64),
    /// Nothing is broken.
    Quiet,
}

impl Kind {
    /// All that break something.
    pub const FAULTS: [Self; 10] = [
        Self::Error(1.0),
        Self::Error(0.3),
        Self::Error(0.12),
        Self::Latency(150.0),
        Self::Latency(1_500.0),
        Self::Tail(600.0),
        Self::Hang,
        Self::Crash,
        Self::Partial,
        Self::RetryStorm,
    ];
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    pub topology: Topology,
    pub kind: Kind,
    /// What is broken; empty when nothing is.
    pub culprit: Text,
    pub seed: u64,
    /// Requests a second.
    pub rate: f64,
    /// Callers stop calling what mostly fails.
    pub has_breakers: bool,
    /// Share of the spans that get lost.
    pub loss: f64,
    /// Seconds by which clocks are wrong, at most.
    pub skew_s: f64,
}

/// Opens when half of the last calls failed, lets one through after a while, closes when that goes well.
#[derive(Debug, Default)]
struct Breaker {
    /// Results since it closed, in order.
    results: Vec<bool>,
    opened_ms: Option<f64>,
}

impl Breaker {
    fn lets_pass(&self, at_ms: f64) -> bool {
        self.opened_ms.is_none_or(|opened| at_ms >= opened + 5_000.0)
    }

    fn settle(&mut self, succeeded: bool, at_ms: f64) {
        if self.opened_ms.is_some() {
            self.results.clear();
            self.opened_ms = if succeeded { None } else { Some(at_ms) };
            return;
        }
        self.results.push(succeeded);
        let late = &self.results[self.results.len().saturating_sub(40)..];
        let failed = late.iter().filter(|well| !**well).count();
        if late.len() >= 10 && failed * 2 >= late.len() && !succeeded {
            self.opened_ms = Some(at_ms);
        }
    }
}

/// A world that runs.
pub struct World {
    case: Case,
    dice: StdRng,
    breakers: HashMap<(Text, Text), Breaker>,
    skews_ms: HashMap<Text, f64>,
    /// Whether the fault is on.
    pub is_broken: bool,
    works: Vec<Work>,
}

struct Served {
    ms: f64,
    failed: bool,
}

impl World {
    pub fn new(case: Case) -> Self {
        let mut dice = StdRng::seed_from_u64(case.seed);
        let names: Vec<Text> = case.topology.reached().into_keys().collect();
        let skews_ms =
            names.into_iter().map(|name| (name, (dice.random::<f64>() * 2.0 - 1.0) * case.skew_s * 1_000.0)).collect();
        Self { case, dice, breakers: HashMap::new(), skews_ms, is_broken: false, works: Vec::new() }
    }

    /// The work that ended among the requests begun in this second after the beginning.
    pub fn second(&mut self, second: i64) -> Vec<Work> {
        let surge = match self.case.kind {
            Kind::Surge(times) if self.is_broken => times,
            _ => 1.0,
        };
        let expected = self.case.rate * surge;
        let count = expected.floor() as usize + usize::from(self.dice.random::<f64>() < expected.fract());
        let jitter = self.dice.random_range(0.8..1.2);
        for _ in 0..(count as f64 * jitter).round() as usize {
            let at_ms = second as f64 * 1_000.0 + self.dice.random::<f64>() * 1_000.0;
            let mut point = self.dice.random::<f64>();
            let entries = self.case.topology.entries.clone();
            let entry = entries.iter().find(|(_, share)| {
                point -= share;
                point < 0.0
            });
            let (entry, _) = entry.or(entries.last()).copied().unwrap_or((0, 1.0));
            let operation = &self.case.topology.operations[entry];
            let origin = (operation.service.clone(), operation.name.clone());
            self.serve(entry, at_ms, true, &origin);
        }
        std::mem::take(&mut self.works)
    }

    fn is_culprit(&self, name: &Text) -> bool {
        self.is_broken && *name == self.case.culprit
    }

    /// Around so many milliseconds, with a tail.
    fn around(&mut self, ms: f64) -> f64 {
        let normal: f64 = (0..6).map(|_| self.dice.random::<f64>()).sum::<f64>() * 2.0 / 6.0 - 1.0;
        let busy = match self.case.kind {
            Kind::Surge(times) if self.is_broken => 1.0 + (times - 1.0) * 0.7,
            _ => 1.0,
        };
        ms * busy * (normal * 1.5).exp()
    }

    fn lost(&mut self) -> bool {
        self.case.loss > 0.0 && self.dice.random::<f64>() < self.case.loss
    }

    fn serve(&mut self, operation: usize, at_ms: f64, is_entry: bool, origin: &(Text, Text)) -> Served {
        let Operation { service, name, own_ms, calls, database } = self.case.topology.operations[operation].clone();
        let mut own = self.around(own_ms);
        let is_culprit = self.is_culprit(&service);
        let (mut failed, mut own_failed) = (false, false);
        match self.case.kind {
            Kind::Latency(ms) if is_culprit => own += ms,
            Kind::Tail(ms) if is_culprit && self.dice.random::<f64>() < 0.125 => own += ms,
            Kind::Error(share) if is_culprit && self.dice.random::<f64>() < share => own_failed = true,
            Kind::RetryStorm if is_culprit => own_failed = true,
            _ => {}
        }
        // Even where all is well, one in a thousand fails.
        own_failed |= self.dice.random::<f64>() < 0.001;
        let (mut outcalls, mut whole) = (Vec::new(), own);
        if own_failed {
            failed = true;
        } else {
            if let Some((database, ms)) = database {
                let call = self.ask(&database, ms);
                whole += call.ns as f64 / 1e6;
                failed |= call.failed;
                outcalls.push(call);
            }
            for (callee, is_optional) in calls {
                if failed {
                    break;
                }
                let succeeded = self.call(&service, callee, at_ms + whole, origin, &mut outcalls, &mut whole);
                if !succeeded && !is_optional {
                    failed = true;
                }
            }
        }
        let lost_calls = (0..outcalls.len()).map(|_| self.lost()).collect::<Vec<_>>();
        let mut kept = lost_calls.iter();
        outcalls.retain(|_| !kept.next().copied().unwrap_or(false));
        if !self.lost() {
            let own_failed = failed && outcalls.iter().all(|call| !call.failed);
            let skew_ms = self.skews_ms.get(&service).copied().unwrap_or(0.0);
            let end_ms = BEGIN_S as f64 * 1_000.0 + at_ms + whole + skew_ms;
            let kind = if is_entry { WorkKind::Entry } else { WorkKind::Request };
            self.works.push(Work {
                service,
                operation: name,
                kind,
                origin: Some(origin.clone()),
                end_ns: (end_ms * 1e6) as u64,
                whole_ns: (whole * 1e6) as u64,
                own_ns: (own * 1e6) as u64,
                failed,
                own_failed,
                error: failed.then_some(ErrorKind::Status(500)),
                calls: outcalls,
            });
        }
        Served { ms: whole, failed }
    }

    fn ask(&mut self, database: &Text, ms: f64) -> Outcall {
        let mut took = self.around(ms);
        let mut error = None;
        if self.is_culprit(database) {
            match self.case.kind {
                Kind::Latency(ms) => took += ms,
                Kind::Tail(ms) if self.dice.random::<f64>() < 0.125 => took += ms,
                Kind::Error(share) if self.dice.random::<f64>() < share => error = Some(ErrorKind::Other),
                Kind::Hang => (took, error) = (TIMEOUT_MS, Some(ErrorKind::TimedOut)),
                Kind::Crash | Kind::RetryStorm => (took, error) = (0.5, Some(ErrorKind::NoConnection)),
                Kind::Partial if self.dice.random::<f64>() < 0.33 => error = Some(ErrorKind::NoConnection),
                _ => {}
            }
        }
        let peer = Some((database.clone(), PeerKind::Database));
        let (ns, failed) = ((took * 1e6) as u64, error.is_some());
        Outcall { peer, ns, failed, error, answer: Answer::Unknown, is_retry: false, was_cut_short: false }
    }

    /// Calls with repetitions; whether one went well.
    fn call(
        &mut self,
        client: &Text,
        callee: usize,
        at_ms: f64,
        origin: &(Text, Text),
        outcalls: &mut Vec<Outcall>,
        whole: &mut f64,
    ) -> bool {
        let server = self.case.topology.operations[callee].service.clone();
        let tries = if self.case.kind == Kind::RetryStorm { 4 } else { 1 };
        let ways = (client.clone(), server.clone());
        for number in 0..tries {
            if self.case.has_breakers && !self.breakers.entry(ways.clone()).or_default().lets_pass(at_ms) {
                return false;
            }
            let call = self.try_once(&server, callee, at_ms, origin, number > 0);
            *whole += call.ns as f64 / 1e6;
            let succeeded = !call.failed;
            outcalls.push(call);
            self.breakers.entry(ways.clone()).or_default().settle(succeeded, at_ms);
            if succeeded {
                return true;
            }
            *whole += 20.0;
        }
        false
    }

    fn try_once(&mut self, server: &Text, callee: usize, at_ms: f64, origin: &(Text, Text), is_retry: bool) -> Outcall {
        let peer = Some((server.clone(), PeerKind::Service));
        let is_gone = self.is_culprit(server)
            && match self.case.kind {
                Kind::Crash | Kind::Hang => true,
                Kind::Partial => self.dice.random::<f64>() < 0.33,
                _ => false,
            };
        let (ms, error, answer) = if is_gone {
            let hangs = self.case.kind == Kind::Hang;
            let (ms, error) = if hangs { (TIMEOUT_MS, ErrorKind::TimedOut) } else { (1.0, ErrorKind::NoConnection) };
            (ms, Some(error), Answer::Missing)
        } else {
            let before = self.works.len();
            let served = self.serve(callee, at_ms, false, origin);
            let is_told = self.works.len() > before && self.works.last().is_some_and(|work| work.service == *server);
            let answer = match (is_told, served.failed) {
                (false, _) => Answer::Missing,
                (true, true) => Answer::Failed,
                (true, false) => Answer::Well,
            };
            match (served.ms > TIMEOUT_MS, served.failed) {
                (true, _) => (TIMEOUT_MS, Some(ErrorKind::TimedOut), answer),
                (false, true) => (served.ms + 0.3, Some(ErrorKind::Status(500)), answer),
                (false, false) => (served.ms + 0.3, None, answer),
            }
        };
        let (ns, failed) = ((ms * 1e6) as u64, error.is_some());
        Outcall { peer, ns, failed, error, answer, is_retry, was_cut_short: false }
    }
}
