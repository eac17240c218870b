//! Which times the head takes, and what of it is due to become a block: Prometheus' rules, as numbers.

use std::sync::atomic::{AtomicI64, Ordering};

/// Time of a block made from the head, and to whose multiples it is aligned: Prometheus' `min-block-duration`.
pub(super) const BLOCK_MS: i64 = 2 * 3_600_000;

/// No time.
const NEVER: i64 = i64::MIN;

/// How far the head has come.
pub(super) struct Window {
    newest_ms: AtomicI64,
    /// What is older is refused.
    floor_ms: AtomicI64,
    /// What is older is in blocks.
    sealed_ms: AtomicI64,
}

impl Window {
    /// Goes on after blocks that hold everything before a time.
    pub fn after(sealed_until_ms: Option<i64>) -> Self {
        let sealed = sealed_until_ms.unwrap_or(NEVER);
        Self { newest_ms: NEVER.into(), floor_ms: sealed.into(), sealed_ms: sealed.into() }
    }

    /// A sample of this time was taken.
    pub fn saw(&self, time_ms: i64) {
        self.newest_ms.fetch_max(time_ms, Ordering::Relaxed);
    }

    /// The newest time taken.
    pub fn newest_ms(&self) -> Option<i64> {
        Some(self.newest_ms.load(Ordering::Relaxed)).filter(|newest| *newest != NEVER)
    }

    /// What is older is refused: what is being sealed, and what is more than half a block older than the newest sample, so
    /// that nothing comes in for a block that is due.
    pub fn floor_ms(&self) -> i64 {
        let newest = self.newest_ms.load(Ordering::Relaxed);
        self.floor_ms.load(Ordering::Relaxed).max(newest.saturating_sub(BLOCK_MS / 2))
    }

    /// From now on what is older is refused. Nothing may be appended meanwhile.
    pub fn raise_floor(&self, time_ms: i64) {
        self.floor_ms.fetch_max(time_ms, Ordering::Relaxed);
    }

    /// What is older is in blocks.
    pub fn sealed_until_ms(&self) -> i64 {
        self.sealed_ms.load(Ordering::Relaxed)
    }

    /// What is older is in blocks now.
    pub fn sealed(&self, until_ms: i64) {
        self.sealed_ms.fetch_max(until_ms, Ordering::Relaxed);
    }
}

/// The end of the block that is due, if the head holds more than one and a half blocks: it keeps half a block for samples that
/// come late to their scrape, and for queries of what is recent.
pub(super) fn due(oldest_ms: i64, newest_ms: i64) -> Option<i64> {
    let long = newest_ms.saturating_sub(oldest_ms) > BLOCK_MS / 2 * 3;
    long.then(|| oldest_ms.div_euclid(BLOCK_MS).saturating_add(1).saturating_mul(BLOCK_MS))
}

/// The least time of samples for which a head that is full is sealed early: below it there are too many series for the
/// memory, and blocks would not help.
const EARLY_MS_MIN: i64 = 5 * 60_000;

/// The end of an early block for a head that takes too much memory: three quarters of what it holds.
pub(super) fn early(oldest_ms: i64, newest_ms: i64) -> Option<i64> {
    let span = newest_ms.saturating_sub(oldest_ms);
    (span >= EARLY_MS_MIN).then(|| newest_ms - span / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000 / BLOCK_MS * BLOCK_MS;

    #[test]
    fn a_block_is_due_once_the_head_holds_one_and_a_half() {
        for (oldest, newest, wanted) in [
            (0, 3 * 3_600_000, None),
            (0, 3 * 3_600_000 + 1, Some(BLOCK_MS)),
            (1, 3 * 3_600_000 + 2, Some(BLOCK_MS)),
            (BLOCK_MS - 1, BLOCK_MS + 3 * 3_600_000, Some(BLOCK_MS)),
            (BLOCK_MS, 10 * BLOCK_MS, Some(2 * BLOCK_MS)),
        ] {
            assert_eq!(due(START + oldest, START + newest), wanted.map(|at| START + at), "{oldest}..{newest}");
        }
        assert_eq!(due(-1, BLOCK_MS * 2), Some(0), "before 1970 too");
    }

    #[test]
    fn what_is_sealed_or_half_a_block_old_is_refused() {
        let window = Window::after(Some(START));
        assert_eq!((window.floor_ms(), window.newest_ms()), (START, None));
        window.saw(START + BLOCK_MS);
        window.saw(START + 5);
        assert_eq!((window.floor_ms(), window.newest_ms()), (START + BLOCK_MS / 2, Some(START + BLOCK_MS)));
        window.raise_floor(START + BLOCK_MS);
        assert_eq!((window.floor_ms(), window.sealed_until_ms()), (START + BLOCK_MS, START));
    }
}
