//! What says that a container needs more than it was seen to use, because it was not let: it was throttled, it waited for CPU or
//! memory, or it was killed. Each can raise and none can lower; where nobody counts it, it says nothing.

/// Throttled in so small a share of its periods is nobody's loss: a burst of a tenth of a second.
const THROTTLED_MIN: f64 = 0.05;

/// So much of the time some task waits on a healthy machine, too (pressure stall information, `some`).
const PRESSURE_MIN: f64 = 0.1;

/// So long after it was seen last it holds up what is given: a day, so that it is there when the same hour comes again.
const PUSH_HOLDS_MS: i64 = 24 * 3_600_000;

/// So long a kill is remembered: as long as usage is.
const KILL_HOLDS_MS: i64 = 8 * 24 * 3_600_000;

/// What is given after a kill: so much more than was used at it, as Kubernetes' vertical pod autoscaler does
/// (`--oom-bump-up-ratio`).
pub const KILL_BUMP: f64 = 1.2;

/// Two counters tell of one kill (the kernel's and the restart's), one of them up to two scrapes later.
const KILL_SETTLES_MS: i64 = 120_000;

/// Kills this long ago are not of the same trouble.
const KILLS_TOGETHER_MS: i64 = 24 * 3_600_000;

/// By so much at most a burst between two readings is believed to exceed them: 2 after one kill, 4 after two, 8 after three.
const BURST_DOUBLINGS_MAX: u32 = 3;

/// What a push came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its CPU limit held it back.
    Throttling,
    /// Its tasks waited for CPU.
    CpuPressure,
    /// Its tasks waited for memory.
    MemoryPressure,
}

/// More is needed than was used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Push {
    /// From what that is known.
    pub cause: Cause,
    /// The largest share of the time, or of the periods, since it began.
    pub share: f64,
    /// So much is needed, in cores or bytes.
    pub amount: f64,
    /// Milliseconds since the epoch when it was seen last.
    pub at_ms: i64,
}

impl Push {
    /// A limit held it back in this share of its periods: so much more than is requested is needed, to which the limit keeps its
    /// ratio. Proportional control of the limit by throttling, as Autothrottle's Captain does (Z. Wang et al., NSDI 2024).
    pub fn throttled(at_ms: i64, share: f64, requested: f64) -> Option<Self> {
        Self::of(Cause::Throttling, at_ms, share, THROTTLED_MIN, requested)
    }

    /// Tasks waited for CPU this share of the time: they would have used so much more.
    pub fn cpu_pressure(at_ms: i64, share: f64, used: f64) -> Option<Self> {
        Self::of(Cause::CpuPressure, at_ms, share, PRESSURE_MIN, used)
    }

    /// The same of memory.
    pub fn memory_pressure(at_ms: i64, share: f64, used: f64) -> Option<Self> {
        Self::of(Cause::MemoryPressure, at_ms, share, PRESSURE_MIN, used)
    }

    fn of(cause: Cause, at_ms: i64, share: f64, least: f64, base: f64) -> Option<Self> {
        let counts = share.is_finite() && share > least && base > 0.0;
        counts.then(|| Self { cause, share, amount: base * (1.0 + share.min(1.0)), at_ms })
    }

    /// Whether it still counts.
    pub fn holds(&self, now_ms: i64) -> bool {
        now_ms - self.at_ms < PUSH_HOLDS_MS
    }

    /// Both together: the larger need, until the later has passed.
    pub fn and(before: Option<Self>, now: Self) -> Self {
        match before.filter(|before| before.holds(now.at_ms) && before.amount > now.amount) {
            Some(before) => Self { at_ms: now.at_ms, ..before },
            None => now,
        }
    }
}

/// It was killed for want of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kill {
    /// Milliseconds since the epoch of the last kill.
    pub at_ms: i64,
    /// Kills within a day.
    pub count: u32,
    /// What it used at it at least, in bytes.
    pub used: f64,
}

