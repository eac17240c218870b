//! The mean of histograms: their sum divided, until the sum would overflow; from there on the running mean.

use super::parts::{Combined, Incompatible};
use super::{Sign, Total, divided};
use crate::series::Histogram;

/// Numbers below this can be added without a look whether the sum overflows.
const SAFE_MAX: f64 = 1e300;

/// A mean of histograms, which begins with the first.
#[derive(Debug, Clone)]
pub(in crate::promql) struct Mean {
    parts: Total,
    seen: f64,
    /// No number of the sum can be larger.
    ceiling: f64,
    running: bool,
}

impl Mean {
    pub fn of(first: &Histogram) -> Self {
        Self { parts: Total::of(first), seen: 1.0, ceiling: magnitude(first), running: false }
    }

    pub fn add(&mut self, histogram: &Histogram) -> Result<Combined, Incompatible> {
        self.seen += 1.0;
        self.ceiling += magnitude(histogram);
        if !self.running && self.ceiling < SAFE_MAX {
            return self.parts.add(histogram, Sign::Plus);
        }
        if !self.running {
            let mut next = self.parts.clone();
            let how = next.add(histogram, Sign::Plus)?;
            if !next.overflows() {
                self.parts = next;
                return Ok(how);
            }
            self.running = true;
            self.parts.divide(self.seen - 1.0);
        }
        self.parts.scale((self.seen - 1.0) / self.seen);
        self.parts.add(&divided(histogram, self.seen), Sign::Plus)
    }

    pub fn finish(mut self) -> Histogram {
        if !self.running {
            self.parts.divide(self.seen);
        }
        self.parts.finish()
    }
}

/// All of a histogram's numbers together; NaN if one is.
fn magnitude(histogram: &Histogram) -> f64 {
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    let own = [histogram.zero_count, histogram.count, histogram.sum];
    buckets.chain(&own).map(|number| number.abs()).sum()
}
