//! When a group is evaluated: at its own place in each interval, the same after every restart, so that groups are spread and
//! samples lie on a grid. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A group's times, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, for so long.
    Wait(i64),
    /// Evaluate as of this time; so many turns before it were missed.
    Evaluate {
        /// The time.
        slot_ms: i64,
        /// Turns that nobody took.
        missed: i64,
    },
}

impl Schedule {
    /// The times of the group with this name.
    pub fn new(file: &str, name: &str, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let mut hasher = DefaultHasher::new();
        (file, name).hash(&mut hasher);
        let offset_ms = i64::try_from(hasher.finish() >> 1).unwrap_or(0) % interval_ms;
        Self { interval_ms, offset_ms }
    }

    /// The last of its times that is not after now.
    pub fn slot_before(self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(now_ms.saturating_sub(self.offset_ms).rem_euclid(self.interval_ms))
    }

    /// What to do now, when the group was evaluated last as of `last_ms`.
    pub fn turn(self, last_ms: i64, now_ms: i64) -> Turn {
        let next_ms = last_ms.saturating_add(self.interval_ms);
        if now_ms >= next_ms {
            let missed = now_ms.saturating_sub(last_ms) / self.interval_ms - 1;
            return Turn::Evaluate { slot_ms: next_ms.saturating_add(missed.saturating_mul(self.interval_ms)), missed };
        }
        // No longer than an interval: a clock that was set back must not silence the group.
        Turn::Wait((next_ms - now_ms).min(self.interval_ms))
    }

    /// The last evaluation's time if the clock was not set back behind it; else where it would have been.
    pub fn after_clock(self, last_ms: i64, now_ms: i64) -> i64 {
        if last_ms.saturating_sub(now_ms) >= self.interval_ms { self.slot_before(now_ms) } else { last_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_an_interval_apart_and_missed_ones_are_counted() {
        let schedule = Schedule { interval_ms: 1000, offset_ms: 300 };
        assert_eq!((schedule.slot_before(5_299), schedule.slot_before(5_300)), (4_300, 5_300));
        for (last, now, turn) in [
            (4_300, 4_500, Turn::Wait(800)),
            (4_300, 5_300, Turn::Evaluate { slot_ms: 5_300, missed: 0 }),
            (4_300, 6_299, Turn::Evaluate { slot_ms: 5_300, missed: 0 }),
            (4_300, 7_400, Turn::Evaluate { slot_ms: 7_300, missed: 2 }),
            (9_300, 5_000, Turn::Wait(1000)),
        ] {
            assert_eq!(schedule.turn(last, now), turn, "{last} {now}");
        }
        assert_eq!((schedule.after_clock(9_300, 5_000), schedule.after_clock(5_300, 5_000)), (4_300, 5_300));
    }

    proptest::proptest! {
        #[test]
        fn every_slot_is_at_the_groups_place(name in ".{0,8}", interval_ms in 1i64..100_000, now_ms in 0i64..1 << 45) {
            let schedule = Schedule::new("f", &name, interval_ms);
            let slot_ms = schedule.slot_before(now_ms);
            proptest::prop_assert!(slot_ms <= now_ms && now_ms - slot_ms < interval_ms);
            proptest::prop_assert_eq!((slot_ms - schedule.offset_ms).rem_euclid(interval_ms), 0);
        }
    }
}
