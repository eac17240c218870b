//! Two histograms of durations: one with Tempo's bounds, for series, and a finer sparse one, for percentiles. Pure.

/// Upper bounds in seconds: 2 ms doubled up to 16.384 s, as Tempo's span metrics have them. `+Inf` follows.
pub const BOUNDS: [f64; 14] =
    [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];

/// The first bound in nanoseconds.
const FIRST_BOUND_NS: u64 = 2_000_000;

/// Where in [`BOUNDS`] a duration counts first; `BOUNDS.len()` is `+Inf`.
pub fn bucket_of(ns: u64) -> usize {
    let times = ns.div_ceil(FIRST_BOUND_NS).max(1);
    let doublings = times.next_power_of_two().trailing_zeros();
    (doublings as usize).min(BOUNDS.len())
}

/// Counts of durations in buckets that are 1/8 of an octave wide, of microseconds: an error of at most 6 %.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Percentiles {
    /// Bucket and count, in order of bucket; a second of one service fills few.
    buckets: Vec<(u16, u32)>,
    count: u64,
}

/// Buckets of one octave, as a power of two.
const OCTAVE_BITS: u32 = 3;

/// Below this many microseconds each one is a bucket of its own.
const LINEAR_US: u64 = 1 << (OCTAVE_BITS + 1);

impl Percentiles {
    /// Counts a duration.
    pub fn observe(&mut self, ns: u64) {
        self.add(fine_bucket(ns / 1_000), 1);
    }

    fn add(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
        self.count += u64::from(count);
    }

    /// Counts what the other one counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.add(*bucket, *count);
        }
    }

    /// Makes every duration count for half.
    pub fn halve(&mut self) {
        self.buckets.iter_mut().for_each(|(_, count)| *count /= 2);
        self.buckets.retain(|(_, count)| *count > 0);
        self.count = self.buckets.iter().map(|(_, count)| u64::from(*count)).sum();
    }

    /// Nanoseconds that this share of the durations surely does not exceed; nothing without durations.
    pub fn bound_ns(&self, share: f64) -> Option<u64> {
        let rank = share * self.count as f64;
        let mut below = 0.0;
        let reached = |(_, count): &&(u16, u32)| {
            below += f64::from(*count);
            below >= rank
        };
        let (bucket, _) = self.buckets.iter().find(reached)?;
        Some(fine_bounds(*bucket).1.saturating_mul(1_000))
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Milliseconds below which this share of the durations is; nothing without durations.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * self.count as f64;
        let mut below = 0.0;
        for (bucket, count) in &self.buckets {
            let count = f64::from(*count);
            if below + count >= rank {
                let (low, high) = fine_bounds(*bucket);
                let share = ((rank - below) / count).clamp(0.0, 1.0);
                return Some((low as f64 + (high - low) as f64 * share) / 1_000.0);
            }
            below += count;
        }
        None
    }
}

fn fine_bucket(us: u64) -> u16 {
    if us < LINEAR_US {
        return us as u16;
    }
    let octave = u64::BITS - 1 - us.leading_zeros();
    let position = (us >> (octave - OCTAVE_BITS)) & ((1 << OCTAVE_BITS) - 1);
    (LINEAR_US + (u64::from(octave - OCTAVE_BITS - 1) << OCTAVE_BITS) + position) as u16
}

/// Lower and upper bound of a bucket, microseconds.
fn fine_bounds(bucket: u16) -> (u64, u64) {
    let bucket = u64::from(bucket);
    if bucket < LINEAR_US {
        return (bucket, bucket + 1);
    }
    let octave = ((bucket - LINEAR_US) >> OCTAVE_BITS) + u64::from(OCTAVE_BITS) + 1;
    let position = (bucket - LINEAR_US) & ((1 << OCTAVE_BITS) - 1);
    let width = 1u64 << (octave - u64::from(OCTAVE_BITS));
    let low = (1u64 << octave) + position * width;
    (low, low.saturating_add(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        for ns in
            [0, 1, 1_999_999, 2_000_000, 2_000_001, 4_000_000, 5_000_000, 16_384_000_000, 16_384_000_001, u64::MAX / 2]
        {
            let expected = BOUNDS.iter().position(|bound| ns as f64 / 1e9 <= *bound).unwrap_or(BOUNDS.len());
            assert_eq!(bucket_of(ns), expected, "{ns}");
        }
    }

    #[test]
    fn fine_buckets_hold_what_they_say() {
        for us in (0..5_000).chain((0..44).map(|shift| (1u64 << shift) + shift)) {
            let (low, high) = fine_bounds(fine_bucket(us));
            assert!((low..high).contains(&us), "{us} is not in {low}..{high}");
            assert!(us < LINEAR_US || (high - low) * 8 <= low, "{us}: {low}..{high} is wide");
        }
    }

    #[test]
    fn quantiles_are_within_an_eighth_of_an_octave() {
        let mut percentiles = Percentiles::default();
        (1..=1_000u64).for_each(|ms| percentiles.observe(ms * 1_000_000));
        for (quantile, expected) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = percentiles.quantile_ms(quantile).expect("there are durations");
            assert!((found - expected).abs() / expected < 0.0625, "{quantile}: {found}");
        }
        assert_eq!(Percentiles::default().quantile_ms(0.5), None);
    }
}
