//! When writing is tried again after the disk has failed: after a wait that doubles up to a bound. Pure: the time comes in.

use std::time::Duration;

use tokio::time::Instant;

/// After the first failure: as long as from one look to the next.
const WAIT_MIN: Duration = super::INTERVAL;

/// At most, as OpenTelemetry's exporters wait (`max_interval` of the Collector's `retry_on_failure`): who has made room on a full disk
/// sees it used within half a minute, and what an attempt costs is nothing at that pace.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Whether the disk fails, and until when to leave it alone.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// The last wait; zero while all goes well.
    wait: Duration,
    /// None while all goes well.
    due: Option<Instant>,
}

impl Retry {
    /// Whether the last attempt failed.
    pub fn is_failing(&self) -> bool {
        self.due.is_some()
    }

    /// Whether to try now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// Learns how an attempt has ended.
    pub fn tried(&mut self, is_written: bool, now: Instant) {
        if is_written {
            *self = Self::default();
            return;
        }
        self.wait = (self.wait * 2).clamp(WAIT_MIN, WAIT_MAX);
        self.due = Some(now + self.wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_begin_anew() {
        let (start, mut retry) = (Instant::now(), Retry::default());
        assert!(retry.is_due(start) && !retry.is_failing());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..7 {
            retry.tried(false, now);
            let due = retry.due.unwrap();
            assert!(retry.is_failing() && !retry.is_due(due - Duration::from_millis(1)) && retry.is_due(due));
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        retry.tried(true, now);
        assert!(retry.is_due(now) && !retry.is_failing());
        retry.tried(false, now);
        assert!(retry.is_due(now + WAIT_MIN), "as the first time");
    }
}
