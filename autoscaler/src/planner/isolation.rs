//! Whose trouble it is: a victim is not scaled for its culprit, and requests that were sent before are no demand. Both only cut what
//! is wished beyond what there is, never that. Pure.

use protocol::faults::FaultKind;
use protocol::scaling::{Growth, GuardFacts};

use super::explain::number;
use super::surroundings::{Suffering, Traffic};
use super::track::{Base, Rising};
use super::unsigned;

/// Up to this share of requests may be sent again without a storm: a well-behaved client's retries are a few in a hundred, and its
/// budget a fifth (Envoy's) only while something is broken.
const RETRIED_USUAL: f64 = 0.1;

/// Requests that take so many times as long as usual, wait ...
const WAITING_TIMES: f64 = 2.0;

/// ... for others, if at most so much of the longer time is the service's own.
const OWN_SHARE: f64 = 0.25;

/// Both ends of a rate that was counted over a window: 95 % of a Poisson distribution lie between them.
const DEVIATIONS: f64 = 1.96;

/// What is wished, and what of it neither a culprit nor retries can have raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Replicas that there are.
    pub from: i32,
    /// Replicas wished.
    pub wish: i32,
    /// Replicas that the signals ask for which cannot be raised so; 0 where there are none.
    pub trusted: i32,
}

/// What a guard makes of a wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// The most replicas that there may be.
    pub most: i32,
    /// Why, for people.
    pub note: String,
    /// The numbers behind it.
    pub facts: GuardFacts,
    /// It is not sure yet: the call graph has not seen the requests that the wish follows from.
    pub is_doubt: bool,
}

/// Cuts the wish for a victim. Its requests may have grown in number all the same, compared with `base`, those of before.
pub fn victim(wish: Wish, suffering: &Suffering, base: Option<&Base>, traffic: Option<&Traffic>, up: f64) -> Cut {
    let grown = base.zip(traffic).and_then(|(base, traffic)| growth(base, traffic, up));
    let by_growth = grown.map_or(0, |grown| i32::try_from(grown.replicas).unwrap_or(i32::MAX));
    let Suffering { culprit, fault, score, since_ms, at_ms } = suffering;
    let how = match fault {
        FaultKind::Errors => "fails",
        FaultKind::NoAnswer => "gives no answer",
        FaultKind::Slow => "is slow",
    };
    let seconds = (at_ms - since_ms).max(0) / 1000;
    Cut {
        most: wish.from.max(wish.trusted).max(by_growth),
        note: format!("it suffers from {culprit}, which {how} since {seconds} s, and more replicas would not help"),
        facts: GuardFacts::Culprit {
            culprit: culprit.clone(),
            fault: *fault,
            score: *score,
            since_ms: *since_ms,
            at_ms: *at_ms,
            trusted: unsigned(wish.trusted),
            grown,
        },
        is_doubt: false,
    }
}

/// Cuts the wish for a service whose requests take longer because they wait for others, before anybody has been named. `usual` is what
/// requests usually take, and in the service itself. `None` where they do not wait.
pub fn waiting(wish: Wish, traffic: &Traffic, usual: (f64, f64), base: &Base, up: f64) -> Option<Cut> {
    let (seconds, own_seconds) = traffic.seconds.zip(traffic.own_seconds)?;
    let (seconds_usual, own_seconds_usual) = usual;
    let (more, more_own) = (seconds - seconds_usual, own_seconds - own_seconds_usual);
    if seconds < WAITING_TIMES * seconds_usual || more_own > OWN_SHARE * more {
        return None;
    }
    let grown = growth(base, traffic, up);
    let by_growth = grown.map_or(0, |grown| i32::try_from(grown.replicas).unwrap_or(i32::MAX));
    let [is, was] = [seconds, seconds_usual].map(|seconds| number(seconds * 1000.0));
    Some(Cut {
        most: wish.from.max(wish.trusted).max(by_growth),
        note: format!(
            "its requests take {is} ms instead of {was} and wait for others, which more replicas would not help"
        ),
        facts: GuardFacts::Waiting {
            seconds,
            seconds_usual,
            own_seconds,
            own_seconds_usual,
            trusted: unsigned(wish.trusted),
            grown,
        },
        is_doubt: false,
    })
}

/// Whether requests come more often than before, by more than chance and the tolerance `up`.
pub fn has_grown(base: &Base, traffic: &Traffic, up: f64) -> bool {
    growth(base, traffic, up).is_some()
}

/// Requests that came more often than before, by more than chance and the tolerance `up`.
fn growth(base: &Base, traffic: &Traffic, up: f64) -> Option<Growth> {
    let (before, now) = (base.offered.filter(|offered| *offered > 0.0)?, traffic.offered());
    let error = |rate: f64, seconds: f64| DEVIATIONS * (rate / seconds.max(1.0)).sqrt();
    let least = now - error(now, traffic.window_seconds);
    let most = before + error(before, base.seconds);
    let replicas = (f64::from(base.replicas) * now / before - 1e-9).ceil();
    (least > most * (1.0 + up) && replicas < f64::from(i32::MAX)).then(|| Growth {
        before,
        now,
        replicas_before: unsigned(base.replicas),
        replicas: replicas as u32,
    })
}

/// What else is known of a wish that retries may have raised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// Since when it is beyond one replica more, and than how many.
    pub rising: Rising,
    /// The least wish since the end of what the call graph knows.
    pub least: i32,
    /// It follows from a query, which may count anything.
    pub is_queried: bool,
    /// Requests come more often than before.
    pub has_grown: bool,
}

/// Cuts the wish to what requests ask for that come for the first time.
pub fn retries(wish: Wish, traffic: &Traffic, doubt: Doubt, now_ms: i64) -> Cut {
    let Doubt { rising, least, is_queried, has_grown } = doubt;
    let share = traffic.retried_share();
    let is_storm = share > RETRIED_USUAL;
    // Who is not called by services is not told what was sent before, and what uses CPU there is work.
    let may_be_none = traffic.has_callers || is_queried;
    let is_known = rising.is_seen(traffic) || (has_grown && traffic.at_ms >= rising.since_ms);
    let is_unseen = !is_storm && may_be_none && !is_known && wish.wish > rising.base.saturating_add(1);
    let most = if is_storm {
        Some((f64::from(least) * (1.0 - share) - 1e-9).ceil() as i32)
    } else {
        is_unseen.then(|| rising.base.saturating_add(1))
    };
    let (attempts, retried) = (number(traffic.attempts), number(traffic.retried));
    let note = match most {
        Some(_) if is_storm => format!("{retried} of {attempts} requests/s were sent before, which is no demand"),
        Some(_) => {
            let seconds = (now_ms - traffic.at_ms).max(0) / 1000;
            format!("the call graph, {seconds} s behind, has yet to say whether there are new requests")
        }
        None => String::new(),
    };
    Cut {
        most: most.map_or(i32::MAX, |most| most.max(wish.from).max(wish.trusted)),
        note,
        facts: GuardFacts::Retries {
            attempts: traffic.attempts,
            retried: traffic.retried,
            window_seconds: traffic.window_seconds,
            at_ms: traffic.at_ms,
            trusted: unsigned(wish.trusted),
            least: unsigned(least),
            most: most.map(unsigned),
            waits_since_ms: is_unseen.then_some(rising.since_ms),
        },
        is_doubt: is_unseen,
    }
}

#[cfg(test)]
mod tests;
