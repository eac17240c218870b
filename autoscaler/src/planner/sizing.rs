//! From what is known of a workload's load to the replicas that it needs: by requests and what they cost (`for_demand`,
//! `for_upstream`), or by what waits and how much a replica does (`for_backlog`). A wish goes up when even the fewest likely requests
//! need more, and down to what could carry what came in the last minutes, with room. Pure; the record holds all numbers that a wish
//! follows from.

use std::time::Duration;

use protocol::scaling::{SizingCase, SizingRecord};
use queueing::{Goal, Load, servers_for};

use super::arrivals::Arrivals;
use super::learning::{Drain, Learnt, Likely};
use super::observation::{Demand, Gap};
use super::replicas::{Proposal, Rule};
use crate::policy::Sizing;

/// Both ends of a rate that was counted over a window: 95 % of a Poisson distribution lie between them.
const DEVIATIONS: f64 = 1.96;

/// The wait must leave room for the service in what was promised; where the service takes all of it, the wait gets this share.
const WAIT_SHARE_MIN: f64 = 0.1;

/// More workers are not learnt of one replica.
const WORKERS_MAX: f64 = 1_000.0;

/// A replica that uses less of its cores than this is not busy with anything that its requests do not explain.
const IDLE_SHARE: f64 = 0.25;

/// A size, and the numbers it follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sized {
    /// The wish.
    pub proposal: Proposal,
    /// The numbers.
    pub record: SizingRecord,
}

/// Sizes a workload by the requests that come to it.
///
/// # Errors
/// Why it cannot be.
pub fn for_demand(sizing: &Sizing, demand: &Demand, learnt: &Learnt, from: i32) -> Result<Sized, Gap> {
    queue(sizing, demand, learnt, from, arriving(&learnt.asked, demand.service.asked, demand), None)
}

/// Sizes a workload by the requests at the front door: those that come here wait behind others yet, or are on their way.
///
/// # Errors
/// Why it cannot be.
pub fn for_upstream(sizing: &Sizing, demand: &Demand, learnt: &Learnt, from: i32) -> Result<Sized, Gap> {
    let front = demand.service.front.ok_or(Gap::NoFrontDoor)?;
    let now = if front > 0.0 { demand.service.asked / front } else { 0.0 };
    let visits = learnt.visits.likely().unwrap_or(Likely { low: now, mean: now, high: now });
    let doors = arriving(&learnt.front, front, demand);
    let mean = doors.mean * visits.mean;
    let (low, high) = (doors.low * visits.mean, mean * at_most(doors, visits));
    queue(sizing, demand, learnt, from, Likely { low, mean, high }, Some(doors.mean))
}

/// Sizes a workload so that what waits is worked off within a time, beside what arrives.
///
/// # Errors
/// Why it cannot be.
pub fn for_backlog(waiting: f64, within: Duration, drain: Option<&Drain>, from: i32) -> Result<Sized, Gap> {
    let drain = drain.ok_or(Gap::ThroughputUnknown)?;
    let each = drain.each.likely().filter(|each| each.mean > 0.0).ok_or(Gap::ThroughputUnknown)?;
    let case = |each: f64| SizingCase { rate: drain.arrivals, service_seconds: 1.0 / each, replicas: 0 };
    let record = SizingRecord::Drain {
        waiting,
        within_seconds: within.as_secs_f64(),
        likely: case(each.mean),
        least: case(each.high),
        most: case(each.low),
    };
    sized(record, from)
}

/// The replicas that a record's numbers ask for: likely, at least, at most. Whoever has the record can ask again.
///
/// # Errors
/// If they are too many to be counted.
pub fn replicas(record: &SizingRecord) -> Result<[u32; 3], Gap> {
    match record {
        SizingRecord::Queue {
            workers,
            variability,
            quantile,
            below_seconds,
            utilization_max,
            likely,
            least,
            most,
            ..
        } => {
            let replicas = |case: &SizingCase| {
                let load = Load { rate: case.rate, service_seconds: case.service_seconds, variability: *variability };
                let wait_seconds = wait_seconds(*below_seconds, case.service_seconds);
                let goal = Goal { quantile: *quantile, wait_seconds, utilization_max: *utilization_max };
                Some(servers_for(load, goal, *workers)? / (*workers).max(1))
            };
            triple([likely, least, most], replicas)
        }
        SizingRecord::Drain { waiting, within_seconds, likely, least, most } => {
            let replicas = |case: &SizingCase| {
                let replicas = (case.rate + waiting / within_seconds) * case.service_seconds;
                let whole = (replicas - 1e-9).ceil().max(1.0);
                (whole < f64::from(i32::MAX)).then_some(whole as u32)
            };
            triple([likely, least, most], replicas)
        }
    }
}

/// How long the wait may take of a latency that was promised.
pub(super) fn wait_seconds(below_seconds: f64, service_seconds: f64) -> f64 {
    (below_seconds - service_seconds).max(below_seconds * WAIT_SHARE_MIN)
}

/// What the wish is, for a workload that has `from` replicas: it goes no further than is sure.
pub fn wish([likely, least, most]: [i32; 3], from: i32) -> (i32, Rule) {
    let wish = if from < least {
        likely
    } else if from > most {
        most
    } else {
        from
    };
    (wish, if wish == likely { Rule::Ratio } else { Rule::Uncertain })
}

fn triple(cases: [&SizingCase; 3], replicas: impl Fn(&SizingCase) -> Option<u32>) -> Result<[u32; 3], Gap> {
    let [likely, least, most] = cases.map(replicas);
    Ok([likely.ok_or(Gap::Overflow)?, least.ok_or(Gap::Overflow)?, most.ok_or(Gap::Overflow)?])
}

