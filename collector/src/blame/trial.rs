//! A world of services with faults, for tests: it makes the work that blame would be told of. Seeded, without a clock.

mod sky;
mod topology;

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::sky::Sky;
pub use self::sky::Weather;
use self::topology::Operation;
pub use self::topology::Topology;
use super::work::{Answer, ErrorKind, Outcall, PeerKind, Text, Work, WorkKind};

/// When worlds begin: the epoch's second.
pub const BEGIN_S: i64 = 1_700_000_000;

/// How long a caller waits, milliseconds.
const TIMEOUT_MS: f64 = 1_000.0;

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
    /// It turns this share of its requests away.
    Refusing(f64),
    /// It finds no connection to this service, which the others reach.
    CutOff(&'static str),
    /// It stands still for so many milliseconds, then runs for a second.
    Standing(f64),
    /// It waits for no answer longer than this, milliseconds, and tries again.
    Impatient(f64),
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
    /// How things are for all.
    pub weather: Weather,
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
    /// Whether there is more to do than can be done, if there ever is.
    pub is_stormy: bool,
    sky: Sky,
    works: Vec<Work>,
}

struct Served {
    ms: f64,
    error: Option<ErrorKind>,
}

impl World {
    pub fn new(case: Case) -> Self {
        let mut dice = StdRng::seed_from_u64(case.seed);
        let names: Vec<Text> = case.topology.reached().into_keys().collect();
        let skews_ms =
            names.into_iter().map(|name| (name, (dice.random::<f64>() * 2.0 - 1.0) * case.skew_s * 1_000.0)).collect();
        let sky = Sky::new(case.weather, &case.topology, case.seed);
        let (is_broken, is_stormy) = (false, false);
        Self { case, dice, breakers: HashMap::new(), skews_ms, is_broken, is_stormy, sky, works: Vec::new() }
    }

    /// The work that ended among the requests begun in this second after the beginning.
    pub fn second(&mut self, second: i64) -> Vec<Work> {
        let surge = match self.case.kind {
            Kind::Surge(times) if self.is_broken => times,
            _ => 1.0,
        };
        self.sky.turn(second, self.is_stormy);
        let expected = self.case.rate * surge * self.sky.times;
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
        ms * busy * self.sky.slow * (normal * 1.5).exp()
    }

    fn is_surging(&self) -> bool {
        self.is_broken && matches!(self.case.kind, Kind::Surge(_))
    }

    /// How long a service goes on to stand still that does so at this time.
    fn stands_ms(&self, name: &Text, at_ms: f64) -> f64 {
        match self.case.kind {
            Kind::Standing(ms) if self.is_culprit(name) => (ms - at_ms % (ms + 1_000.0)).max(0.0),
            _ => 0.0,
        }
    }

    fn lost(&mut self) -> bool {
        self.case.loss > 0.0 && self.dice.random::<f64>() < self.case.loss
    }

