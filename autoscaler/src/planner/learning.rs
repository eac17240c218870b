//! What a workload's readings teach over time: what a request costs it, how often the front door's requests come by, how much a
//! replica gets done. The newer counts more, and each estimate says how sure it is. Replicas that still warm up teach nothing.
//! Pure: the same readings in the same order teach the same.

use std::collections::{BTreeMap, VecDeque};

use super::arrivals::Arrivals;
use super::observation::{Demand, Observation, Pod, PodSample};
use super::replicas::find_sample;

/// What is so old counts half. A new version or other customers are learnt within minutes, noise is evened out.
const HALF_LIFE_MS: f64 = 300_000.0;

/// Both ends of an estimate: 95 % of a normal distribution lie between them.
const DEVIATIONS: f64 = 1.96;

/// What was seen once is taken to be so sure: a service's cost differs by about a tenth from one minute to the next.
const SPREAD_PRIOR: f64 = 0.1;

/// With fewer requests in a window, what the replicas do beside them is more than what they cost.
const REQUESTS_MIN: f64 = 20.0;

/// A young replica that uses so much more than those that have settled is still warming up.
const WARM_RATIO: f64 = 1.25;

/// And so much of its cores beside: two replicas differ by that while they have nothing to do.
const WARM_SLACK: f64 = 0.05;

/// How long CPU readings are remembered, so that one is found of the time of the requests, which become known later.
const USAGE_MS: i64 = 60_000;

/// Over so long it is measured how a backlog grows.
const GROWTH_MS: i64 = 60_000;

/// A mean of what was seen, and how sure it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    weight: f64,
    /// The weights, each times what a whole window would have weighed: overlapping windows are not counted twice.
    weight_squared: f64,
    mean: f64,
    squares: f64,
    at_ms: i64,
}

/// An estimate, and between what it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likely {
    /// As little as is likely; above 0 where `mean` is.
    pub low: f64,
    /// The likeliest.
    pub mean: f64,
    /// As much as is likely.
    pub high: f64,
}

impl Likely {
    /// Nothing, for sure.
    pub const NONE: Self = Self { low: 0.0, mean: 0.0, high: 0.0 };
}

impl Estimate {
    /// Takes in a value that stands for `amount` of work; `share` of its window is new.
    pub(super) fn observe(&mut self, at_ms: i64, value: f64, amount: f64, share: f64) {
        if !(value.is_finite() && value >= 0.0 && amount > 0.0 && share > 0.0) {
            return;
        }
        let decay = 0.5f64.powf((at_ms - self.at_ms).max(0) as f64 / HALF_LIFE_MS);
        let weight = amount * share;
        self.at_ms = at_ms;
        self.weight = self.weight * decay + weight;
        self.weight_squared = self.weight_squared * decay * decay + weight * amount;
        let apart = value - self.mean;
        self.mean += apart * weight / self.weight;
        self.squares = self.squares * decay + weight * apart * (value - self.mean);
    }

    /// What is known; `None` before anything was seen.
    pub fn likely(&self) -> Option<Likely> {
        if self.weight <= 0.0 {
            return None;
        }
        let windows = (self.weight * self.weight / self.weight_squared).max(1.0);
        let spread = self.squares / self.weight + (SPREAD_PRIOR * self.mean).powi(2);
        let error = DEVIATIONS * (spread / windows).sqrt();
        Some(Likely { low: (self.mean - error).max(self.mean * 0.1), mean: self.mean, high: self.mean + error })
    }
}

/// How a backlog goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drain {
    /// When, how much waited, and how many replicas were ready.
    points: VecDeque<(i64, f64, u32)>,
    /// How much arrives a second.
    pub arrivals: f64,
    /// How much a replica does a second.
    pub each: Estimate,
}

/// CPU of the replicas that have settled, at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CrewUsage {
    at_ms: i64,
    /// Cores of one replica.
    cores_each: f64,
    /// Replicas that served.
    serving: f64,
    /// No replica has settled, so that some of it may be their start.
    is_guess: bool,
}

