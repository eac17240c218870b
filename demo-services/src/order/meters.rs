//! What the order service counts of its own.

use lifecycle::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// `orders_total{state}`, counted by the replica that made the change, and `orders_pending` and `order_events_undelivered`,
/// which every replica reads from the shared store: take their maximum, not their sum.
#[derive(Debug, Clone, Default)]
pub struct OrderMeters {
    orders: Family<StateLabel, Counter>,
    pending: Gauge,
    undelivered: Gauge,
}

impl OrderMeters {
    pub fn register(metrics: &Metrics) -> Self {
        let meters = Self::default();
        metrics.register(|registry| {
            registry.register("orders", "Orders that reached a state", meters.orders.clone());
            registry.register("orders_pending", "Orders that have not ended, of all replicas", meters.pending.clone());
            let help = "Events that some destination has not taken yet, of all replicas";
            registry.register("order_events_undelivered", help, meters.undelivered.clone());
        });
        meters
    }

    /// An order reached `placed`, `confirmed` or `cancelled`.
    pub fn reached(&self, state: &'static str) {
        self.orders.get_or_create(&StateLabel { state }).inc();
    }

    pub fn undelivered(&self, count: u64) {
        self.undelivered.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn pending(&self, count: u64) {
        self.pending.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
