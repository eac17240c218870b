//! Memory that a scrape needs while it lasts, lent from one scrape to the next: targets are scraped at different times, so a
//! few pieces do for all of them.

use parking_lot::Mutex;

use super::pass::Batch;

/// Pieces kept while nobody uses them: more scrapes seldom run at once than there are threads.
const SPARE_MAX: usize = 4;

/// Bytes of a piece above which it is not kept: one huge target must not hold memory that no other needs.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// What one scrape needs.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// The text.
    pub body: Vec<u8>,
    /// The text as it came, if it was compressed.
    pub compressed: Vec<u8>,
    /// Its samples.
    pub batch: Batch,
}

/// Memory for scrapes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spare: Mutex<Vec<Buffer>>,
}

impl Buffers {
    /// What may hold anything.
    pub fn take(&self) -> Buffer {
        self.spare.lock().pop().unwrap_or_default()
    }

    pub fn give_back(&self, mut buffer: Buffer) {
        buffer.batch.clear();
        let bytes = buffer.body.capacity() + buffer.compressed.capacity() + buffer.batch.bytes();
        let mut spare = self.spare.lock();
        if bytes <= SPARE_BYTES_MAX && spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    }
}
