//! Turns answers of PromQL into `Metrics` and histories. Pure: asks nobody, knows no clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use protocol::graph::Red;
use protocol::jaeger::Trace;
use protocol::prometheus::{InstantSeries, LabelMap, QueryData};

use crate::feed::queries::{REQUESTS_ENOUGH_IF_PLAIN, REQUESTS_ENOUGH_RECENTLY};
use crate::health::REQUESTS_ENOUGH_FOR_P99;
use crate::heat::{Measured, Operation};
use crate::picture::{
    Breaker, Cpu, History, JourneyMetrics, Metrics, ReplicaCount, ServiceHistory, ServiceKey, ServiceMetrics,
};

/// The answers of one round, in the terms of `queries`. `None` where the server could not say.
#[derive(Debug, Default)]
pub struct Answers {
    /// `queries::rate_by_code`.
    pub rate_by_code: Option<QueryData>,
    /// `queries::buckets`.
    pub buckets: Option<QueryData>,
    /// `queries::BREAKERS`.
    pub breakers: Option<QueryData>,
    /// `queries::journeys`.
    pub journeys: Option<QueryData>,
    /// `queries::journey_buckets`.
    pub journey_buckets: Option<QueryData>,
    /// `queries::cpu_used`.
    pub cpu_used: Option<QueryData>,
    /// `queries::CPU_LIMIT`.
    pub cpu_limit: Option<QueryData>,
    /// `queries::DESIRED`.
    pub desired: Option<QueryData>,
    /// `queries::READY`.
    pub ready: Option<QueryData>,
    /// `queries::SERVING`.
    pub serving: Option<QueryData>,
    /// `queries::SCRAPES_A_MINUTE`.
    pub scrapes_a_minute: Option<QueryData>,
}

/// A service that answered 5xx failed; 4xx is the caller's mistake.
fn is_server_error(code: &str) -> bool {
    code.len() == 3 && code.starts_with('5')
}

/// Puts a round's answers together.
pub fn metrics(answers: &Answers, window_seconds: f64) -> Metrics {
    let mut services = red_by_service(answers);
    for (key, _) in by_labels(answers.serving.as_ref(), "service") {
        services.entry(key).or_default().serves = true;
    }
    for (key, used) in by_labels(answers.cpu_used.as_ref(), "deployment") {
        services.entry(key).or_default().cpu = Some(Cpu { used, limit: 0.0 });
    }
    for (key, limit) in by_labels(answers.cpu_limit.as_ref(), "deployment") {
        if let Some(cpu) = services.get_mut(&key).and_then(|s| s.cpu.as_mut()) {
            cpu.limit = limit;
        }
    }
    let ready = by_labels(answers.ready.as_ref(), "deployment");
    for (key, desired) in by_labels(answers.desired.as_ref(), "deployment") {
        let ready = ready.get(&key).copied().unwrap_or(0.0);
        services.entry(key).or_default().replicas = Some(ReplicaCount { ready: count(ready), desired: count(desired) });
    }
    let scrapes = vector(answers.scrapes_a_minute.as_ref()).first().map(|series| series.value.value());
    Metrics {
        window_seconds,
        scrape_seconds: scrapes.filter(|scrapes| *scrapes >= 1.0).map(|scrapes| 60.0 / scrapes),
        services,
        journeys: journeys(answers),
        breakers: breakers(answers.breakers.as_ref()),
        breakers_of_late: Vec::new(),
    }
}

/// Puts the last seconds in the place of the wider window wherever enough happened in them.
pub fn sharpen(metrics: &mut Metrics, recent: &Answers, recent_seconds: f64) {
    metrics.breakers_of_late = breakers(recent.breakers.as_ref());
    let is_enough = |rate: f64, error_ratio: f64| {
        let requests = rate * recent_seconds;
        let is_plain = error_ratio <= 0.0 || error_ratio >= 0.5;
        requests >= REQUESTS_ENOUGH_RECENTLY || (requests >= REQUESTS_ENOUGH_IF_PLAIN && is_plain)
    };
    for (name, service) in red_by_service(recent) {
        let red = service.red;
        if let Some(known) = metrics.services.get_mut(&name).filter(|_| is_enough(red.rate, red.error_ratio)) {
            let has_p99 = red.rate * recent_seconds >= REQUESTS_ENOUGH_FOR_P99;
            known.red = Red { p99_ms: if has_p99 { red.p99_ms } else { known.red.p99_ms }, ..red };
        }
    }
    for (name, journey) in journeys(recent) {
        if let Some(known) = metrics.journeys.get_mut(&name).filter(|_| is_enough(journey.rate, journey.error_ratio)) {
            *known = journey;
        }
    }
}

