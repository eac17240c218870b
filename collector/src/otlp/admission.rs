//! Bounds what is being received at the same time, so that a burst of clients is told to wait instead of filling memory; counts the
//! requests that are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lifecycle::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Requests in flight; twice what the shop's ten services with three replicas each send at once.
pub const REQUESTS_INFLIGHT_MAX: usize = 64;

/// Bytes of bodies in flight, packed and unpacked: two requests of the largest size.
pub const BYTES_INFLIGHT_MAX: usize = 2 * super::REQUEST_BYTES_MAX;

/// Why a request is refused; the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too much is in flight: the client is told when to come back.
    Busy,
    /// It is larger than a request may be, packed or unpacked.
    TooLarge,
    /// It is not what it should be.
    Malformed,
}

impl Refused {
    fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
        }
    }
}

/// What is in flight now.
#[derive(Debug, Default)]
pub struct Admission {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

/// A request that was let in; it leaves when this is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    bytes: AtomicUsize,
}

impl Admission {
    /// Registers what it counts.
    pub fn register(&self, metrics: &Metrics) {
        let refused = self.refused.clone();
        for reason in [Refused::Busy, Refused::TooLarge, Refused::Malformed] {
            drop(refused.get_or_create(&[("reason", reason.label())]));
        }
        metrics.register(|registry| {
            registry.register("plimsoll_collector_otlp_requests_refused", "OTLP requests refused, by reason", refused);
        });
    }

    /// Counts a request that is refused.
    pub fn refuse(&self, reason: Refused) {
        self.refused.get_or_create(&[("reason", reason.label())]).inc();
    }

    /// Lets a request in, unless too many are.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= REQUESTS_INFLIGHT_MAX {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Admitted { admission: Arc::clone(self), bytes: AtomicUsize::new(0) })
    }
}

impl Admitted {
    /// Takes more memory, unless too much is taken.
    pub fn grow(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.admission.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= BYTES_INFLIGHT_MAX
    }

    /// Takes so much memory in all, for what was packed, unless too much is taken.
    pub fn grow_to(&self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes.load(Ordering::Relaxed));
        more == 0 || self.grow(more)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.requests.fetch_sub(1, Ordering::Relaxed);
        self.admission.bytes.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_makes_room() {
        let admission = Arc::new(Admission::default());
        let all: Vec<_> = (0..REQUESTS_INFLIGHT_MAX).filter_map(|_| admission.admit()).collect();
        assert_eq!(all.len(), REQUESTS_INFLIGHT_MAX);
        assert!(admission.admit().is_none());
        drop(all);
        let one = admission.admit().expect("there is room again");
        assert!(one.grow(BYTES_INFLIGHT_MAX));
        assert!(!one.grow(1));
        drop(one);
        assert!(admission.admit().expect("there is room").grow(BYTES_INFLIGHT_MAX));
    }
}
