//! Bounds what is being received at the same time, so that a burst of clients is told to wait instead of filling memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests in flight; twice what the shop's ten services with three replicas each send at once.
pub const REQUESTS_INFLIGHT_MAX: usize = 64;

/// Bytes of bodies in flight, packed and unpacked: two requests of the largest size.
pub const BYTES_INFLIGHT_MAX: usize = 2 * super::REQUEST_BYTES_MAX;

/// What is in flight now.
#[derive(Debug, Default)]
pub struct Admission {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// A request that was let in; it leaves when this is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    bytes: AtomicUsize,
}

impl Admission {
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
