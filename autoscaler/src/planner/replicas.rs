//! HPA v2's replica calculation: from one signal's readings to the replicas it asks for. Pure integer and double
//! arithmetic that gives the same number as Kubernetes' for the same input; `cargo xtask conformance hpa` compares them.
//! Knows nothing of policies' limits or of time windows: see `limits`.

use super::observation::{Gap, Phase, Pod, PodSample, Requests, Startup};
use crate::policy::{Resource, Tolerance};

/// What one signal asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Replicas asked for.
    pub replicas: i32,
    /// Replicas that the ratio alone asks for, before `rule` was applied.
    pub raw: i32,
    /// What decided.
    pub rule: Rule,
    /// Usage over target.
    pub ratio: f64,
    /// The value read: percent of requests for utilization, replicas for a schedule, thousandths for the others.
    pub value: i64,
    /// The average of the values per pod in thousandths, where the signal reads pods.
    pub average_millis: i64,
    /// Pods without a usable reading.
    pub missing: usize,
    /// Pods that are left out because they are still starting or not ready.
    pub unready: usize,
}

/// What decided a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The ratio.
    Ratio,
    /// The ratio is near enough to 1.
    WithinTolerance,
    /// It is once missing and starting pods are assumed to be full or idle.
    WithinToleranceAssumed,
    /// With those pods assumed full or idle the direction would turn round.
    WouldTurnRound,
    /// The numbers behind a sizing are not known well enough to go all the way.
    Uncertain,
}

/// The pods and their readings of one calculation.
#[derive(Debug, Clone, Copy)]
pub struct Fleet<'a> {
    /// All pods.
    pub pods: &'a [Pod],
    /// Readings, at most one a pod; those of unknown pods may be among them.
    pub samples: &'a [PodSample],
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
}

/// Asks for replicas so that usage becomes `percent` of what the pods request.
///
/// # Errors
/// Why it cannot say.
pub fn for_utilization(
    fleet: Fleet<'_>,
    resource: Resource,
    container: Option<&str>,
    percent: i32,
    current: i32,
    tolerance: Tolerance,
) -> Result<Proposal, Gap> {
    let groups = group(fleet, Some(resource))?;
    if groups.usage.is_empty() {
        return Err(Gap::NoUsableSample);
    }
    let requests =
        fleet.pods.iter().map(|pod| request_of(pod, resource, container)).collect::<Result<Vec<i64>, Gap>>()?;
    let reading = |usage: &[Usage]| {
        let mut sum = Sum::default();
        for known in usage.iter().filter_map(|u| u.pod.map(|pod| (requests[pod], u.millis))) {
            sum.add(known.0, known.1);
        }
        sum.utilization(percent)
    };
    // HPA assumes a missing pod to use all of its request, or the target where that is more.
    let full = |pod: usize| requests[pod].wrapping_mul(i64::from(percent.max(100))) / 100;
    settle(groups, current, tolerance, reading, full, false)
}

/// Asks for replicas so that the average of the pods' values becomes `target` (thousandths).
///
/// # Errors
/// Why it cannot say.
pub fn for_average(
    fleet: Fleet<'_>,
    resource: Option<Resource>,
    target: i64,
    current: i32,
    tolerance: Tolerance,
) -> Result<Proposal, Gap> {
    let groups = group(fleet, resource)?;
    let reading = |usage: &[Usage]| {
        let total = usage.iter().fold(0i64, |sum, u| sum.wrapping_add(u.millis));
        let average = total / i64::try_from(usage.len()).unwrap_or(i64::MAX);
        Ok(Ratio { ratio: average as f64 / target as f64, value: average, average_millis: average })
    };
    settle(groups, current, tolerance, reading, |_| target, true)
}

/// Asks for `total / target` replicas; within tolerance of `current` for `current`.
pub fn for_share(total: i64, target: i64, current: i32, tolerance: Tolerance) -> Proposal {
    let ratio = total as f64 / (target as f64 * f64::from(current));
    let raw = i32::try_from(ceil_share(total as f64 / target as f64)).unwrap_or(i32::MAX);
    let within = tolerance.covers(ratio);
    let (replicas, rule) = if within { (current, Rule::WithinTolerance) } else { (raw, Rule::Ratio) };
    let value = ceil_share(total as f64 / f64::from(current));
    Proposal { replicas, raw, rule, ratio, value, average_millis: value, missing: 0, unready: 0 }
}

