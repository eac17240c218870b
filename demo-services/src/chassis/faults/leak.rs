//! The fault `leak`: memory that is kept, and a list that nobody trims and every request looks through. Never grows past its
//! bound, and is given back when the fault ends.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use parking_lot::RwLock;

use super::{FaultKind, Faults, Setting};

/// Twice the memory limit of a replica: with a limit the kernel ends the process before, without one the machine lives on.
const BYTES_MAX: usize = 256 << 20;
/// How often it grows.
const TICK: Duration = Duration::from_millis(100);
/// In a second.
const TICKS: usize = 10;
/// One byte of each line of the processor's cache is read: that is what looking at memory costs.
const CACHE_LINE: usize = 64;

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Leak(RwLock<Vec<Arc<[u8]>>>);

impl Leak {
    fn grow(&self, bytes: usize) {
        let mut blocks = self.0.write();
        let held: usize = blocks.iter().map(|block| block.len()).sum();
        let more = bytes.min(BYTES_MAX.saturating_sub(held));
        if more > 0 {
            // Ones, as zeros would be pages that nobody has touched, which cost nothing.
            blocks.push(vec![1; more].into());
        }
    }

    fn end(&self) {
        self.0.write().clear();
    }

    /// Looks through all of it, as a request does; others get their turn between.
    pub async fn walk(&self) {
        let blocks = self.0.read().clone();
        for block in blocks {
            black_box(block.iter().step_by(CACHE_LINE).fold(0_u8, |sum, byte| sum ^ byte));
            tokio::task::yield_now().await;
        }
    }
}

impl Faults {
    /// Keeps as much memory as the fault `leak` asks for, until shutdown.
    pub(super) async fn grow_leak(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut changes = self.0.active.subscribe();
        loop {
            let rate = match changes.borrow_and_update().setting(FaultKind::Leak) {
                Some(Setting::BytesPerSecond(rate)) => Some(*rate),
                _ => None,
            };
            match rate {
                Some(rate) => self.0.leak.grow(rate.div_ceil(TICKS)),
                None => self.0.leak.end(),
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = changes.changed() => {}
                () = tokio::time::sleep(TICK), if rate.is_some() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_grows_to_its_bound_and_is_given_back() {
        let leak = Leak::default();
        let held = || leak.0.read().iter().map(|block| block.len()).sum::<usize>();
        leak.grow(BYTES_MAX - 10);
        leak.grow(64);
        leak.grow(64);
        assert_eq!(held(), BYTES_MAX);
        leak.end();
        assert_eq!(held(), 0);
    }
}
