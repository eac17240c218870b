//! Who may write, and until when. Asked before every write, so that a leader that was deposed, or cannot know whether it was,
//! writes nothing any more. Knows nothing about Leases: see whoever implements it.

use std::sync::Arc;
use std::time::Duration;

use kube::core::Status;
use tokio::time::{Instant, sleep, timeout_at};

/// Longest time for one write: longer than an API server with slow admission webhooks usually needs, shorter than a lease.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// What admission says to whoever is not the leader that it knows: the words of the chart's policy.
const LEADER_UNKNOWN: &str = "only the leader may write";

/// The API server's admission learns by a watch who leads, some moments after it took the Lease: what it denies to a leader that
/// it does not know yet is tried again so often, this long apart.
const LEADER_UNKNOWN_TRIES: u32 = 8;
const LEADER_UNKNOWN_PAUSE: Duration = Duration::from_millis(250);

/// Says whether this process may write.
pub trait Fence: Send + Sync {
    /// The time until which a write may stay open.
    ///
    /// # Errors
    /// Who leads instead, or since when nobody does.
    fn check(&self) -> Result<Instant, String>;
}

/// Lets nothing be written at all.
#[derive(Debug, Clone, Copy)]
pub struct ReadOnly;

impl Fence for ReadOnly {
    fn check(&self) -> Result<Instant, String> {
        Err("none does: this is a dry run, which writes nothing".to_owned())
    }
}

/// Why a write was not made, or given up on.
#[derive(Debug)]
pub(super) enum Halted {
    /// Another one leads.
    NotLeader { reason: String },
    /// No answer in time.
    TooLate { within: Duration },
}

/// Makes a write within the time that the fence gives, and at most [`WRITE_PATIENCE`].
pub(super) async fn guarded<T>(
    fence: Option<&Arc<dyn Fence>>,
    write: impl Future<Output = T> + Send,
) -> Result<T, Halted> {
    let now = Instant::now();
    let patience = now + WRITE_PATIENCE;
    let until = match fence {
        Some(fence) => fence.check().map_err(|reason| Halted::NotLeader { reason })?.min(patience),
        None => patience,
    };
    if until <= now {
        return Err(Halted::NotLeader { reason: "the lease has run out".to_owned() });
    }
    timeout_at(until, write).await.map_err(|_| Halted::TooLate { within: until - now })
}

/// Whether admission knows another leader, or none.
pub(super) fn is_leader_unknown(error: &kube::Error) -> bool {
    let denied = |status: &Status| matches!(status.code, 403 | 422) && status.message.contains(LEADER_UNKNOWN);
    matches!(error, kube::Error::Api(status) if denied(status))
}

/// Makes a write again while that alone is against it. Each failure says whether it is that.
pub(super) async fn as_leader<T, E, F>(write: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, (E, bool)>>,
{
    for _ in 1..LEADER_UNKNOWN_TRIES {
        match write().await {
            Err((_, true)) => sleep(LEADER_UNKNOWN_PAUSE).await,
            outcome => return outcome.map_err(|(failure, _)| failure),
        }
    }
    write().await.map_err(|(failure, _)| failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Until(Result<Instant, String>);

    impl Fence for Until {
        fn check(&self) -> Result<Instant, String> {
            self.0.clone()
        }
    }

    fn fence(answer: Result<Instant, String>) -> Arc<dyn Fence> {
        Arc::new(Until(answer))
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_ends_when_the_lease_does_and_none_begins_after_it() {
        let soon = fence(Ok(Instant::now() + Duration::from_secs(2)));
        let began = Instant::now();
        let outcome = guarded(Some(&soon), std::future::pending::<()>()).await;
        assert!(matches!(outcome, Err(Halted::TooLate { within }) if within == Duration::from_secs(2)), "{outcome:?}");
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        let outcome = guarded(Some(&soon), async { panic!("it was begun") }).await;
        assert!(matches!(outcome, Err::<(), _>(Halted::NotLeader { .. })), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_lead_writes_nothing_and_says_who_leads() {
        let other = fence(Err("plimsoll-1 leads".to_owned()));
        let outcome = guarded(Some(&other), async { panic!("it was begun") }).await;
        assert!(matches!(&outcome, Err::<(), _>(Halted::NotLeader { reason }) if reason == "plimsoll-1 leads"));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_fence_only_patience_ends_a_write() {
        assert!(matches!(guarded(None, async { 7 }).await, Ok(7)));
        let began = Instant::now();
        assert!(guarded(None, std::future::pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), WRITE_PATIENCE);
    }
}
