//! Until when an answer is wanted. Pure: time is an argument.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::contract::DEADLINE_HEADER;

/// How long a request may take whose caller says nothing: longer than any journey's patience, short enough to end.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// No caller is granted more.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);

/// A moment after which nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `allowed` after `now`.
    pub fn after(now: Instant, allowed: Duration) -> Self {
        Self(now + allowed.min(DEADLINE_MAX))
    }

    /// What the caller asks for; the default where it says nothing or nonsense.
    pub fn from_headers(headers: &HeaderMap, now: Instant) -> Self {
        let asked = headers.get(DEADLINE_HEADER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        Self::after(now, asked.map_or(DEADLINE_DEFAULT, Duration::from_millis))
    }

    /// The earlier of this and `allowed` after `now`.
    #[must_use]
    pub fn at_most(self, now: Instant, allowed: Duration) -> Self {
        self.min(Self::after(now, allowed))
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_hop_never_grants_more_than_its_caller(asked in 0u64..200_000, own in 0u64..200_000, used in 0u64..200_000) {
            let start = Instant::now();
            let mut headers = HeaderMap::new();
            headers.insert(DEADLINE_HEADER, asked.into());
            let deadline = Deadline::from_headers(&headers, start);
            let later = start + Duration::from_millis(used);
            let hop = deadline.at_most(later, Duration::from_millis(own)).remaining(later);
            proptest::prop_assert!(hop <= Duration::from_millis(asked.saturating_sub(used)));
            proptest::prop_assert!(hop <= Duration::from_millis(own));
            proptest::prop_assert!(hop <= DEADLINE_MAX);
        }
    }

    #[test]
    fn nonsense_counts_as_nothing_said() {
        let now = Instant::now();
        let mut headers = HeaderMap::new();
        headers.insert(DEADLINE_HEADER, "soon".parse().unwrap());
        assert_eq!(Deadline::from_headers(&headers, now).remaining(now), DEADLINE_DEFAULT);
    }
}