impl Kill {
    /// Takes in a kill. Whoever is killed by a limit has used all of it, also when nobody saw that: so it follows from the limit that
    /// was in force, but only so far above what was `seen` as a burst may be, so that kills that no limit made (a node without
    /// memory) do not drive the limit up that they are not made by. `None` where nothing is known of the use.
    pub fn after(before: Option<Self>, at_ms: i64, limit: Option<f64>, seen: Option<f64>) -> Option<Self> {
        let before = before.filter(|before| before.holds(at_ms));
        if let Some(before) = before.filter(|before| at_ms - before.at_ms < KILL_SETTLES_MS) {
            return Some(before);
        }
        let together =
            before.filter(|before| at_ms - before.at_ms < KILLS_TOGETHER_MS).map_or(0, |before| before.count);
        let count = together.saturating_add(1);
        let used = match (limit, seen) {
            (Some(limit), Some(seen)) => {
                let burst = f64::from(1u32 << count.min(BURST_DOUBLINGS_MAX));
                Some(limit.min(seen * burst).max(seen))
            }
            (one, other) => one.or(other),
        };
        let used = used.into_iter().chain(before.map(|before| before.used)).reduce(f64::max)?;
        Some(Self { at_ms, count, used })
    }

    /// Whether it still counts.
    pub fn holds(&self, now_ms: i64) -> bool {
        now_ms - self.at_ms < KILL_HOLDS_MS
    }

    /// What is to be given: once so much more than was used, and never more than that because it was given.
    pub fn amount(&self) -> f64 {
        self.used * KILL_BUMP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_waiting_and_what_nobody_counts_push_nothing() {
        for share in [0.0, 0.05, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Push::throttled(0, share, 0.1), None, "{share}");
        }
        assert_eq!(Push::cpu_pressure(0, 0.09, 0.1), None);
        let push = Push::throttled(0, 0.5, 0.1).unwrap();
        assert!((push.amount - 0.15).abs() < 1e-12 && push.holds(PUSH_HOLDS_MS - 1) && !push.holds(PUSH_HOLDS_MS));
        let later = Push::and(Some(push), Push::throttled(60_000, 0.1, 0.1).unwrap());
        assert!((later.amount - 0.15).abs() < 1e-12 && later.at_ms == 60_000, "{later:?}");
    }

    /// A process that needs `peak` is killed at its limit until that is larger; readings are taken between its bursts.
    #[test]
    fn kills_end_above_the_peak_and_not_far_above() {
        for (start, peak, seen) in
            [(100.0, 130.0, 95.0), (100.0, 400.0, 40.0), (64.0, 1000.0, 300.0), (90.0, 95.0, 1.0)]
        {
            let (mut limit, mut kill, mut at_ms) = (start, None, 0);
            for _ in 0..100 {
                if limit >= peak {
                    break;
                }
                at_ms += 600_000;
                kill = Kill::after(kill, at_ms, Some(limit), Some(f64::min(seen, limit)));
                limit = f64::max(limit, kill.unwrap().amount());
            }
            let within = limit >= peak && limit <= 1.5 * peak;
            // A burst of a hundred times what was ever seen is not believed.
            assert_eq!(within, seen * 8.0 * KILL_BUMP >= peak, "{start} {peak} {seen}: {limit}");
        }
    }

    #[test]
    fn kills_by_a_node_do_not_drive_up_a_limit_that_does_not_make_them() {
        let (mut limit, mut kill) = (1000.0, None);
        for n in 1..=100 {
            kill = Kill::after(kill, n * 600_000, Some(limit), Some(100.0));
            limit = f64::max(limit, kill.unwrap().amount());
        }
        assert!(limit <= 1000.0, "{limit}");
        let unlimited = Kill::after(None, 0, None, Some(100.0)).unwrap();
        assert!((unlimited.amount() - 120.0).abs() < 1e-9);
    }

    #[test]
    fn one_kill_that_two_counters_tell_of_is_one() {
        let first = Kill::after(None, 0, Some(100.0), Some(90.0));
        assert_eq!(Kill::after(first, 60_000, Some(120.0), Some(90.0)), first);
        assert_eq!(Kill::after(first, 200_000, Some(120.0), Some(110.0)).unwrap().count, 2);
        assert_eq!(Kill::after(None, 0, None, None), None);
    }
}
