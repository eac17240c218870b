//! Since when each service is as it is, also when that began before anybody looked. Pure; told the time, reads no clock.
//! Start at `Since::see`.

use std::collections::BTreeMap;

use crate::feed::queries::HISTORY_STEP_SECONDS;
use crate::health::{ERRORS_DEGRADED, ERRORS_FAILING, Health};
use crate::picture::ServiceKey;
use crate::text;

/// Whoever is back in a state that it left less than this ago never left it: a replica that is ready for a moment between
/// two crashes ends no outage.
const LEFT_MS: i64 = 15_000;

/// When a state began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Began {
    health: Health,
    at_ms: i64,
    /// It was so when it was first seen, and may have been so for long.
    is_earlier: bool,
}

impl Began {
    /// `since 14:02:10`, or `since before 14:02:10`.
    pub fn words(&self) -> String {
        let before = if self.is_earlier { "before " } else { "" };
        format!("since {before}{}", text::clock(self.at_ms))
    }
}

/// One service's state, and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    now: Began,
    /// The state before, and when it was left.
    before: Option<(Began, i64)>,
}

/// All services' states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Since(BTreeMap<ServiceKey, Known>);

impl Since {
    /// When a service's state began.
    pub fn of(&self, service: &ServiceKey) -> Option<Began> {
        self.0.get(service).map(|known| known.now)
    }

    /// Takes how a service is now. `errors` is its share of errors over the last minutes and when the last value was taken.
    pub fn see(&mut self, service: &ServiceKey, health: Health, errors: Option<(&[f64], i64)>, now_ms: i64) {
        let first = Began { health, at_ms: now_ms, is_earlier: true };
        let known = self.0.entry(service.clone()).or_insert(Known { now: first, before: None });
        if known.now.health != health {
            let left = (known.now, now_ms);
            let now = match known.before {
                Some((before, left_ms)) if before.health == health && now_ms - left_ms <= LEFT_MS => before,
                _ => Began { health, at_ms: now_ms, is_earlier: false },
            };
            *known = Known { now, before: Some(left) };
        }
        if known.now.is_earlier
            && let Some(at_ms) = errors.and_then(|(errors, end_ms)| onset(health, errors, end_ms))
        {
            known.now = Began { health, at_ms: at_ms.min(known.now.at_ms), is_earlier: false };
        }
    }

    /// Forgets the services that are not there any more.
    pub fn retain(&mut self, is_there: impl Fn(&ServiceKey) -> bool) {
        self.0.retain(|service, _| is_there(service));
    }

    /// The same, as if everything had been watched from the beginning.
    #[cfg(test)]
    pub fn watched(&mut self) {
        self.0.values_mut().for_each(|known| known.now.is_earlier = false);
    }
}

/// When the errors began that a state of today is made of; `None` when the history does not show it.
fn onset(health: Health, errors: &[f64], end_ms: i64) -> Option<i64> {
    let least = match health {
        Health::Failing => ERRORS_FAILING,
        Health::Victim | Health::Degraded => ERRORS_DEGRADED,
        Health::Unknown | Health::Healthy | Health::Idle => return None,
    };
    let steps = errors.iter().rev().take_while(|share| **share >= least).count();
    let step_ms = i64::try_from(HISTORY_STEP_SECONDS * 1_000).ok()?;
    let begins_inside = (1..errors.len()).contains(&steps);
    begins_inside.then(|| end_ms - step_ms * (i64::try_from(steps).unwrap_or(i64::MAX) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_763_906_560_000;

    fn payment() -> ServiceKey {
        ServiceKey::new("shop", "payment")
    }

    fn words(since: &Since) -> String {
        since.of(&payment()).unwrap().words()
    }

    #[test]
    fn what_was_so_when_first_seen_began_before() {
        let mut since = Since::default();
        since.see(&payment(), Health::Failing, None, AT);
        since.see(&payment(), Health::Failing, None, AT + 9_000);
        assert_eq!(words(&since), "since before 14:02:40");
    }

    #[test]
    fn the_history_tells_when_errors_began_that_nobody_watched() {
        let errors = [0.0, 0.0, 0.4, 0.9, 1.0];
        let mut since = Since::default();
        since.see(&payment(), Health::Failing, Some((&errors, AT)), AT + 3_000);
        assert_eq!(words(&since), "since 14:02:30");
        let mut since = Since::default();
        since.see(&payment(), Health::Failing, Some((&errors[2..], AT)), AT);
        assert_eq!(words(&since), "since before 14:02:40");
    }

    #[test]
    fn a_change_begins_when_it_is_seen() {
        let mut since = Since::default();
        since.see(&payment(), Health::Healthy, None, AT);
        since.see(&payment(), Health::Failing, None, AT + 1_000);
        since.see(&payment(), Health::Failing, None, AT + 5_000);
        assert_eq!(words(&since), "since 14:02:41");
    }

    #[test]
    fn a_short_recovery_ends_no_outage_and_a_long_one_does() {
        let mut since = Since::default();
        since.see(&payment(), Health::Healthy, None, AT);
        since.see(&payment(), Health::Failing, None, AT + 1_000);
        since.see(&payment(), Health::Healthy, None, AT + 20_000);
        since.see(&payment(), Health::Failing, None, AT + 30_000);
        assert_eq!(words(&since), "since 14:02:41");
        since.see(&payment(), Health::Healthy, None, AT + 40_000);
        since.see(&payment(), Health::Failing, None, AT + 60_000);
        assert_eq!(words(&since), "since 14:03:40");
    }
}
