//! How far a replay has come, on one line of the terminal; nothing where standard error is none.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Seconds before the first line: short replays show none.
const PATIENCE: Duration = Duration::from_secs(1);

const WIDTH: usize = 40;

/// A bar.
pub(super) struct Progress {
    began: Instant,
    is_shown: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { began: Instant::now(), is_shown: std::io::stderr().is_terminal() }
    }
}

impl Progress {
    /// Shows that so many of all runs are done.
    pub fn show(&self, done: usize, all: usize) {
        if !self.is_shown || self.began.elapsed() < PATIENCE {
            return;
        }
        let filled = done * WIDTH / all.max(1);
        let left = self.began.elapsed().mul_f64((all - done.min(all)) as f64 / done.max(1) as f64).as_secs();
        let line = format!("\r[{:<WIDTH$}] {done}/{all} runs, {left} s left \x1b[K", "#".repeat(filled));
        // A terminal that is gone does not end the replay.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Leaves nothing behind.
    pub fn clear(&self) {
        if self.is_shown {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
