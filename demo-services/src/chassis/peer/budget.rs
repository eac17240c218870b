//! How many retries calls to one peer may add. Pure: time is an argument. The shape is Envoy's retry budget
//! (`budget_percent` 20 by default, and a floor of 3 so that a quiet caller may retry at all), counted as a token bucket.

use std::time::Duration;

/// Share of the calls that may be repeated; Envoy's default.
pub const SHARE: f64 = 0.2;
/// Retries a second that are always allowed; Envoy's `min_retry_concurrency` of 3, as a rate.
pub const FLOOR_PER_SECOND: f64 = 3.0;
/// What may be saved up: three seconds of the floor. More would let a storm start at full strength.
pub const SAVED_MAX: f64 = 9.0;

/// Tokens for retries.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: f64,
    at: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tokens: FLOOR_PER_SECOND, at: Duration::ZERO }
    }
}

impl RetryBudget {
    /// A call (not a retry) is made.
    pub fn deposit(&mut self, now: Duration) {
        self.refill(now);
        self.tokens = (self.tokens + SHARE).min(SAVED_MAX);
    }

    /// Whether a retry may be made; takes its token if so.
    pub fn withdraw(&mut self, now: Duration) -> bool {
        self.refill(now);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed * FLOOR_PER_SECOND).min(SAVED_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn retries_stay_below_the_share_and_the_floor(steps in proptest::collection::vec((0u64..400, proptest::bool::ANY), 1..300)) {
            let mut budget = RetryBudget::default();
            let (mut now, mut calls, mut retries) = (Duration::ZERO, 0u32, 0u32);
            for (pause, retry) in steps {
                now += Duration::from_millis(pause);
                if retry {
                    retries += u32::from(budget.withdraw(now));
                } else {
                    budget.deposit(now);
                    calls += 1;
                }
                let most = f64::from(calls) * SHARE + now.as_secs_f64() * FLOOR_PER_SECOND + FLOOR_PER_SECOND;
                proptest::prop_assert!(f64::from(retries) <= most + 1e-6);
            }
        }
    }

    #[test]
    fn when_everything_fails_a_fifth_is_repeated_beyond_the_floor() {
        let mut budget = RetryBudget::default();
        let mut retries = 0;
        for call in 0..1000u64 {
            let now = Duration::from_millis(call * 10);
            budget.deposit(now);
            retries += u32::from(budget.withdraw(now));
        }
        assert!((225..=235).contains(&retries), "1000 calls in 10 s: 200 + 30, got {retries}");
    }
}
