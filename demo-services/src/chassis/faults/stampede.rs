//! The fault `stampede`: answers are cached for a second, all of them expire, and everybody who finds the cache empty computes
//! what is missing at the same time, as nobody waits for who has begun. Without the fault there is no cache here.

use std::time::Duration;

use tokio::time::Instant;

use super::{FaultKind, Faults};

/// How long a computed answer is good.
const FRESH_FOR: Duration = Duration::from_secs(1);

impl Faults {
    /// CPU time that a request of this route has to burn, as nobody has filled the cache yet.
    pub(in crate::chassis) fn has_missed(&self, route: &str) -> Option<Duration> {
        let cost = self.0.active.borrow().time(FaultKind::Stampede)?;
        let fresh = self.0.fresh.lock().get(route).is_some_and(|until| Instant::now() < *until);
        (!fresh).then_some(cost)
    }

    /// The answer of a route was computed.
    pub(in crate::chassis) fn has_filled(&self, route: &str) {
        self.0.fresh.lock().insert(route.to_owned(), Instant::now() + FRESH_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_come_before_the_cache_is_filled_miss_it_and_it_expires() {
        let faults = Faults::default();
        assert_eq!(faults.has_missed("/a"), None);
        faults.set("stampede", Some("200ms")).unwrap();
        let cost = Some(Duration::from_millis(200));
        assert_eq!((faults.has_missed("/a"), faults.has_missed("/a")), (cost, cost));
        faults.has_filled("/a");
        assert_eq!((faults.has_missed("/a"), faults.has_missed("/b")), (None, cost));
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(faults.has_missed("/a"), cost);
    }
}