    fn serve(&mut self, operation: usize, at_ms: f64, is_entry: bool, origin: &(Text, Text)) -> Served {
        let Operation { service, name, own_ms, calls, database } = self.case.topology.operations[operation].clone();
        // Who stands still begins nothing.
        let at_ms = if is_entry { at_ms + self.stands_ms(&service, at_ms) } else { at_ms };
        let mut own = self.around(own_ms);
        let is_culprit = self.is_culprit(&service);
        let (mut failed, mut own_failed) = (false, false);
        match self.case.kind {
            Kind::Latency(ms) if is_culprit => own += ms,
            Kind::Tail(ms) if is_culprit && self.dice.random::<f64>() < 0.125 => own += ms,
            Kind::Error(share) if is_culprit && self.dice.random::<f64>() < share => own_failed = true,
            Kind::RetryStorm if is_culprit => own_failed = true,
            _ => own += self.stands_ms(&service, at_ms + own),
        }
        let refuses =
            matches!(self.case.kind, Kind::Refusing(share) if is_culprit && self.dice.random::<f64>() < share);
        // Even where all is well, one in a thousand fails.
        own_failed |= self.dice.random::<f64>() < 0.001;
        let mut error = own_failed.then_some(ErrorKind::Status(500));
        if refuses {
            (own_failed, error) = (true, Some(ErrorKind::Status(503)));
        }
        if let Some(refusing) = self.sky.refusing(&service) {
            // Who is let in has waited, too.
            own += refusing.wait_ms * self.dice.random::<f64>();
            if self.dice.random::<f64>() < refusing.share {
                (own, own_failed, error) = (refusing.wait_ms + 0.5, true, Some(ErrorKind::Status(503)));
            }
        }
        let (mut outcalls, mut whole) = (Vec::new(), own);
        if own_failed {
            failed = true;
        } else {
            if let Some((database, ms)) = database {
                let call = self.ask(&database, ms);
                whole += call.ns as f64 / 1e6;
                failed |= call.failed;
                error = error.or(call.error.map(|_| ErrorKind::Status(500)));
                outcalls.push(call);
            }
            for (callee, is_optional) in calls {
                if failed {
                    break;
                }
                let succeeded = self.call(&service, callee, at_ms + whole, origin, &mut outcalls, &mut whole);
                if !succeeded && !is_optional {
                    failed = true;
                    // What a peer answers is passed on; its silence, and an open breaker, are 503 of one's own.
                    let answered = outcalls.last().and_then(|call| call.error);
                    let status = answered.filter(|error| matches!(error, ErrorKind::Status(_)));
                    error = Some(status.unwrap_or(ErrorKind::Status(503)));
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
                error: error.filter(|_| failed),
                version: None,
                calls: outcalls,
            });
        }
        Served { ms: whole, error: error.filter(|_| failed) }
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
        Outcall {
            peer,
            ns,
            failed,
            error,
            answer: Answer::Unknown,
            gap_ns: None,
            is_retry: false,
            was_cut_short: false,
        }
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
        let tries = match self.case.kind {
            Kind::RetryStorm => 4,
            Kind::Impatient(_) if self.is_culprit(client) => 6,
            _ => 1,
        };
        let ways = (client.clone(), server.clone());
        for number in 0..tries {
            if self.case.has_breakers && !self.breakers.entry(ways.clone()).or_default().lets_pass(at_ms) {
                return false;
            }
            let mut call = self.try_once(&server, callee, at_ms, origin, number > 0);
            if self.is_culprit(client) {
                self.spoil(&server, &mut call);
            }
            let stands_ns = (self.stands_ms(client, at_ms + *whole + call.ns as f64 / 1e6) * 1e6) as u64;
            (call.ns, call.gap_ns) = (call.ns + stands_ns, call.gap_ns.map(|gap_ns| gap_ns + stands_ns));
            *whole += call.ns as f64 / 1e6;
            let succeeded = !call.failed;
            // "Not now" says nothing about a peer that the peer does not say itself.
            if call.error != Some(ErrorKind::Status(503)) {
                self.breakers.entry(ways.clone()).or_default().settle(succeeded, at_ms);
            }
            outcalls.push(call);
            if succeeded {
                return true;
            }
            *whole += 20.0;
        }
        false
    }

    /// What a client makes of a call that would have gone well.
    fn spoil(&mut self, server: &Text, call: &mut Outcall) {
        let spoilt = match self.case.kind {
            Kind::CutOff(peer) if **server == *peer => Some((1.0, ErrorKind::NoConnection)),
            Kind::Impatient(ms) if call.ns as f64 > ms * 1e6 => Some((ms, ErrorKind::TimedOut)),
            _ => None,
        };
        if let Some((ms, error)) = spoilt {
            (call.ns, call.failed, call.error, call.answer) = ((ms * 1e6) as u64, true, Some(error), Answer::Missing);
        }
    }

    fn try_once(&mut self, server: &Text, callee: usize, at_ms: f64, origin: &(Text, Text), is_retry: bool) -> Outcall {
        let peer = Some((server.clone(), PeerKind::Service));
        let mut gap_ms = None;
        let is_gone = self.is_culprit(server)
            && match self.case.kind {
                Kind::Crash | Kind::Hang => true,
                Kind::Partial => self.dice.random::<f64>() < 0.33,
                _ => false,
            };
        let stands_ms = self.stands_ms(server, at_ms);
        let (ms, error, answer) = if is_gone {
            let hangs = self.case.kind == Kind::Hang;
            let (ms, error) = if hangs { (TIMEOUT_MS, ErrorKind::TimedOut) } else { (1.0, ErrorKind::NoConnection) };
            (ms, Some(error), Answer::Missing)
        } else {
            let before = self.works.len();
            let served = self.serve(callee, at_ms + stands_ms, false, origin);
            let is_told = self.works.len() > before && self.works.last().is_some_and(|work| work.service == *server);
            let answer = match (is_told, served.error.is_some()) {
                (false, _) => Answer::Missing,
                (true, true) => Answer::Failed,
                (true, false) => Answer::Well,
            };
            // Until it is taken in; who has too much to do is slow in that, too.
            let queue_ms = if self.is_surging() { 40.0 * self.dice.random::<f64>() } else { 0.3 };
            let before_ms = stands_ms + queue_ms;
            gap_ms = Some(before_ms).filter(|_| is_told);
            match served.error {
                _ if served.ms + before_ms > TIMEOUT_MS => (TIMEOUT_MS, Some(ErrorKind::TimedOut), answer),
                error => (served.ms + before_ms, error, answer),
            }
        };
        let (ns, failed) = ((ms * 1e6) as u64, error.is_some());
        let gap_ns = gap_ms.map(|ms: f64| (ms * 1e6) as u64);
        Outcall { peer, ns, failed, error, answer, gap_ns, is_retry, was_cut_short: false }
    }
}