/// What is known of one workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learnt {
    /// CPU-seconds of a request.
    pub cpu_seconds: Estimate,
    /// Seconds of a request in the service itself.
    pub own_seconds: Estimate,
    /// Seconds of a request, waiting for others included.
    pub whole_seconds: Estimate,
    /// Requests here for one at the front door.
    pub visits: Estimate,
    /// Requests that had not been sent before.
    pub asked: Arrivals,
    /// Requests at the front door.
    pub front: Arrivals,
    /// Replicas that serve and still warm up.
    pub warming: usize,
    pub(super) usage: VecDeque<CrewUsage>,
    pub(super) drains: BTreeMap<String, Drain>,
    pub(super) at_ms: Option<i64>,
}

impl Learnt {
    /// Learns what requests cost, from a tick's reading.
    pub(super) fn demand(&mut self, demand: &Demand, observation: &Observation) {
        if let Some(usage) = self.crew(demand, observation) {
            if self.usage.back().is_none_or(|last| last.at_ms < usage.at_ms) {
                self.usage.push_back(usage);
            }
            while self.usage.front().is_some_and(|first| first.at_ms < usage.at_ms - USAGE_MS) {
                self.usage.pop_front();
            }
        }
        let before = self.at_ms.unwrap_or(i64::MIN / 2);
        if demand.service.at_ms <= before || demand.service.window_seconds <= 0.0 {
            return;
        }
        let share = ((demand.service.at_ms - before) as f64 / 1000.0 / demand.service.window_seconds).min(1.0);
        let at_ms = demand.service.at_ms;
        self.at_ms = Some(at_ms);
        self.asked.observe(at_ms, demand.service.window_seconds, demand.service.asked);
        if let Some(front) = demand.service.front {
            self.front.observe(at_ms, demand.service.window_seconds, front);
        }
        let many = |rate: f64| rate * demand.service.window_seconds >= REQUESTS_MIN;
        if let Some(front) = demand.service.front.filter(|front| many(*front)) {
            self.visits.observe(at_ms, demand.service.asked / front, front, share);
        }
        if !many(demand.service.served) {
            return;
        }
        if let Some(usage) = self.usage_at(at_ms, demand.service.window_seconds) {
            let cost = usage.cores_each * usage.serving / demand.service.served;
            // Until a replica has settled, its own time tells the requests' part: one thread works on a request.
            let cost = if usage.is_guess { demand.service.own_seconds.map(|own| own.min(cost)) } else { Some(cost) };
            if let Some(cost) = cost {
                self.cpu_seconds.observe(at_ms, cost, demand.service.served, share);
            }
        }
        if self.warming == 0 {
            for (estimate, seconds) in [
                (&mut self.own_seconds, demand.service.own_seconds),
                (&mut self.whole_seconds, demand.service.whole_seconds),
            ] {
                if let Some(seconds) = seconds {
                    estimate.observe(at_ms, seconds, demand.service.served, share);
                }
            }
        }
    }

    /// The CPU of the replicas that have settled. Sets how many have not.
    fn crew(&mut self, demand: &Demand, observation: &Observation) -> Option<CrewUsage> {
        let now_ms = observation.now_ms;
        let startup_ms = i64::try_from(observation.startup.cpu_initialization.as_millis()).unwrap_or(i64::MAX / 4);
        let (mut old, mut young, mut unread) = (Vec::new(), Vec::new(), 0);
        let mut serving = 0usize;
        for (index, pod) in observation.pods.iter().enumerate() {
            if !pod.receives_traffic() || pod.terminating {
                continue;
            }
            serving += 1;
            let is_young = pod.started_ms.is_none_or(|started| started + startup_ms > now_ms);
            match find_sample(&demand.cpu, index, &pod.name).map(|place| &demand.cpu[place]) {
                Some(sample) if !is_young => old.push(sample),
                Some(sample) if is_whole(sample, pod) => young.push(sample),
                _ => unread += usize::from(is_young),
            }
        }
        let median = median(&old);
        let each = demand.service.served / serving as f64;
        let usual = median.or_else(|| Some(self.cpu_seconds.likely()?.mean * each));
        let (old_count, young_count) = (old.len(), young.len());
        let slack = WARM_SLACK * demand.cores.unwrap_or(0.0);
        let mut settled = old;
        settled.extend(young.into_iter().filter(|s| usual.is_none_or(|usual| cores(s) <= usual * WARM_RATIO + slack)));
        self.warming = old_count + young_count - settled.len() + unread;
        let at_ms = settled.iter().map(|sample| sample.at_ms).min()?;
        let cores_each = settled.iter().map(|sample| cores(sample)).sum::<f64>() / settled.len() as f64;
        Some(CrewUsage { at_ms, cores_each, serving: serving as f64, is_guess: usual.is_none() })
    }

