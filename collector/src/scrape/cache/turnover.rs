//! How many new series a target has brought lately. One that prints others at each scrape never holds more than it may, and yet
//! would fill the memory: what is gone stays in it until it is sealed. Knows no series.

/// In which as many new series come in as the target may hold: half the time that the store keeps what is gone in memory.
const WINDOW_MS: u64 = 3_600_000;

/// How many times its limit a target may bring at once: all its series, and others in their place when it is restarted.
const SAVED_MAX: u64 = 2;

/// New series, of which those of a limit are forgotten in each [`WINDOW_MS`].
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::scrape) struct Turnover {
    /// Series that came, each as much as the window is long.
    level: u64,
    at_ms: i64,
}

impl Turnover {
    /// Time has passed for a target that may hold so many series.
    pub fn advance(&mut self, at_ms: i64, series_max: usize) {
        let passed_ms = u64::try_from(at_ms.saturating_sub(self.at_ms)).unwrap_or(0);
        self.level = self.level.saturating_sub(passed_ms.saturating_mul(series_max as u64));
        self.at_ms = at_ms;
    }

    /// Whether one more may come.
    pub fn has_room(&self, series_max: usize) -> bool {
        self.level + WINDOW_MS <= SAVED_MAX.saturating_mul(series_max as u64).saturating_mul(WINDOW_MS)
    }

    /// One has come.
    pub fn add(&mut self) {
        self.level = self.level.saturating_add(WINDOW_MS);
    }
}
