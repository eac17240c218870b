//! A histogram as a text, as `count_values` makes it a label and templates print it.

use std::fmt::Write;

use protocol::number::{self, Exponent};

use super::buckets::ascending;
use crate::series::Histogram;

/// Count, sum, and the buckets that hold something: `{count:3, sum:4.5, (1,2]:3}`.
pub(crate) fn shown(histogram: &Histogram) -> String {
    let general = |value: f64| number::text(value, Exponent::General);
    let mut text = format!("{{count:{}, sum:{}", general(histogram.count), general(histogram.sum));
    for bucket in ascending(histogram).filter(|bucket| bucket.count != 0.0) {
        let open = if bucket.lower_inclusive { '[' } else { '(' };
        let close = if bucket.upper_inclusive { ']' } else { ')' };
        let (lower, upper, count) = (general(bucket.lower), general(bucket.upper), general(bucket.count));
        // Writing into a text cannot fail.
        let _ = write!(text, ", {open}{lower},{upper}{close}:{count}");
    }
    text.push('}');
    text
}
