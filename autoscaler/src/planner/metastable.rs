//! Finds services that stay down although what brought them down is over: a burst of load, or replicas lost, has set off a loop of
//! retries or of slow work that keeps itself going (Bronson et al., HotOS 2021; Huang et al., OSDI 2022). Adding time does not end
//! it, taking replicas away makes it worse, and load has to drop. Pure: the same samples in the same order tell the same. It knows a
//! service's usual ways from times in which it was well, and says nothing before it does.

use std::collections::VecDeque;

use protocol::scaling::GuardFacts;

use super::explain::number;
use super::surroundings::Traffic;

/// So long a service must have been well before anything unusual can be told.
const LEARNT_MS: i64 = 60_000;

/// What is usual is learnt with this half-life: fast beside a day, slow beside an outage.
const HALF_LIFE_MS: f64 = 300_000.0;

/// Load that was carried well counts in full for so long; a replica may do less after another day's release.
const CARRIED_HALF_LIFE_MS: f64 = 3_600_000.0;

/// With fewer requests in a window a share of them says little.
const REQUESTS_MIN: f64 = 20.0;

/// A service is well while so many requests go well ...
const WELL_SHARE: f64 = 0.9;

/// ... and take at most so many times what is usual.
const WELL_TIMES: f64 = 3.0;

/// It is down while fewer go well ...
const DOWN_SHARE: f64 = 0.7;

/// ... or they take more than so many times what is usual.
const DOWN_TIMES: f64 = 6.0;

/// Load for each replica so far above what was carried well is a trigger ...
const TRIGGER_TIMES: f64 = 1.2;

/// ... and it is over once it is no more than this.
const OVER_TIMES: f64 = 1.05;

/// So long a service must have stayed down since: who works off what has piled up is done by then.
const DOWN_MS: i64 = 30_000;

/// What goes well for so long is carried: at first what is too much only makes a queue.
const CARRIED_MS: i64 = 20_000;

/// So long it must have been well for it to be over.
const WELL_MS: i64 = 30_000;

/// More requests sent again than this keep a service down.
const RETRIED_SHARE: f64 = 0.2;

/// Requests that cost so many times what is usual keep it down.
const SLOW_TIMES: f64 = 1.5;

/// What came to a service over a window, and who was there for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The requests.
    pub traffic: Traffic,
    /// Replicas that served.
    pub ready: u32,
    /// It suffers from another service, so that the trouble is not its own.
    pub suffers: bool,
}

/// What brought a service down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// More load than it ever carried.
    LoadSpike,
    /// Fewer replicas than its load needs.
    CapacityLoss,
    /// Another service that it needs.
    DependencyFault,
}

/// What keeps it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amplifier {
    /// Requests that are sent again and again.
    Retries,
    /// Requests that cost more than usual, such as those that no cache answers.
    SlowPath,
}

/// A service that does not recover.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metastable {
    /// What brought it down.
    pub trigger: Trigger,
    /// What keeps it down.
    pub amplifier: Amplifier,
    /// Milliseconds since the epoch from which on it should have recovered.
    pub since_ms: i64,
    /// The latest sample.
    traffic: Traffic,
    /// Requests a second that as many replicas carried well.
    carried: f64,
    /// What half of the requests take at most, usually.
    seconds_usual: Option<f64>,
}

/// What is usual, of times in which a service was well.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usual {
    first_ms: i64,
    at_ms: i64,
    /// The most requests a second for each replica that went well; what is long ago counts less.
    carried_each: f64,
    /// The most requests a second.
    carried: f64,
    seconds: Option<f64>,
    own_seconds: Option<f64>,
}

/// Follows one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detector {
    usual: Option<Usual>,
    trigger: Option<Trigger>,
    at_ms: Option<i64>,
    /// Since when it has been down with the trigger over.
    down_since_ms: Option<i64>,
    well_since_ms: Option<i64>,
    /// Windows in which it was well, with the replicas that served, until it is learnt from them.
    pending: VecDeque<(Traffic, u32)>,
    found: Option<Metastable>,
}

impl Detector {
    /// That the service does not recover, if it does not.
    pub fn found(&self) -> Option<&Metastable> {
        self.found.as_ref()
    }

    /// Seconds that half of the requests usually take at most, and in the service itself; `None` before that is known.
    pub fn usual_seconds(&self) -> Option<(f64, f64)> {
        let usual = self.usual.filter(|usual| usual.at_ms - usual.first_ms >= LEARNT_MS)?;
        usual.seconds.zip(usual.own_seconds)
    }