/// How far above the product of their means the product of two numbers may be that know nothing of each other's error, as a factor:
/// relative errors add up as squares do (Gauss).
fn at_most(one: Likely, other: Likely) -> f64 {
    let error = |likely: Likely| if likely.mean > 0.0 { likely.high / likely.mean - 1.0 } else { 0.0 };
    1.0 + error(one).hypot(error(other))
}

/// How many requests come: as they have come for a while, or by this window alone where nothing is remembered.
fn arriving(arrivals: &Arrivals, rate: f64, demand: &Demand) -> Likely {
    arrivals.likely(demand.service.at_ms).unwrap_or_else(|| counted(rate, demand.service.window_seconds))
}

/// A rate that was counted over a window.
fn counted(rate: f64, window_seconds: f64) -> Likely {
    let error = if window_seconds > 0.0 { DEVIATIONS * (rate / window_seconds).sqrt() } else { 0.0 };
    Likely { low: (rate - error).max(0.0), mean: rate, high: rate + error }
}

fn queue(
    sizing: &Sizing,
    demand: &Demand,
    learnt: &Learnt,
    from: i32,
    rate: Likely,
    front_rate: Option<f64>,
) -> Result<Sized, Gap> {
    let (workers, seconds) = if rate.high > 0.0 { service(sizing, demand, learnt)? } else { (1, Likely::NONE) };
    let case = |rate, service_seconds| SizingCase { rate, service_seconds, replicas: 0 };
    // The rate goes to its end; what the service adds to how far off their product may be is less than its own end.
    let most_seconds =
        if rate.mean > 0.0 { seconds.mean * at_most(rate, seconds) * rate.mean / rate.high } else { seconds.high };
    let record = SizingRecord::Queue {
        front_rate,
        workers,
        variability: sizing.variability,
        quantile: sizing.latency.quantile,
        below_seconds: sizing.latency.below.as_secs_f64(),
        utilization_max: sizing.utilization_max,
        likely: case(rate.mean, seconds.mean),
        // Only chance is waited out: what is not known of the cost is no reason to have too few.
        least: case(rate.low, seconds.mean),
        most: case(rate.high, most_seconds),
    };
    let mut sized = sized(record, from)?;
    sized.proposal.unready = learnt.warming;
    if sized.proposal.raw < from {
        explained(demand, learnt)?;
    }
    Ok(sized)
}

/// Workers of one replica, and how long one of them is busy with a request. Without `workers` in the policy they are as many as keep the
/// replica's cores busy with the requests' own time: so many times the request's CPU are its cores that together they do in a second
/// what the cores allow, however long a request takes.
fn service(sizing: &Sizing, demand: &Demand, learnt: &Learnt) -> Result<(u32, Likely), Gap> {
    let own = learnt.own_seconds.likely();
    if let Some(workers) = sizing.workers {
        let seconds = own.or(learnt.whole_seconds.likely()).ok_or(Gap::CostUnknown)?;
        return Ok((workers, seconds));
    }
    let cores = demand.cores.filter(|cores| *cores > 0.0).ok_or(Gap::NoCores)?;
    let cpu = learnt.cpu_seconds.likely().filter(|cpu| cpu.mean > 0.0).ok_or(Gap::CostUnknown)?;
    // Without own time the request is taken to be nothing but CPU: fewer and faster workers, so that more wait.
    let own = own.map_or(cpu.mean, |own| own.mean);
    let workers = (cores * own / cpu.mean + 1e-9).floor().clamp(1.0, WORKERS_MAX);
    let seconds = |cpu: f64| workers * cpu / cores;
    Ok((workers as u32, Likely { low: seconds(cpu.low), mean: seconds(cpu.mean), high: seconds(cpu.high) }))
}

/// Refuses to lower a workload that is busy with something else than the requests that are known.
fn explained(demand: &Demand, learnt: &Learnt) -> Result<(), Gap> {
    let (Some(cores), Some((used, explained))) = (demand.cores, learnt.explained(demand)) else { return Ok(()) };
    if used > IDLE_SHARE * cores && used > 2.0 * explained {
        let percent = |share: f64| (share / cores * 100.0).round() as i64;
        return Err(Gap::Unexplained { used_percent: percent(used), explained_percent: percent(explained) });
    }
    Ok(())
}

fn sized(mut record: SizingRecord, from: i32) -> Result<Sized, Gap> {
    let counts = replicas(&record)?;
    match &mut record {
        SizingRecord::Queue { likely, least, most, .. } | SizingRecord::Drain { likely, least, most, .. } => {
            [likely.replicas, least.replicas, most.replicas] = counts;
        }
    }
    let [raw, ..] = signed(counts)?;
    let (replicas, rule) = wish(signed(counts)?, from);
    let ratio = f64::from(raw) / f64::from(from.max(1));
    let proposal =
        Proposal { replicas, raw, rule, ratio, value: i64::from(raw), average_millis: 0, missing: 0, unready: 0 };
    Ok(Sized { proposal, record })
}

fn signed(counts: [u32; 3]) -> Result<[i32; 3], Gap> {
    let [likely, least, most] = counts.map(i32::try_from);
    match (likely, least, most) {
        (Ok(likely), Ok(least), Ok(most)) => Ok([likely, least, most]),
        _ => Err(Gap::Overflow),
    }
}

#[cfg(test)]
mod tests;
