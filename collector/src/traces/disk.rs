//! Spans on disk: the traces that are kept, in segments, and the journal of what is not decided upon yet. What was acknowledged
//! survives `kill -9`. Bounded by time and by size; of the segments nothing is in memory but their names. Decides nothing about
//! traces. Start at `SpanFolder`.

mod codec;
mod folder;
mod journal;
mod segment;

pub use self::folder::{OpenSpansError, SpanFolder, SpanRetention};
