//! Durations counted in buckets a quarter of an octave wide: within 12 % of the truth, from a microsecond to four
//! minutes. One form for a second of a service, which fills few of them, and one for sums. Pure.

/// Buckets of an octave.
const QUARTERS: usize = 4;

/// 28 octaves of microseconds; longer durations count in the last bucket.
pub const BUCKETS: usize = 28 * QUARTERS;

/// The bucket of a duration.
pub fn bucket_of(ns: u64) -> usize {
    let us = (ns / 1_000).max(1);
    let octave = (u64::BITS - 1 - us.leading_zeros()) as usize;
    let quarter = if octave >= 2 { us >> (octave - 2) } else { us << (2 - octave) };
    (octave * QUARTERS + (quarter & 3) as usize).min(BUCKETS - 1)
}

/// The middle of a bucket, milliseconds.
pub fn middle_ms(bucket: usize) -> f64 {
    let octave = (1u64 << (bucket / QUARTERS)) as f64;
    octave * (1.0 + ((bucket % QUARTERS) as f64 + 0.5) / QUARTERS as f64) / 1_000.0
}

/// The bucket that holds so many milliseconds.
pub fn bucket_at_ms(ms: f64) -> usize {
    bucket_of((ms.max(0.0) * 1e6) as u64)
}

/// Few durations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Few(Vec<(u8, u32)>);

impl Few {
    /// Counts a duration.
    pub fn observe(&mut self, ns: u64) {
        let bucket = bucket_of(ns) as u8;
        match self.0.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(1),
            Err(at) => self.0.insert(at, (bucket, 1)),
        }
    }

    /// How many are in buckets above this one.
    pub fn above(&self, bucket: usize) -> f64 {
        self.0.iter().filter(|(known, _)| usize::from(*known) > bucket).map(|(_, count)| f64::from(*count)).sum()
    }

    /// Milliseconds by which those above a bucket exceed `usual_ms`, together.
    pub fn excess_ms(&self, bucket: usize, usual_ms: f64) -> f64 {
        let late = self.0.iter().filter(|(known, _)| usize::from(*known) > bucket);
        late.map(|(known, count)| f64::from(*count) * (middle_ms(usize::from(*known)) - usual_ms).max(0.0)).sum()
    }
}

/// Many durations, also fractions of some: what lies long ago counts less.
#[derive(Debug, Clone, PartialEq)]
pub struct Many {
    buckets: Box<[f32; BUCKETS]>,
    count: f64,
}

impl Default for Many {
    fn default() -> Self {
        Self { buckets: Box::new([0.0; BUCKETS]), count: 0.0 }
    }
}

impl Many {
    /// Counts what few counted.
    pub fn add(&mut self, few: &Few) {
        for (bucket, count) in &few.0 {
            self.buckets[usize::from(*bucket)] += *count as f32;
            self.count += f64::from(*count);
        }
    }

    /// Lets everything so far count less.
    pub fn fade(&mut self, factor: f64) {
        self.buckets.iter_mut().for_each(|count| *count *= factor as f32);
        self.count *= factor;
    }

    /// How many.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Milliseconds below which this share of the durations is; 0 without durations.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let rank = quantile * self.count;
        let mut below = 0.0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += f64::from(*count);
            if *count > 0.0 && below >= rank {
                return middle_ms(bucket);
            }
        }
        0.0
    }

    /// How many are in buckets above this one.
    pub fn above(&self, bucket: usize) -> f64 {
        self.buckets.iter().skip(bucket + 1).map(|count| f64::from(*count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_hold_what_they_say() {
        let mut last = 0;
        for us in (1..4_000u64).chain((12..28).map(|shift| (1 << shift) + 7)) {
            let bucket = bucket_of(us * 1_000);
            assert!(bucket >= last, "{us}");
            last = bucket;
            let off = (middle_ms(bucket) * 1_000.0 - us as f64).abs() / us as f64;
            assert!(off < 0.13 || us < 4, "{us}: {}", middle_ms(bucket));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(0), 0);
    }

    #[test]
    fn quantiles_and_tails_are_near_the_truth() {
        let (mut few, mut many) = (Few::default(), Many::default());
        (1..=100u64).for_each(|ms| few.observe(ms * 1_000_000));
        many.add(&few);
        assert!((many.quantile_ms(0.5) - 50.0).abs() < 7.0, "{}", many.quantile_ms(0.5));
        let bucket = bucket_at_ms(80.0);
        assert_eq!(many.above(bucket), few.above(bucket));
        assert!((many.above(bucket) - 20.0).abs() < 10.0, "{}", many.above(bucket));
        many.fade(0.5);
        assert_eq!(many.count(), 50.0);
        assert_eq!(Many::default().quantile_ms(0.5), 0.0);
    }
}
