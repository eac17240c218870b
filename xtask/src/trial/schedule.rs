//! Whether samples keep to their schedule: pure.

/// How the times of one series, or of several, lie.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    pub samples: usize,
    /// Intervals in which there should have been one more.
    pub gaps: usize,
    /// By how much each time since the one before differs from the interval, in milliseconds.
    off_ms: Vec<i64>,
}

impl Schedule {
    /// Of times in order.
    pub fn of(times_ms: &[i64], interval_ms: i64) -> Self {
        let since: Vec<i64> = times_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Half an interval more is nearer to two of them.
        let missed = |since: i64| usize::try_from((since + interval_ms / 2) / interval_ms - 1).unwrap_or(0);
        Self {
            samples: times_ms.len(),
            gaps: since.iter().map(|since| missed(*since)).sum(),
            off_ms: since.iter().map(|since| (since - interval_ms).abs()).collect(),
        }
    }

    pub fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.gaps += other.gaps;
        self.off_ms.extend(other.off_ms);
    }

    /// That many in a hundred are off by no more milliseconds than this.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of some minutes")]
    pub fn off_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.off_ms.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(f64::NAN, |off| *off as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn gaps_are_counted_and_lateness_is_told() {
        for (times, gaps, worst) in [
            (vec![0, 1_000, 2_000, 3_000], 0, 0.0),
            (vec![0, 1_004, 2_000, 2_990], 0, 10.0),
            (vec![0, 1_499, 2_000], 0, 499.0),
            (vec![0, 2_000, 3_000], 1, 1_000.0),
            (vec![0, 3_600, 4_600], 3, 2_600.0),
            (vec![0, 1_000, 1_100], 0, 900.0),
        ] {
            let schedule = Schedule::of(&times, 1_000);
            assert_eq!(
                (schedule.samples, schedule.gaps, schedule.off_ms(100)),
                (times.len(), gaps, worst),
                "{times:?}"
            );
        }
        let mut all = Schedule::of(&(0..100).map(|n| n * 1_000).collect::<Vec<_>>(), 1_000);
        all.add(Schedule::of(&[0, 1_700], 1_000));
        assert_eq!((all.samples, all.off_ms(50), all.off_ms(99)), (102, 0.0, 700.0));
        assert!(Schedule::default().off_ms(99).is_nan());
    }
}
