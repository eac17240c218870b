//! One signal's verdict: its reading, once stale parts are taken away, made into a wish or a gap.

use std::borrow::Cow;

use protocol::scaling::SizingRecord;

use super::learning::Learnt;
use super::observation::{Gap, Observation, PodSample, Reading};
use super::replicas::{Fleet, Proposal, for_schedule, for_share, for_total, for_utilization};
use super::sizing::{self, Sized};
use crate::policy::formula::{Formula, Input};
use crate::policy::{Aim, NamedQuery, QueryTarget, Signal, Tolerance};

/// What one signal says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Its wish, or why it has none.
    pub proposal: Result<Proposal, Gap>,
    /// Milliseconds since the epoch of its newest sample.
    pub newest_ms: Option<i64>,
    /// Ready pods without a fresh reading.
    pub unread: usize,
    /// From which numbers its wish follows, where it sizes.
    pub sizing: Option<SizingRecord>,
    /// A formula had to put something in the place of missing data: good enough to raise, not to lower.
    pub made_up: bool,
}

impl Verdict {
    fn of(proposal: Result<Proposal, Gap>, newest_ms: Option<i64>, unread: usize) -> Self {
        Self { proposal, newest_ms, unread, sizing: None, made_up: false }
    }

    fn sized(sized: Result<Sized, Gap>, at_ms: i64) -> Self {
        match sized {
            Ok(Sized { proposal, record }) => Self { sizing: Some(record), ..Self::of(Ok(proposal), Some(at_ms), 0) },
            Err(gap) => Self::of(Err(gap), Some(at_ms), 0),
        }
    }
}

/// Judges one signal.
pub fn judge(
    signal: &Signal,
    reading: Option<&Reading>,
    observation: &Observation,
    learnt: &Learnt,
    tolerance: Tolerance,
) -> Verdict {
    let limit_ms = i64::try_from(signal.max_age.as_millis()).unwrap_or(i64::MAX / 4);
    let oldest_ms = observation.now_ms - limit_ms;
    let mut verdict = match (reading, &signal.aim) {
        (Some(Reading::Pods(samples)), Aim::Utilization { .. }) => {
            judge_pods(signal, samples, observation, tolerance, oldest_ms)
        }
        (Some(Reading::Total { millis, at_ms }), Aim::Query { target, .. }) => {
            let proposal = fresh_at(*at_ms, observation.now_ms, limit_ms)
                .and_then(|_| aim_at(*target, *millis, observation, tolerance));
            Verdict::of(proposal, *at_ms, 0)
        }
        (Some(Reading::Inputs(readings)), Aim::Expression { formula, queries, target }) => {
            match compute(formula, queries, readings, observation.now_ms, limit_ms) {
                Ok(Computed { millis, at_ms, made_up }) => {
                    Verdict { made_up, ..Verdict::of(aim_at(*target, millis, observation, tolerance), at_ms, 0) }
                }
                Err(gap) => Verdict::of(Err(gap), None, 0),
            }
        }
        (_, Aim::Schedule(schedule)) => {
            let asked = if schedule.is_open(observation.now_ms) { schedule.replicas() } else { 0 };
            Verdict::of(Ok(for_schedule(asked, observation.desired)), None, 0)
        }
        (Some(Reading::Demand(demand)), Aim::Demand(_) | Aim::Upstream(_)) if demand.service.at_ms < oldest_ms => {
            Verdict::of(Err(stale(observation.now_ms - demand.service.at_ms, limit_ms)), Some(demand.service.at_ms), 0)
        }
        (Some(Reading::Demand(demand)), Aim::Demand(sizing)) => {
            Verdict::sized(sizing::for_demand(sizing, demand, learnt, observation.desired), demand.service.at_ms)
        }
        (Some(Reading::Demand(demand)), Aim::Upstream(sizing)) => {
            Verdict::sized(sizing::for_upstream(sizing, demand, learnt, observation.desired), demand.service.at_ms)
        }
        (Some(Reading::Backlog { waiting, at_ms, throughput }), Aim::Backlog { drain_within, .. }) => {
            let oldest = throughput.as_ref().map_or(*at_ms, |done| done.at_ms.min(*at_ms));
            match (oldest, throughput) {
                (_, Err(gap)) => Verdict::of(Err(gap.clone()), oldest, 0),
                (None, _) => Verdict::of(Err(Gap::AgeUnknown), None, 0),
                (Some(at_ms), _) if at_ms < oldest_ms => {
                    Verdict::of(Err(stale(observation.now_ms - at_ms, limit_ms)), Some(at_ms), 0)
                }
                (Some(at_ms), Ok(_)) => {
                    let drain = learnt.drain(&signal.name);
                    Verdict::sized(sizing::for_backlog(*waiting, *drain_within, drain, observation.desired), at_ms)
                }
            }
        }
        (Some(Reading::Missing(gap)), _) => Verdict::of(Err(gap.clone()), None, 0),
        _ => Verdict::of(Err(Gap::Empty), None, 0),
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
        return Verdict::of(Err(gap), newest_ms, 0);
    }
    let serving = observation.pods.iter().filter(|pod| pod.receives_traffic() && !pod.terminating);
    let unread = serving.filter(|pod| !fresh.iter().any(|s| s.pod == pod.name)).count();
    let proposal = match &signal.aim {
        Aim::Utilization { resource, container, percent } => {
            let Observation { pods, now_ms, startup, desired, .. } = observation;
            let fleet = Fleet { pods, samples: &fresh, now_ms: *now_ms, startup: *startup };
            for_utilization(fleet, *resource, container.as_deref(), *percent, *desired, tolerance)
        }
        _ => Err(Gap::Empty),
    };
    Verdict::of(proposal, newest_ms, unread)
}

