//! Reads from the store what is known now of workloads and breakers: replicas, resources, images, restarts, breaker states.
//! Compares nothing: `blame` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::faults::BreakerState;
use protocol::quantity::Quantity;

use crate::blame::changes::{Fact, What};
use crate::blame::work::Text;
use crate::series::{Labels, METRIC_NAME, Matcher, Meter, Point, Queryable, SelectError, is_stale};

/// A sample so old, milliseconds, still says how things are: twice a slow scrape's 30 s and a little.
const LOOKBACK_MS: i64 = 75_000;

/// Series read at a look: ten thousand pods with a container each, and their breakers. More would take longer than a look may.
const SERIES_MAX: usize = 100_000;

/// What Kubernetes draws the ends of pods' names from.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What is told by one series.
type Read = fn(&Labels, f64) -> Option<(Text, What)>;

/// Where it is told: the names are kube-state-metrics' (ARCHITECTURE.md, "Metric names").
const SOURCES: [(&str, Read); 7] = [
    ("kube_deployment_spec_replicas", replicas),
    ("kube_statefulset_replicas", replicas),
    ("kube_pod_container_resource_requests", |labels, value| resource(labels, value, "request")),
    ("kube_pod_container_resource_limits", |labels, value| resource(labels, value, "limit")),
    ("kube_pod_container_info", |labels, _| image(labels)),
    ("kube_pod_container_status_restarts_total", restarts),
    ("circuit_breaker_state", breaker),
];

/// All that is known now.
///
/// # Errors
/// If there are more series than are read, or a block cannot be.
pub fn read(store: &dyn Queryable, now_ms: i64) -> Result<Vec<Fact>, SelectError> {
    let few = Few::default();
    let mut facts = Vec::new();
    for (name, read) in SOURCES {
        let matchers = [Matcher::equal(METRIC_NAME, name)];
        for (labels, point) in store.latest(&matchers, now_ms - LOOKBACK_MS, now_ms, &few)? {
            let Point::Float(sample) = point else { continue };
            if is_stale(sample.value) || !sample.value.is_finite() {
                continue;
            }
            let fact = read(&labels, sample.value);
            facts.extend(fact.map(|(service, what)| Fact { service, what, at_ms: sample.timestamp_ms }));
        }
    }
    Ok(facts)
}

/// Lets so many series pass.
#[derive(Debug, Default)]
pub struct Few(AtomicUsize);

impl Meter for Few {
    fn take(&self, samples: usize) -> Result<(), SelectError> {
        let taken = self.0.fetch_add(samples, Ordering::Relaxed) + samples;
        if taken > SERIES_MAX { Err(SelectError::Refused) } else { Ok(()) }
    }
}

fn text(text: &str) -> Text {
    Arc::from(text)
}

/// The workload that a series is about.
fn workload(labels: &Labels) -> Option<Text> {
    let named = labels.get("deployment").or_else(|| labels.get("statefulset")).or_else(|| labels.get("daemonset"));
    named.or_else(|| labels.get("pod").map(owner)).map(text)
}

/// The workload of a pod, by its name: kube-state-metrics does not say it.
fn owner(pod: &str) -> &str {
    let is_drawn = |text: &str| text.bytes().all(|byte| SAFE.contains(&byte));
    let Some((rest, last)) = pod.rsplit_once('-') else { return pod };
    if last.len() == 5 && is_drawn(last) {
        return match rest.rsplit_once('-') {
            // A Deployment's replica set has a name that ends in a hash.
            Some((name, hash)) if (6..=10).contains(&hash.len()) && is_drawn(hash) => name,
            _ => rest,
        };
    }
    // A StatefulSet's pods are numbered.
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) { rest } else { pod }
}

fn replicas(labels: &Labels, value: f64) -> Option<(Text, What)> {
    Some((workload(labels)?, What::Replicas(text(&format!("{value:.0}")))))
}

fn resource(labels: &Labels, value: f64, what: &str) -> Option<(Text, What)> {
    let (service, container) = (workload(labels)?, labels.get("container").unwrap_or_default());
    let name = labels.get("resource").filter(|name| ["cpu", "memory"].contains(name))?;
    let amount = Quantity::from_millis((value * 1_000.0).round() as i64);
    let name = if container.is_empty() || *container == *service {
        format!("{name} {what}")
    } else {
        format!("{name} {what} of {container}")
    };
    Some((service, What::Resource(text(&name), text(&amount.to_string()))))
}

fn image(labels: &Labels) -> Option<(Text, What)> {
    let container = labels.get("container").unwrap_or_default();
    Some((workload(labels)?, What::Image(text(container), text(labels.get("image")?))))
}

fn restarts(labels: &Labels, value: f64) -> Option<(Text, What)> {
    let (service, pod) = (workload(labels)?, labels.get("pod")?);
    let name = match labels.get("container") {
        Some(container) if *container != *service => format!("{pod}/{container}"),
        _ => pod.to_owned(),
    };
    Some((service, What::Restarts(text(&name), value.max(0.0) as u64)))
}

fn breaker(labels: &Labels, value: f64) -> Option<(Text, What)> {
    let service = labels.get("service").or_else(|| labels.get("service_name")).or_else(|| labels.get("job"))?;
    let state = match value {
        0.0 => BreakerState::Closed,
        1.0 => BreakerState::HalfOpen,
        2.0 => BreakerState::Open,
        _ => return None,
    };
    Some((text(service), What::Breaker(text(labels.get("peer")?), state)))
}

#[cfg(test)]
mod tests;
