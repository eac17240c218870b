//! How long to wait before trying again: longer each time, and never at the same moment as everybody else.

use std::time::Duration;

/// First wait after a failure; client-go's reflector begins with 0.8 s.
const FIRST: Duration = Duration::from_millis(500);

/// Longest wait after a failure; client-go's reflector also ends at 30 s.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits after what a person must put right.
const SLOW_FIRST: Duration = Duration::from_secs(20);

/// Longest of them.
const SLOW_LONGEST: Duration = Duration::from_secs(300);

/// Waits that double.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BackOff {
    failures: u32,
    quick: u32,
}

impl BackOff {
    /// After a failure that may pass by itself.
    pub fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        jittered(doubled(FIRST, self.failures - 1, LONGEST))
    }

    /// After a failure that does not pass by itself.
    pub fn slow(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        jittered(doubled(SLOW_FIRST, self.failures - 1, SLOW_LONGEST))
    }

    /// After what is no failure once, and a fault of the server if it comes again and again.
    pub fn gentle(&mut self) -> Duration {
        self.quick = self.quick.saturating_add(1);
        if self.quick <= 2 { Duration::ZERO } else { jittered(doubled(FIRST, self.quick - 3, LONGEST)) }
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(times.min(16)).unwrap_or(u32::MAX)).min(longest)
}

/// Between three quarters of it and all of it.
pub(super) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ() {
        let mut back_off = BackOff::default();
        let waits: Vec<Duration> = (0..12).map(|_| back_off.next()).collect();
        assert!(waits[0] >= FIRST.mul_f64(0.75) && waits[0] <= FIRST, "{waits:?}");
        assert!(waits[11] >= LONGEST.mul_f64(0.75) && waits[11] <= LONGEST, "{waits:?}");
        let slow: Vec<Duration> = (0..12).map(|_| BackOff::default().slow()).collect();
        assert!(slow.iter().any(|wait| *wait != slow[0]), "{slow:?}");
        assert!(slow.iter().all(|wait| *wait >= SLOW_FIRST.mul_f64(0.75)));
    }

    #[test]
    fn what_ends_again_and_again_is_slowed_down() {
        let mut back_off = BackOff::default();
        assert_eq!([back_off.gentle(), back_off.gentle()], [Duration::ZERO; 2]);
        assert!(back_off.gentle() > Duration::ZERO);
        assert!((0..20).map(|_| back_off.gentle()).max().unwrap() <= LONGEST);
    }
}