/// Asks for replicas so that a number becomes its target.
fn aim_at(target: QueryTarget, millis: i64, observation: &Observation, tolerance: Tolerance) -> Result<Proposal, Gap> {
    let Observation { pods, desired, .. } = observation;
    match target {
        QueryTarget::PerReplica(target) => Ok(for_share(millis, target, *desired, tolerance)),
        QueryTarget::Total(target) => for_total(millis, target, pods, *desired, tolerance),
    }
}

/// What a formula gives.
struct Computed {
    millis: i64,
    at_ms: Option<i64>,
    made_up: bool,
}

/// Computes a formula from those of its readings that are fresh.
fn compute(
    formula: &Formula,
    queries: &[NamedQuery],
    readings: &[Reading],
    now_ms: i64,
    limit_ms: i64,
) -> Result<Computed, Gap> {
    let read = |reading: Option<&Reading>| match reading {
        Some(Reading::Total { millis, at_ms }) => {
            fresh_at(*at_ms, now_ms, limit_ms).map(|at_ms| Input { value: *millis as f64 / 1000.0, at_ms })
        }
        Some(Reading::Missing(gap)) => Err(gap.clone()),
        _ => Err(Gap::Empty),
    };
    let inputs: Vec<Result<Input, Gap>> = (0..queries.len()).map(|place| read(readings.get(place))).collect();
    let known: Vec<Option<Input>> = inputs.iter().map(|input| input.as_ref().ok().copied()).collect();
    let Some(value) = formula.evaluate(&known) else {
        let missing = queries.iter().zip(inputs).find_map(|(query, input)| Some((query.name.clone(), input.err()?)));
        return Err(match missing {
            Some((query, gap)) => Gap::Input { query, gap: Box::new(gap) },
            None => Gap::NoNumber,
        });
    };
    // Rounded up as a query's number is; what does not fit into thousandths is no amount either.
    let millis = (value.number * 1000.0).ceil();
    if value.number < 0.0 || millis >= i64::MAX as f64 {
        return Err(Gap::NotAnAmount(value.number.to_string()));
    }
    Ok(Computed { millis: millis as i64, at_ms: value.at_ms, made_up: value.made_up })
}

/// The time of a sample that is known and not too long ago.
fn fresh_at(at_ms: Option<i64>, now_ms: i64, limit_ms: i64) -> Result<i64, Gap> {
    let at_ms = at_ms.ok_or(Gap::AgeUnknown)?;
    if at_ms < now_ms - limit_ms { Err(stale(now_ms - at_ms, limit_ms)) } else { Ok(at_ms) }
}

fn stale(age_ms: i64, limit_ms: i64) -> Gap {
    Gap::Stale { age_seconds: age_ms / 1000, limit_seconds: limit_ms / 1000 }
}
