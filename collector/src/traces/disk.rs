//! Spans on disk: the traces that are kept, in segments, and the journal of what is not decided upon yet. What was acknowledged
//! survives `kill -9`. Bounded by time and by size; of a closed segment nothing is in memory but a filter of its trace ids. Decides
//! nothing about traces. Start at `SpanFolder`.

mod codec;
mod folder;
mod journal;
mod segment;

pub use self::folder::{OpenSpansError, SpanFolder, SpanRetention};
