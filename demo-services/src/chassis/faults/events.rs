//! Faults of a consumer of events: one that is slow, and events that it chokes on. Knows no service's events.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::StatusCode;

use super::{FaultKind, Faults};
use crate::chassis::error::AppError;

impl Faults {
    /// To be awaited by whoever takes an event in, before it does: in a line of one when the consumer is slow, and an error for
    /// an event that is poison.
    pub async fn on_event(&self, event_id: &str) -> Result<(), AppError> {
        let (lag, poison) = {
            let active = self.0.active.borrow();
            (active.time(FaultKind::QueueLag), active.share(FaultKind::Poison))
        };
        if let Some(lag) = lag
            && let Ok(_place) = self.0.consumer.acquire().await
        {
            tokio::time::sleep(lag).await;
        }
        if poison > 0.0 && share_of(event_id) < poison {
            return Err(AppError::new(StatusCode::INTERNAL_SERVER_ERROR, "poison", "the event cannot be read"));
        }
        Ok(())
    }
}

/// Where an event lies between 0 and 1: the same each time that it is delivered.
fn share_of(event_id: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    event_id.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_events_are_poison_each_time_and_as_many_as_was_said() {
        let faults = Faults::of("notification");
        faults.set("poison", Some("0.3")).unwrap();
        let mut poisoned = 0;
        for number in 0..1_000 {
            let id = format!("0193-{number}:placed");
            let first = faults.on_event(&id).await;
            assert_eq!(first, faults.on_event(&id).await);
            poisoned += usize::from(first.is_err());
        }
        assert!((250..350).contains(&poisoned), "{poisoned}");
        faults.clear("poison").unwrap();
        assert_eq!(faults.on_event("0193-1:placed").await, Ok(()));
    }
}