/// Asks for the ready pods times `total / target`; from zero replicas for the ratio itself.
///
/// # Errors
/// If there is no pod.
pub fn for_total(total: i64, target: i64, pods: &[Pod], current: i32, tolerance: Tolerance) -> Result<Proposal, Gap> {
    let ratio = total as f64 / target as f64;
    let proposal = |replicas, raw, rule| Proposal {
        replicas,
        raw,
        rule,
        ratio,
        value: total,
        average_millis: total,
        missing: 0,
        unready: 0,
    };
    if current == 0 {
        let raw = ceil_i32(ratio);
        return Ok(proposal(raw, raw, Rule::Ratio));
    }
    let ready = pods.iter().filter(|pod| pod.receives_traffic()).count();
    if tolerance.covers(ratio) {
        return Ok(proposal(current, ceil_i32(ratio * ready as f64), Rule::WithinTolerance));
    }
    if pods.is_empty() {
        return Err(Gap::NoPods);
    }
    let raw = ceil_i32(ratio * ready as f64);
    Ok(proposal(raw, raw, Rule::Ratio))
}

/// Asks for as many replicas as are `asked` at this time, without a target to be near to.
pub fn for_schedule(asked: i32, current: i32) -> Proposal {
    let ratio = f64::from(asked) / f64::from(current);
    let value = i64::from(asked);
    Proposal {
        replicas: asked,
        raw: asked,
        rule: Rule::Ratio,
        ratio,
        value,
        average_millis: value * 1000,
        missing: 0,
        unready: 0,
    }
}

/// A value that enters the calculation; `pod` is `None` for a pod that the cluster does not know (any more).
#[derive(Debug, Clone, Copy)]
struct Usage {
    pod: Option<usize>,
    millis: i64,
}

struct Groups {
    /// Pods that count, with a value.
    counted: usize,
    unready: Vec<usize>,
    missing: Vec<usize>,
    usage: Vec<Usage>,
}

fn group(fleet: Fleet<'_>, resource: Option<Resource>) -> Result<Groups, Gap> {
    if fleet.pods.is_empty() {
        return Err(Gap::NoPods);
    }
    let mut groups = Groups { counted: 0, unready: Vec::new(), missing: Vec::new(), usage: Vec::new() };
    let mut left_out = vec![false; fleet.samples.len()];
    let mut owner = vec![None; fleet.samples.len()];
    for (index, pod) in fleet.pods.iter().enumerate() {
        let found = find_sample(fleet.samples, index, &pod.name);
        if let Some(sample) = found {
            owner[sample] = Some(index);
        }
        let mut leave_out = || found.into_iter().for_each(|sample| left_out[sample] = true);
        if pod.terminating || pod.phase == Phase::Failed {
            leave_out();
        } else if pod.phase == Phase::Pending {
            leave_out();
            groups.unready.push(index);
        } else if let Some(sample) = found {
            if resource == Some(Resource::Cpu) && is_starting(pod, &fleet.samples[sample], fleet) {
                leave_out();
                groups.unready.push(index);
            } else {
                groups.counted += 1;
            }
        } else {
            groups.missing.push(index);
        }
    }
    let kept = fleet.samples.iter().zip(owner).zip(left_out).filter(|(_, out)| !out);
    groups.usage = kept.map(|((sample, pod), _)| Usage { pod, millis: sample.millis }).collect();
    Ok(groups)
}

/// Readings mostly come in the order of the pods; a search is the exception.
pub(super) fn find_sample(samples: &[PodSample], guess: usize, name: &str) -> Option<usize> {
    match samples.get(guess) {
        Some(sample) if sample.pod == name => Some(guess),
        _ => samples.iter().position(|sample| sample.pod == name),
    }
}

