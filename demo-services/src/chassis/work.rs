//! Real CPU work, so that demo rates load replicas. Counted in loop turns and not by the clock: a throttled replica must
//! not find that its work has gone away while it stood still.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::Semaphore;

/// Work between two moments at which other requests get their turn on the thread.
const SLICE: Duration = Duration::from_micros(250);
/// Requests differ by this share of the work, up and down.
const JITTER: f64 = 0.2;

/// Requests that burn at the same time, one a worker thread; the others wait in line. Shared out among all, the CPU of an
/// overloaded replica would finish every request too late; in line, it finishes as many in time as it can.
const TURNS: usize = 2;

/// The machine's speed is measured this often for this many turns; the fastest was not interrupted.
const CALIBRATION_ROUNDS: u32 = 20;
const CALIBRATION_TURNS: u64 = 100_000;

/// CPU time per request.
#[derive(Debug, Clone)]
pub(super) struct Work {
    base: Duration,
    turns: Arc<Semaphore>,
}

impl Work {
    pub fn new(base: Duration) -> Self {
        if !base.is_zero() {
            turns_per_second();
        }
        Self { base, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// Burns the work of one request, in slices; `false` when its turn did not come within `patience`.
    pub async fn burn(&self, patience: Duration) -> bool {
        let time = self.base.mul_f64(rand::rng().random_range(1.0 - JITTER..1.0 + JITTER));
        self.burn_for(time, patience).await
    }

    /// Burns so much, in slices; `false` when its turn did not come within `patience`.
    pub async fn burn_for(&self, time: Duration, patience: Duration) -> bool {
        if time.is_zero() {
            return true;
        }
        let Ok(Ok(_turn)) = tokio::time::timeout(patience, self.turns.acquire()).await else {
            return false;
        };
        let mut left = time;
        while !left.is_zero() {
            let slice = left.min(SLICE);
            spin(turns(slice));
            left -= slice;
            tokio::task::yield_now().await;
        }
        true
    }
}

/// Burns this share of one core until told to stop. Blocks its thread.
pub(super) fn burn_share(share: f64, stop: impl Fn() -> bool) {
    const PERIOD: Duration = Duration::from_millis(20);
    while !stop() {
        let begun = Instant::now();
        while begun.elapsed() < PERIOD.mul_f64(share) {
            spin(turns(SLICE));
        }
        std::thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
    }
}

fn turns(time: Duration) -> u64 {
    (time.as_secs_f64() * turns_per_second()) as u64
}

fn turns_per_second() -> f64 {
    static MEASURED: OnceLock<f64> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let fastest = (0..CALIBRATION_ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                spin(CALIBRATION_TURNS);
                begun.elapsed()
            })
            .min();
        let fastest = fastest.unwrap_or(Duration::from_millis(1)).max(Duration::from_micros(1));
        CALIBRATION_TURNS as f64 / fastest.as_secs_f64()
    })
}

/// A chain of dependent multiplications; Knuth's MMIX generator.
fn spin(turns: u64) {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..turns {
        state = black_box(state).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_too_long_for_a_turn_is_told_so_and_the_next_is_not_delayed() {
        let work = Work::new(Duration::from_millis(1));
        let taken = work.turns.acquire_many(TURNS as u32).await.unwrap();
        assert!(!work.burn(Duration::from_millis(20)).await);
        drop(taken);
        assert!(work.burn(Duration::from_millis(20)).await);
        assert_eq!(work.turns.available_permits(), TURNS);
    }
}
