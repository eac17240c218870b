//! One signal's verdict: its reading, once stale parts are taken away, made into a wish or a gap.

use std::borrow::Cow;

use super::observation::{Gap, Observation, PodSample, Reading};
use super::replicas::{Fleet, Proposal, for_share, for_total, for_utilization};
use crate::policy::{Aim, QueryTarget, Signal, Tolerance};

/// What one signal says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Its wish, or why it has none.
    pub proposal: Result<Proposal, Gap>,
    /// Milliseconds since the epoch of its newest sample.
    pub newest_ms: Option<i64>,
    /// Ready pods without a fresh reading.
    pub unread: usize,
}

/// Judges one signal.
pub fn judge(signal: &Signal, reading: Option<&Reading>, observation: &Observation, tolerance: Tolerance) -> Verdict {
    let limit_ms = i64::try_from(signal.max_age.as_millis()).unwrap_or(i64::MAX / 4);
    let oldest_ms = observation.now_ms - limit_ms;
    let mut verdict = match (reading, &signal.aim) {
        (Some(Reading::Pods(samples)), Aim::Utilization { .. }) => {
            judge_pods(signal, samples, observation, tolerance, oldest_ms)
        }
        (Some(Reading::Total { millis, at_ms }), Aim::Query { target, .. }) => {
            let proposal = match at_ms {
                Some(at_ms) if *at_ms < oldest_ms => Err(stale(observation.now_ms - at_ms, limit_ms)),
                Some(_) => match target {
                    QueryTarget::PerReplica(target) => Ok(for_share(*millis, *target, observation.desired, tolerance)),
                    QueryTarget::Total(target) => {
                        for_total(*millis, *target, &observation.pods, observation.desired, tolerance)
                    }
                },
                None => Err(Gap::AgeUnknown),
            };
            Verdict { proposal, newest_ms: *at_ms, unread: 0 }
        }
        (Some(Reading::Missing(gap)), _) => Verdict { proposal: Err(gap.clone()), newest_ms: None, unread: 0 },
        _ => Verdict { proposal: Err(Gap::Empty), newest_ms: None, unread: 0 },
    };
    if verdict.proposal.as_ref().is_ok_and(|p| [p.raw, p.replicas].iter().any(|r| *r < 0 || *r == i32::MAX)) {
        verdict.proposal = Err(Gap::Overflow);
    }
    verdict
}

fn judge_pods(
    signal: &Signal,
    samples: &[PodSample],
    observation: &Observation,
    tolerance: Tolerance,
    oldest_ms: i64,
) -> Verdict {
    let newest_ms = samples.iter().map(|s| s.at_ms).max();
    let is_fresh = |s: &PodSample| s.at_ms >= oldest_ms;
    let fresh: Cow<'_, [PodSample]> = if samples.iter().all(is_fresh) {
        Cow::Borrowed(samples)
    } else {
        Cow::Owned(samples.iter().filter(|s| is_fresh(s)).cloned().collect())
    };
    if let (Some(newest), true) = (newest_ms, fresh.is_empty()) {
        let gap = stale(observation.now_ms - newest, observation.now_ms - oldest_ms);
        return Verdict { proposal: Err(gap), newest_ms, unread: 0 };
    }
    let serving = observation.pods.iter().filter(|pod| pod.receives_traffic() && !pod.terminating);
    let unread = serving.filter(|pod| !fresh.iter().any(|s| s.pod == pod.name)).count();
    let proposal = match &signal.aim {
        Aim::Utilization { resource, container, percent } => {
            let Observation { pods, now_ms, startup, desired, .. } = observation;
            let fleet = Fleet { pods, samples: &fresh, now_ms: *now_ms, startup: *startup };
            for_utilization(fleet, *resource, container.as_deref(), *percent, *desired, tolerance)
        }
        Aim::Query { .. } => Err(Gap::Empty),
    };
    Verdict { proposal, newest_ms, unread }
}

fn stale(age_ms: i64, limit_ms: i64) -> Gap {
    Gap::Stale { age_seconds: age_ms / 1000, limit_seconds: limit_ms / 1000 }
}