    /// The usage at the time of the requests; CPU is known some seconds earlier than they are.
    fn usage_at(&self, at_ms: i64, window_seconds: f64) -> Option<CrewUsage> {
        let nearest = self.usage.iter().min_by_key(|usage| (usage.at_ms - at_ms).abs())?;
        ((nearest.at_ms - at_ms).abs() as f64 <= window_seconds * 500.0).then_some(*nearest)
    }

    /// Cores that a settled replica uses, and that its requests explain at most; `None` while one of the two is not known.
    pub fn explained(&self, demand: &Demand) -> Option<(f64, f64)> {
        let usage = self.usage.back()?;
        let cost = self.cpu_seconds.likely()?;
        Some((usage.cores_each, cost.high * demand.service.served / usage.serving))
    }

    /// Learns how a backlog goes.
    pub(super) fn backlog(&mut self, name: &str, at_ms: i64, waiting: f64, done: f64, ready: u32) {
        let drain = match self.drains.get_mut(name) {
            Some(drain) => drain,
            None => self.drains.entry(name.to_owned()).or_default(),
        };
        let last_ms = drain.points.back().map(|(at, ..)| *at);
        if last_ms.is_some_and(|last| at_ms <= last) {
            return;
        }
        drain.points.push_back((at_ms, waiting, ready));
        while drain.points.front().is_some_and(|(at, ..)| *at < at_ms - GROWTH_MS) && drain.points.len() > 2 {
            drain.points.pop_front();
        }
        let (first_ms, first, _) = drain.points[0];
        let seconds = (at_ms - first_ms) as f64 / 1000.0;
        let growth = if seconds > 0.0 { (waiting - first) / seconds } else { 0.0 };
        drain.arrivals = (done + growth).max(0.0);
        if ready == 0 || done <= 0.0 || drain.points.iter().any(|(_, _, before)| *before != ready) {
            return;
        }
        let each = done / f64::from(ready);
        // Who always has something to do does what it can; others do at least what they were seen to do.
        let is_busy = waiting >= f64::from(ready);
        if is_busy || drain.each.likely().is_none_or(|known| each > known.mean) {
            let share = last_ms.map_or(1.0, |last| ((at_ms - last) as f64 / GROWTH_MS as f64).min(1.0));
            drain.each.observe(at_ms, each, 1.0, share);
        }
    }

    /// How the backlog that a signal of this name reads goes; `None` before it was read.
    pub fn drain(&self, name: &str) -> Option<&Drain> {
        self.drains.get(name)
    }
}

fn cores(sample: &PodSample) -> f64 {
    sample.millis as f64 / 1000.0
}

/// Whether a reading is of a time in which the replica served all along.
fn is_whole(sample: &PodSample, pod: &Pod) -> bool {
    let window_ms = i64::try_from(sample.window.as_millis()).unwrap_or(i64::MAX / 4);
    pod.ready.is_some_and(|ready| sample.at_ms - window_ms >= ready.changed_ms)
}

fn median(samples: &[&PodSample]) -> Option<f64> {
    let mut all: Vec<i64> = samples.iter().map(|sample| sample.millis).collect();
    all.sort_unstable();
    let middle = all.get(all.len() / 2)?;
    Some(*middle as f64 / 1000.0)
}

#[cfg(test)]
mod tests;
