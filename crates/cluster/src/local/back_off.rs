//! How long a replica that ended waits before it is started again. Pure arithmetic.

use std::time::Duration;

/// Kubernetes' back-off after exits, except that the first restart comes at once: a single exit is no loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// Wait before the second restart; it doubles with each further one.
    pub base: Duration,
    /// Longest wait.
    pub max: Duration,
    /// A run that lasted this long begins the count anew.
    pub reset: Duration,
}

impl Default for BackOff {
    /// The kubelet's numbers: 10 s doubling to 5 min, forgotten after 10 min.
    fn default() -> Self {
        Self { base: Duration::from_secs(10), max: Duration::from_secs(300), reset: Duration::from_secs(600) }
    }
}

/// The exits of one replica.
#[derive(Debug)]
pub(super) struct Exits {
    back_off: BackOff,
    quick: u32,
}

impl Exits {
    pub fn new(back_off: BackOff) -> Self {
        Self { back_off, quick: 0 }
    }

    /// Takes note of an exit after a run of `lasted`; answers the wait before the next start, zero for none.
    pub fn record(&mut self, lasted: Duration) -> Duration {
        if lasted >= self.back_off.reset {
            self.quick = 0;
        }
        self.quick += 1;
        match self.quick {
            1 => Duration::ZERO,
            n => {
                let factor = 1u32.checked_shl(n - 2).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
                self.back_off.base.saturating_mul(factor).min(self.back_off.max)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_restart_at_once_then_doubling_to_the_limit() {
        let mut exits = Exits::new(BackOff::default());
        let waits: Vec<u64> = (0..9).map(|_| exits.record(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!((0..100).map(|_| exits.record(Duration::ZERO)).max(), Some(Duration::from_secs(300)));
    }

    #[test]
    fn a_long_run_is_forgiven() {
        let mut exits = Exits::new(BackOff::default());
        exits.record(Duration::ZERO);
        exits.record(Duration::ZERO);
        assert_eq!(exits.record(Duration::from_secs(600)), Duration::ZERO);
        assert_eq!(exits.record(Duration::ZERO), Duration::from_secs(10));
    }
}