fn red_by_service(answers: &Answers) -> BTreeMap<ServiceKey, ServiceMetrics> {
    let mut services: BTreeMap<ServiceKey, ServiceMetrics> = BTreeMap::new();
    let mut failed: BTreeMap<ServiceKey, f64> = BTreeMap::new();
    for series in vector(answers.rate_by_code.as_ref()) {
        let (Some(key), value) = (key(&series.metric, "service"), positive(series.value.value())) else { continue };
        let service = services.entry(key.clone()).or_default();
        service.serves = true;
        service.red.rate += value;
        if label(&series.metric, "http_response_status_code").is_some_and(|code| is_server_error(&code)) {
            *failed.entry(key).or_default() += value;
        }
    }
    for (key, service) in &mut services {
        service.red.error_ratio = ratio(failed.get(key).copied().unwrap_or(0.0), service.red.rate);
    }
    for (key, buckets) in buckets_by(answers.buckets.as_ref(), "service") {
        if let Some(service) = services.get_mut(&key) {
            let ms = |q| quantile(&buckets, q).map(|seconds| seconds * 1_000.0);
            service.red = Red { p50_ms: ms(0.5), p95_ms: ms(0.95), p99_ms: ms(0.99), ..service.red };
        }
    }
    services
}

fn journeys(answers: &Answers) -> BTreeMap<String, JourneyMetrics> {
    let mut journeys: BTreeMap<ServiceKey, JourneyMetrics> = BTreeMap::new();
    for series in vector(answers.journeys.as_ref()) {
        let Some(key) = key(&series.metric, "journey") else { continue };
        let value = positive(series.value.value());
        let journey = journeys.entry(key).or_default();
        let failed = journey.error_ratio * journey.rate
            + if label(&series.metric, "outcome").as_deref() == Some("error") { value } else { 0.0 };
        journey.rate += value;
        journey.error_ratio = ratio(failed, journey.rate);
    }
    for (key, buckets) in buckets_by(answers.journey_buckets.as_ref(), "journey") {
        if let Some(journey) = journeys.get_mut(&key) {
            let ms = |q| quantile(&buckets, q).map(|seconds| seconds * 1_000.0);
            (journey.p50_ms, journey.p99_ms) = (ms(0.5), ms(0.99));
        }
    }
    let namespaces: BTreeSet<String> = journeys.keys().map(|key| key.namespace.clone()).collect();
    let name = |key: ServiceKey| if namespaces.len() > 1 { key.to_string() } else { key.name };
    journeys.into_iter().map(|(key, journey)| (name(key), journey)).collect()
}

fn breakers(answer: Option<&QueryData>) -> Vec<Breaker> {
    let read = |series: &InstantSeries| {
        let state = series.value.value();
        let breaker = Breaker {
            namespace: label(&series.metric, "namespace").unwrap_or_default(),
            service: label(&series.metric, "service")?,
            peer: label(&series.metric, "peer")?,
            half_open: state < 1.5,
        };
        (state >= 0.5).then_some(breaker)
    };
    vector(answer).iter().filter_map(read).collect()
}

/// The histories of `queries::rate_by_code` over `steps` times `times[0]..`, gaps as zero.
pub fn history(answer: &QueryData, start: f64, step: f64, steps: usize) -> History {
    let mut history = History::new();
    for (metric, values) in ranges(answer, start, step, steps) {
        let Some(key) = key(metric, "service") else { continue };
        let is_error = label(metric, "http_response_status_code").is_some_and(|code| is_server_error(&code));
        let service = history
            .entry(key)
            .or_insert_with(|| ServiceHistory { rate: vec![0.0; steps], error_ratio: vec![0.0; steps] });
        for (at, value) in values.into_iter().enumerate() {
            service.rate[at] += positive(value);
            if is_error {
                service.error_ratio[at] += positive(value);
            }
        }
    }
    for service in history.values_mut() {
        for (errors, rate) in service.error_ratio.iter_mut().zip(&service.rate) {
            *errors = ratio(*errors, *rate);
        }
    }
    history
}

/// The p99 in milliseconds at every step of `queries::buckets_of`.
pub fn quantile_history(answer: &QueryData, start: f64, step: f64, steps: usize) -> Vec<f64> {
    let series: Vec<(f64, Vec<f64>)> = ranges(answer, start, step, steps)
        .into_iter()
        .filter_map(|(metric, values)| Some((bound(&label(metric, "le")?)?, values)))
        .collect();
    let at = |index: usize| {
        let mut buckets: Vec<(f64, f64)> = series.iter().map(|(le, values)| (*le, positive(values[index]))).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        quantile(&buckets, 0.99).map_or(0.0, |seconds| seconds * 1_000.0)
    };
    (0..steps).map(at).collect()
}

/// The buckets of `queries::heat` as requests in each step, cumulative.
pub fn heat_buckets(answer: &QueryData, start: f64, step: f64, steps: usize) -> Vec<(f64, Vec<f64>)> {
    let per_step = |values: Vec<f64>| values.into_iter().map(|rate| positive(rate) * step).collect();
    let read = |(metric, values): (&LabelMap, Vec<f64>)| Some((bound(&label(metric, "le")?)?, per_step(values)));
    ranges(answer, start, step, steps).into_iter().filter_map(read).collect()
}

