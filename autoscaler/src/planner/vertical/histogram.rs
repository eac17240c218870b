//! How often a resource was used how much, of which the older counts less. Buckets grow by 5 %, as those of Kubernetes' vertical pod
//! autoscaler do (`pkg/recommender/model/aggregations_config.go`), so that a quantile is at most so much too large.

/// From one bucket to the next.
const RATIO: f64 = 1.05;

/// From the first bucket's end to the last one's: a factor of a million.
pub(super) const BUCKETS: usize = 285;

/// Amounts with weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// End of the first bucket; whatever is smaller is in it.
    first: f64,
    weights: Box<[f32; BUCKETS]>,
    total: f64,
}

impl Histogram {
    /// An empty one, whose smallest amount is `first`.
    pub fn new(first: f64) -> Self {
        Self { first, weights: Box::new([0.0; BUCKETS]), total: 0.0 }
    }

    /// Adds an amount; what is no amount is left out.
    pub fn add(&mut self, amount: f64, weight: f64) {
        if amount.is_finite() && amount >= 0.0 && weight > 0.0 {
            self.weights[self.bucket(amount)] += weight as f32;
            self.total += weight;
        }
    }

    /// Lets everything count for so much of what it did.
    pub fn fade(&mut self, share: f64) {
        self.weights.iter_mut().for_each(|weight| *weight *= share as f32);
        self.total *= share;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.weights.fill(0.0);
        self.total = 0.0;
    }

    /// The end of the bucket below which this share lies; `None` when there is nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.total <= 0.0 {
            return None;
        }
        let all: f64 = self.weights.iter().map(|weight| f64::from(*weight)).sum();
        let mut below = 0.0;
        for (bucket, weight) in self.weights.iter().enumerate() {
            below += f64::from(*weight);
            // Sums of many small numbers are not exact.
            if *weight > 0.0 && below >= share * all * (1.0 - 1e-6) {
                return Some(self.end(bucket));
            }
        }
        self.weights.iter().rposition(|weight| *weight > 0.0).map(|bucket| self.end(bucket))
    }

    fn bucket(&self, amount: f64) -> usize {
        if amount <= self.first {
            return 0;
        }
        // A hair is taken off, so that the end of a bucket is in it.
        let steps = libm::log(amount / self.first) / libm::log(RATIO);
        ((steps - 1e-9).ceil() as usize).min(BUCKETS - 1)
    }

    fn end(&self, bucket: usize) -> f64 {
        self.first * libm::pow(RATIO, bucket as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_bucket_too_large() {
        let mut histogram = Histogram::new(0.001);
        assert_eq!(histogram.quantile(0.9), None);
        (1..=100).for_each(|n| histogram.add(f64::from(n) / 100.0, 1.0));
        for (share, exact) in [(0.5, 0.5), (0.9, 0.9), (1.0, 1.0)] {
            let found = histogram.quantile(share).unwrap();
            assert!((exact..=exact * RATIO).contains(&found), "{share}: {found}");
        }
    }

    #[test]
    fn what_has_faded_counts_less() {
        let mut histogram = Histogram::new(0.001);
        (0..100).for_each(|_| histogram.add(1.0, 1.0));
        histogram.fade(0.01);
        (0..99).for_each(|_| histogram.add(0.1, 1.0));
        assert!(histogram.quantile(0.9).unwrap() < 0.11);
        assert!(histogram.quantile(1.0).unwrap() >= 1.0);
    }

    #[test]
    fn what_is_no_amount_is_left_out_and_the_largest_is_in_the_last_bucket() {
        let mut histogram = Histogram::new(1e6);
        [f64::NAN, f64::INFINITY, -1.0].into_iter().for_each(|amount| histogram.add(amount, 1.0));
        assert_eq!(histogram.quantile(0.5), None);
        histogram.add(1e30, 1.0);
        assert!(histogram.quantile(0.5).unwrap() > 0.9e12);
        histogram.clear();
        assert_eq!(histogram.quantile(0.5), None);
    }
}