    /// Takes in a window; one that ended no later than the last is the same again.
    pub fn observe(&mut self, sample: Sample) {
        let Sample { traffic, ready, suffers } = sample;
        if self.at_ms.is_some_and(|last_ms| traffic.at_ms <= last_ms) {
            return;
        }
        self.at_ms = Some(traffic.at_ms);
        if traffic.attempts * traffic.window_seconds < REQUESTS_MIN {
            self.rest(traffic.at_ms);
            return;
        }
        let usual = self.usual;
        let times = traffic.seconds.zip(usual.and_then(|usual| usual.seconds)).map(|(now, usual)| now / usual);
        let is_well = traffic.good_share() >= WELL_SHARE && times.is_none_or(|times| times <= WELL_TIMES);
        let is_down = traffic.good_share() < DOWN_SHARE || times.is_some_and(|times| times > DOWN_TIMES);
        if is_well {
            self.well(&traffic, ready);
            return;
        }
        self.well_since_ms = None;
        self.pending.clear();
        let Some(usual) = usual.filter(|usual| usual.at_ms - usual.first_ms >= LEARNT_MS) else { return };
        let each = traffic.offered() / f64::from(ready);
        if each > TRIGGER_TIMES * usual.carried_each {
            let is_spike = traffic.offered() > TRIGGER_TIMES * usual.carried;
            self.trigger = Some(if is_spike { Trigger::LoadSpike } else { Trigger::CapacityLoss });
        }
        if suffers {
            self.trigger = Some(Trigger::DependencyFault);
        }
        let is_over = each <= OVER_TIMES * usual.carried_each;
        let (Some(trigger), true, false) = (self.trigger, is_down && is_over, suffers) else {
            self.down_since_ms = None;
            return;
        };
        let since_ms = *self.down_since_ms.get_or_insert(traffic.at_ms);
        let amplifier = amplifier(&traffic, &usual);
        if let Some(found) = &mut self.found {
            found.traffic = traffic;
        } else if let Some(amplifier) = amplifier.filter(|_| traffic.at_ms - since_ms >= DOWN_MS) {
            let carried = usual.carried_each * f64::from(ready);
            let seconds_usual = usual.seconds;
            self.found = Some(Metastable { trigger, amplifier, since_ms, traffic, carried, seconds_usual });
        }
    }

    /// It is well, or has nothing to do: its trouble is forgotten once that has lasted.
    fn rest(&mut self, at_ms: i64) {
        self.down_since_ms = None;
        let since_ms = *self.well_since_ms.get_or_insert(at_ms);
        if at_ms - since_ms >= WELL_MS {
            (self.found, self.trigger) = (None, None);
        }
    }

    /// It is well: learns what is usual.
    fn well(&mut self, traffic: &Traffic, ready: u32) {
        self.rest(traffic.at_ms);
        // What goes well while a loop may still be on is no measure.
        if self.trigger.is_none() && ready > 0 {
            self.pending.push_back((*traffic, ready));
        }
        while let Some((traffic, ready)) = self.pending.front().copied()
            && self.at_ms.is_some_and(|now_ms| traffic.at_ms <= now_ms - CARRIED_MS)
        {
            self.learn(&traffic, ready);
            self.pending.pop_front();
        }
    }

    fn learn(&mut self, traffic: &Traffic, ready: u32) {
        let offered = traffic.offered();
        let each = offered / f64::from(ready);
        let Some(usual) = &mut self.usual else {
            self.usual = Some(Usual {
                first_ms: traffic.at_ms,
                at_ms: traffic.at_ms,
                carried_each: each,
                carried: offered,
                seconds: traffic.seconds,
                own_seconds: traffic.own_seconds,
            });
            return;
        };
        let passed = (traffic.at_ms - usual.at_ms).max(0) as f64;
        let (kept, faded) = (0.5f64.powf(passed / HALF_LIFE_MS), 0.5f64.powf(passed / CARRIED_HALF_LIFE_MS));
        let mean = |before: Option<f64>, now: Option<f64>| match (before, now) {
            (Some(before), Some(now)) => Some(before * kept + now * (1.0 - kept)),
            (before, now) => before.or(now),
        };
        usual.at_ms = traffic.at_ms;
        usual.carried_each = (usual.carried_each * faded).max(each);
        usual.carried = (usual.carried * faded).max(offered);
        usual.seconds = mean(usual.seconds, traffic.seconds);
        usual.own_seconds = mean(usual.own_seconds, traffic.own_seconds);
    }
}

/// What keeps a service down; `None` where it is neither of what is known to.
fn amplifier(traffic: &Traffic, usual: &Usual) -> Option<Amplifier> {
    if traffic.retried_share() > RETRIED_SHARE {
        return Some(Amplifier::Retries);
    }
    let slower = traffic.own_seconds.zip(usual.own_seconds).is_some_and(|(now, usual)| now > SLOW_TIMES * usual);
    slower.then_some(Amplifier::SlowPath)
}

impl Metastable {
    /// Why, for people.
    pub fn note(&self, now_ms: i64) -> String {
        let trigger = match self.trigger {
            Trigger::LoadSpike => "a burst of load",
            Trigger::CapacityLoss => "the loss of replicas",
            Trigger::DependencyFault => "a fault of another service",
        };
        let amplifier = match self.amplifier {
            Amplifier::Retries => "retries keep it down",
            Amplifier::SlowPath => "requests that cost more than usual keep it down",
        };
        let seconds = (now_ms - self.since_ms).max(0) / 1000;
        let good = self.traffic.good_share() * 100.0;
        let (offered, carried) = (number(self.traffic.offered()), number(self.carried));
        format!(
            "it has not recovered from {trigger} that was over {seconds} s ago: {good:.0}% of {offered} requests/s go well, \
             of which it carried {carried}, and {amplifier}; load has to drop"
        )
    }

    /// The numbers behind it.
    pub fn facts(&self) -> GuardFacts {
        GuardFacts::Metastable {
            trigger: match self.trigger {
                Trigger::LoadSpike => "loadSpike".to_owned(),
                Trigger::CapacityLoss => "capacityLoss".to_owned(),
                Trigger::DependencyFault => "dependencyFault".to_owned(),
            },
            amplifier: match self.amplifier {
                Amplifier::Retries => "retries".to_owned(),
                Amplifier::SlowPath => "slowPath".to_owned(),
            },
            since_ms: self.since_ms,
            offered: self.traffic.offered(),
            carried: self.carried,
            good_share: self.traffic.good_share(),
            retried_share: self.traffic.retried_share(),
            seconds: self.traffic.seconds,
            seconds_usual: self.seconds_usual,
        }
    }
}

#[cfg(test)]
mod tests;