/// Whether a pod's CPU is that of its start, which says nothing about load.
fn is_starting(pod: &Pod, sample: &PodSample, fleet: Fleet<'_>) -> bool {
    let (Some(ready), Some(started_ms)) = (pod.ready, pod.started_ms) else { return true };
    if started_ms + millis(fleet.startup.cpu_initialization) > fleet.now_ms {
        return ready.is_false() || sample.at_ms < ready.changed_ms + millis(sample.window);
    }
    ready.is_false() && started_ms + millis(fleet.startup.readiness_delay) > ready.changed_ms
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// What a pod requests of a resource, in all or in one container.
fn request_of(pod: &Pod, resource: Resource, container: Option<&str>) -> Result<i64, Gap> {
    let Requests { containers, pod: whole } = &pod.requests;
    if let (Some(whole), None) = (whole, container) {
        // What the pod as a whole leaves open is what its containers request together.
        let parts: Vec<i64> = containers.iter().filter_map(|c| c.request.of(resource)).collect();
        let together = (!parts.is_empty()).then(|| parts.iter().fold(0i64, |sum, part| sum.wrapping_add(*part)));
        let request = whole.of(resource).or(together);
        return request.ok_or_else(|| Gap::MissingPodRequest { resource, pod: pod.name.clone() });
    }
    let mut sum = 0i64;
    let mut found = false;
    for candidate in containers.iter().filter(|c| container.is_none_or(|name| name == c.name)) {
        found = true;
        let request = candidate.request.of(resource).ok_or_else(|| Gap::MissingRequest {
            resource,
            container: candidate.name.clone(),
            pod: pod.name.clone(),
        })?;
        sum = sum.wrapping_add(request);
    }
    match container {
        Some(container) if !found => {
            Err(Gap::NoSuchContainer { container: container.to_owned(), pod: pod.name.clone() })
        }
        _ => Ok(sum),
    }
}

#[derive(Debug, Clone, Copy)]
struct Ratio {
    ratio: f64,
    value: i64,
    average_millis: i64,
}

/// Totals of usage and requests over the same pods.
#[derive(Default)]
struct Sum {
    usage: i64,
    requests: i64,
    pods: i64,
}

impl Sum {
    fn add(&mut self, request: i64, usage: i64) {
        self.usage = self.usage.wrapping_add(usage);
        self.requests = self.requests.wrapping_add(request);
        self.pods += 1;
    }

    /// HPA cuts utilization to a whole percentage before it compares.
    fn utilization(&self, percent: i32) -> Result<Ratio, Gap> {
        if self.requests == 0 {
            return Err(Gap::ZeroRequests);
        }
        let value = self.usage.wrapping_mul(100).wrapping_div(self.requests) as i32;
        let ratio = f64::from(value) / f64::from(percent);
        Ok(Ratio { ratio, value: i64::from(value), average_millis: self.usage / self.pods.max(1) })
    }
}

/// The rules that are the same for every signal that reads pods. `assume_idle_at_balance`: what HPA does with missing
/// pods when the ratio is exactly 1 differs between its two kinds of target.
fn settle(
    groups: Groups,
    current: i32,
    tolerance: Tolerance,
    reading: impl Fn(&[Usage]) -> Result<Ratio, Gap>,
    full: impl Fn(usize) -> i64,
    assume_idle_at_balance: bool,
) -> Result<Proposal, Gap> {
    let Groups { counted, unready, missing, mut usage } = groups;
    if usage.is_empty() {
        return Err(Gap::NoUsableSample);
    }
    let first = reading(&usage)?;
    let proposal = |replicas, raw, rule, ratio| Proposal {
        replicas,
        raw,
        rule,
        ratio,
        value: first.value,
        average_millis: first.average_millis,
        missing: missing.len(),
        unready: unready.len(),
    };
    let count_starting_as_idle = !unready.is_empty() && first.ratio > 1.0;
    if !count_starting_as_idle && missing.is_empty() {
        let raw = ceil_i32(first.ratio * counted as f64);
        return Ok(if tolerance.covers(first.ratio) {
            proposal(current, raw, Rule::WithinTolerance, first.ratio)
        } else {
            proposal(raw, raw, Rule::Ratio, first.ratio)
        });
    }
    if first.ratio < 1.0 {
        usage.extend(missing.iter().map(|pod| Usage { pod: Some(*pod), millis: full(*pod) }));
    } else if first.ratio > 1.0 || assume_idle_at_balance {
        usage.extend(missing.iter().map(|pod| Usage { pod: Some(*pod), millis: 0 }));
    }
    if count_starting_as_idle {
        usage.extend(unready.iter().map(|pod| Usage { pod: Some(*pod), millis: 0 }));
    }
    let second = reading(&usage)?.ratio;
    let raw = ceil_i32(second * usage.len() as f64);
    let turns = (first.ratio < 1.0 && second > 1.0) || (first.ratio > 1.0 && second < 1.0);
    let count_turns = (second < 1.0 && raw > current) || (second > 1.0 && raw < current);
    Ok(if tolerance.covers(second) {
        proposal(current, raw, Rule::WithinToleranceAssumed, second)
    } else if turns || count_turns {
        proposal(current, raw, Rule::WouldTurnRound, second)
    } else {
        proposal(raw, raw, Rule::Ratio, second)
    })
}

/// Rounds up; what is too large becomes the largest, as in Kubernetes.
fn ceil_i32(value: f64) -> i32 {
    value.ceil() as i32
}

/// Rounds up a share of a total. Kubernetes makes a negative one unsigned on the way, so that it becomes the largest.
fn ceil_share(value: f64) -> i64 {
    if value < 0.0 { i64::MAX } else { value.ceil() as i64 }
}
