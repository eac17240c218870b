//! Who may write, and until when. Asked before every write, so that a leader that was deposed, or cannot know whether it was,
//! writes nothing any more. Knows nothing about Leases: see whoever implements it.

use tokio::time::Instant;

/// Says whether this process may write.
pub trait Fence: Send + Sync {
    /// The time until which a write may stay open.
    ///
    /// # Errors
    /// Who leads instead, or since when nobody does.
    fn check(&self) -> Result<Instant, String>;
}