/// The operations of `queries::operations`, by name; at most so many.
pub fn operations(answer: &QueryData, from: Measured, operations_max: usize) -> Vec<Operation> {
    let values = |series: &InstantSeries| {
        let values = from.labels().iter().map(|name| label(&series.metric, name).unwrap_or_default());
        Operation { values: values.collect() }
    };
    let named = vector(Some(answer)).iter().map(values).filter(|operation| !operation.name().is_empty());
    let mut operations: Vec<Operation> = named.collect();
    operations.sort_by_key(|operation| operation.values.iter().rev().cloned().collect::<Vec<_>>());
    operations.dedup();
    operations.truncate(operations_max);
    operations
}

/// Every series of a range, the greatest last value first, as its labels in words and its values; `NaN` where it has none.
pub fn curves(answer: &QueryData, start: f64, step: f64, steps: usize) -> Vec<(String, Vec<f64>)> {
    let words = |metric: &LabelMap| {
        let labels: Vec<String> =
            metric.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={v}")).collect();
        labels.join(", ")
    };
    let mut curves: Vec<(String, Vec<f64>)> =
        filled_ranges(answer, start, step, steps, f64::NAN).into_iter().map(|(m, v)| (words(m), v)).collect();
    let last = |values: &[f64]| values.iter().rev().copied().find(|v| v.is_finite()).unwrap_or(f64::NEG_INFINITY);
    curves.sort_by(|a, b| last(&b.1).total_cmp(&last(&a.1)).then_with(|| a.0.cmp(&b.0)));
    curves
}

fn ranges(answer: &QueryData, start: f64, step: f64, steps: usize) -> Vec<(&LabelMap, Vec<f64>)> {
    filled_ranges(answer, start, step, steps, 0.0)
}

fn filled_ranges(answer: &QueryData, start: f64, step: f64, steps: usize, gap: f64) -> Vec<(&LabelMap, Vec<f64>)> {
    let QueryData::Matrix(series) = answer else { return Vec::new() };
    let read = |values: &[protocol::prometheus::Point]| {
        let mut filled = vec![gap; steps];
        for point in values {
            let index = ((point.seconds() - start) / step).round();
            if index >= 0.0 && index < steps as f64 {
                filled[index as usize] = point.value();
            }
        }
        filled
    };
    series.iter().map(|s| (&s.metric, read(&s.values))).collect()
}

/// Several services' traces as one list: each once, newest first, at most so many.
pub fn newest_traces(found: Vec<Vec<Trace>>, traces_max: usize) -> Vec<Trace> {
    let start = |trace: &Trace| trace.spans.iter().map(|s| s.start_time).min().unwrap_or(0);
    let mut traces: Vec<Trace> = found.into_iter().flatten().collect();
    traces.sort_by_cached_key(|trace| (Reverse(start(trace)), trace.trace_id.clone()));
    traces.dedup_by(|a, b| a.trace_id == b.trace_id);
    traces.truncate(traces_max);
    traces
}

/// The quantile of a classic histogram as PromQL's `histogram_quantile` gives it: linear inside a bucket, and the last
/// finite bound when it lies beyond. Buckets are (upper bound, cumulative count) in order; `None` without requests.
pub fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let (last_bound, total) = *buckets.last()?;
    if last_bound != f64::INFINITY || buckets.len() < 2 || total.is_nan() || total <= 0.0 {
        return None;
    }
    let rank = q * total;
    let index = buckets.iter().position(|(_, count)| *count >= rank).unwrap_or(buckets.len() - 1);
    if index == buckets.len() - 1 {
        return Some(buckets[index - 1].0);
    }
    let (lower, below) = if index == 0 { (0.0, 0.0) } else { buckets[index - 1] };
    let (upper, count) = buckets[index];
    let inside = count - below;
    Some(if inside <= 0.0 { upper } else { lower + (upper - lower) * (rank - below) / inside })
}

fn buckets_by(answer: Option<&QueryData>, name: &str) -> BTreeMap<ServiceKey, Vec<(f64, f64)>> {
    let mut groups: BTreeMap<ServiceKey, Vec<(f64, f64)>> = BTreeMap::new();
    for series in vector(answer) {
        let le = label(&series.metric, "le").and_then(|le| bound(&le));
        if let (Some(group), Some(le)) = (key(&series.metric, name), le) {
            groups.entry(group).or_default().push((le, positive(series.value.value())));
        }
    }
    for buckets in groups.values_mut() {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    groups
}

fn bound(le: &str) -> Option<f64> {
    if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() }
}

fn by_labels(answer: Option<&QueryData>, name: &str) -> BTreeMap<ServiceKey, f64> {
    vector(answer).iter().filter_map(|s| Some((key(&s.metric, name)?, positive(s.value.value())))).collect()
}

/// What a series is about: the label of that name, in the series' namespace.
fn key(metric: &LabelMap, name: &str) -> Option<ServiceKey> {
    let namespace = label(metric, "namespace").unwrap_or_default();
    label(metric, name).map(|name| ServiceKey { name, namespace })
}

fn vector(answer: Option<&QueryData>) -> &[InstantSeries] {
    match answer {
        Some(QueryData::Vector(series)) => series,
        _ => &[],
    }
}

fn label(metric: &LabelMap, name: &str) -> Option<String> {
    metric.get(name).filter(|value| !value.is_empty()).cloned()
}

fn positive(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

fn count(value: f64) -> u32 {
    value.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests;
