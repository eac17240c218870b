//! Tells receivers about alerts: every Alertmanager that is found, and every webhook, each from a queue of its own, so that one
//! that is slow or away holds up no other. Start at `Delivery`, which takes notices in; `run` follows the configuration, `queue`
//! keeps what is not told yet, `receiver` tells it, `payload` writes it.

mod follow;
mod payload;
mod queue;
mod receiver;
mod repeat;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use lifecycle::Clock;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use url::Url;

pub use self::follow::{DeliveryEnded, run};
pub use self::queue::QUEUE_MAX;
use self::receiver::Receiver;
use super::notice::{AlertSink, Notice};
use crate::api::views::Alertmanagers;
use crate::discovery::relabel::{LabelSet, RelabelRule, relabel};
use crate::series::Labels;

/// Bounds of how long it takes to tell a receiver, in seconds: from a neighbour to the default timeout.
const LATENCY_BUCKETS: [f64; 8] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Why notices were not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The queue was full: the oldest went.
    QueueFull,
    /// The receiver said that it will never take them.
    Refused,
    /// The receiver was away for so long that they are not true any more.
    Expired,
    /// The receiver is not configured any more, or the collector ends.
    Ended,
}

/// All reasons, with their names in metrics.
pub const REASONS: [(Dropped, &str); 4] = [
    (Dropped::QueueFull, "queue_full"),
    (Dropped::Refused, "refused"),
    (Dropped::Expired, "expired"),
    (Dropped::Ended, "ended"),
];

/// Labels of the metrics about a receiver.
pub type ReceiverLabels = Vec<(&'static str, String)>;

/// Counts of all receivers together, and of those that are gone.
#[derive(Debug)]
pub struct DeliveryCounts {
    dropped: [AtomicU64; REASONS.len()],
    /// How long it takes to tell a receiver.
    pub latency: Family<ReceiverLabels, Histogram>,
}

impl Default for DeliveryCounts {
    fn default() -> Self {
        Self { dropped: Default::default(), latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)) }
    }
}

impl DeliveryCounts {
    fn lose(&self, reason: Dropped, count: usize) {
        if let Some(i) = REASONS.iter().position(|(known, _)| *known == reason) {
            self.dropped[i].fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Notices that were not told, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.iter().zip(&self.dropped).map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)))
    }
}

/// How a receiver does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverStatus {
    /// Its address; a webhook's is a secret, so that it has a place in the configuration instead.
    pub name: String,
    /// Notices told.
    pub sent: u64,
    /// Notices in attempts that failed.
    pub errors: u64,
    /// Notices that wait.
    pub queued: usize,
}

/// Who is told what now.
#[derive(Default)]
struct Routing {
    external_labels: Labels,
    relabel: Vec<RelabelRule>,
    receivers: Vec<Arc<Receiver>>,
    /// Alertmanagers that relabelling dropped.
    dropped: Vec<String>,
}

/// Takes notices in and hands them to receivers.
pub struct Delivery {
    routing: ArcSwap<Routing>,
    counts: Arc<DeliveryCounts>,
    clock: Arc<dyn Clock>,
    external_url: Arc<Url>,
}

impl Delivery {
    /// Tells nobody until [`run`] follows a configuration.
    pub fn new(clock: Arc<dyn Clock>, external_url: Arc<Url>) -> Self {
        Self { routing: ArcSwap::default(), counts: Arc::default(), clock, external_url }
    }

    /// Counts of all receivers together.
    pub fn counts(&self) -> &DeliveryCounts {
        &self.counts
    }

    /// How each receiver does; one that two entries of the configuration name counts for both.
    pub fn receivers(&self) -> Vec<ReceiverStatus> {
        let mut named: BTreeMap<String, ReceiverStatus> = BTreeMap::new();
        for status in self.routing.load().receivers.iter().map(|receiver| receiver.status()) {
            match named.get_mut(&status.name) {
                Some(known) => {
                    known.sent += status.sent;
                    known.errors += status.errors;
                    known.queued += status.queued;
                }
                None => {
                    named.insert(status.name.clone(), status);
                }
            }
        }
        named.into_values().collect()
    }

    /// Addresses of the Alertmanagers.
    pub fn alertmanagers(&self) -> Alertmanagers {
        let routing = self.routing.load();
        let active = routing.receivers.iter().filter(|receiver| receiver.is_alertmanager());
        Alertmanagers {
            active: active.map(|receiver| receiver.name().to_owned()).collect(),
            dropped: routing.dropped.clone(),
        }
    }
}

impl AlertSink for Delivery {
    fn send(&self, notices: Vec<Notice>) {
        let (routing, now_ms) = (self.routing.load(), self.clock.now_ms());
        let notices: Vec<Notice> = notices
            .into_iter()
            .filter_map(|notice| relabelled(notice, &routing.external_labels, &routing.relabel))
            .collect();
        for receiver in &routing.receivers {
            receiver.take(&notices, now_ms);
        }
    }
}

/// A notice with the external labels that it does not have itself, relabelled; none if that drops it.
fn relabelled(notice: Notice, external: &Labels, rules: &[RelabelRule]) -> Option<Notice> {
    if external.is_empty() && rules.is_empty() {
        return Some(notice);
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut labels: LabelSet = external.iter().map(owned).collect();
    labels.extend(notice.labels.iter().map(owned));
    relabel(rules, &mut labels).then(|| Notice { labels: Labels::new(labels), ..notice })
}

#[cfg(test)]
mod tests;
