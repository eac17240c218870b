//! What stops a selection half-way: whoever asks passes a meter, which is told of samples before they are held, and may
//! refuse. Knows no limits itself; the evaluator's are in `promql::budget`.

use std::path::PathBuf;

/// Why samples could not be given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The meter said no; whoever made the meter knows why.
    #[error("the selection was given up")]
    Refused,
    /// A block on disk cannot be read.
    #[error("the block {} cannot be read: {message}; move it out of the data folder to do without its samples", path.display())]
    Block {
        /// The block.
        path: PathBuf,
        /// The cause.
        message: String,
    },
}

/// Is told of what a selection is about to hold. Asked by many threads at once.
pub trait Meter: Sync {
    /// So many more samples are about to be held. Zero asks only whether to go on: do so every now and then in long work
    /// that holds nothing. May wait until others hold less: never call it with a lock that they need, too.
    ///
    /// # Errors
    /// [`SelectError::Refused`]: give up, and pass the error on.
    fn take(&self, samples: usize) -> Result<(), SelectError>;

    /// The same with a lock held: it does not wait. Once the lock is given back, [`Meter::take`] does, of zero at least.
    ///
    /// # Errors
    /// As [`Meter::take`].
    fn take_locked(&self, samples: usize) -> Result<(), SelectError> {
        self.take(samples)
    }

    /// So many series are about to be read.
    ///
    /// # Errors
    /// As [`Meter::take`].
    fn begin(&self, series: usize) -> Result<(), SelectError> {
        let _ = series;
        self.take(0)
    }
}

/// Refuses nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn take(&self, _: usize) -> Result<(), SelectError> {
        Ok(())
    }
}
