//! A native histogram as bytes of the log, and back. Each stands alone; whole counts take a byte or two.
//!
//! A control byte (what it says of a reset, [`STALE`]); unless stale: schema, zero threshold, zero count, count, sum, positive and
//! negative buckets, custom bounds. Buckets: count of runs, each with offset and length, then count of counts and the counts. A
//! count: twice the number if it is whole, else 1 and the float.

use std::sync::Arc;

use super::varint::{read_float, read_length, read_number, read_signed, take, write_float, write_number, write_signed};
use crate::series::{CounterReset, Histogram, Span};

/// It is the marker that ends a series: nothing follows.
const STALE: u8 = 0x80;

/// Whole numbers below this are floats without loss, also when doubled.
const WHOLE_END: f64 = 9_007_199_254_740_992.0;

pub(super) fn write_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    let reset = match histogram.reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    if histogram.is_stale() {
        return out.push(STALE | reset);
    }
    out.push(reset);
    write_signed(out, i64::from(histogram.schema));
    write_float(out, histogram.zero_threshold);
    write_count(out, histogram.zero_count);
    write_count(out, histogram.count);
    write_float(out, histogram.sum);
    write_buckets(out, &histogram.positive_spans, &histogram.positive_buckets);
    write_buckets(out, &histogram.negative_spans, &histogram.negative_buckets);
    write_number(out, histogram.custom_bounds.len() as u64);
    histogram.custom_bounds.iter().for_each(|bound| write_float(out, *bound));
}

pub(super) fn read_histogram(bytes: &mut &[u8]) -> Option<Histogram> {
    let control = take(bytes, 1)?[0];
    let reset = match control & !STALE {
        0 => CounterReset::Unknown,
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => return None,
    };
    if control & STALE != 0 {
        return Some(Histogram { reset, ..Histogram::stale() });
    }
    let schema = i32::try_from(read_signed(bytes)?).ok()?;
    let zero_threshold = read_float(bytes)?;
    let (zero_count, count) = (read_count(bytes)?, read_count(bytes)?);
    let sum = read_float(bytes)?;
    let (positive_spans, positive_buckets) = read_buckets(bytes)?;
    let (negative_spans, negative_buckets) = read_buckets(bytes)?;
    let bounds = read_length(bytes)?;
    let custom_bounds: Option<Arc<[f64]>> = (0..bounds).map(|_| read_float(bytes)).collect();
    Some(Histogram {
        reset,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_bounds: custom_bounds?,
    })
}

fn write_buckets(out: &mut Vec<u8>, spans: &[Span], buckets: &[f64]) {
    write_number(out, spans.len() as u64);
    for span in spans {
        write_signed(out, i64::from(span.offset));
        write_number(out, u64::from(span.length));
    }
    write_number(out, buckets.len() as u64);
    buckets.iter().for_each(|count| write_count(out, *count));
}

fn read_buckets(bytes: &mut &[u8]) -> Option<(Vec<Span>, Vec<f64>)> {
    let spans = read_length(bytes)?;
    let span = |_| {
        let offset = i32::try_from(read_signed(bytes)?).ok()?;
        Some(Span { offset, length: u32::try_from(read_number(bytes)?).ok()? })
    };
    let spans: Option<Vec<Span>> = (0..spans).map(span).collect();
    let buckets = read_length(bytes)?;
    let buckets: Option<Vec<f64>> = (0..buckets).map(|_| read_count(bytes)).collect();
    Some((spans?, buckets?))
}

fn write_count(out: &mut Vec<u8>, count: f64) {
    let is_whole = (0.0..WHOLE_END).contains(&count) && count.is_sign_positive() && count.fract() == 0.0;
    if is_whole {
        return write_number(out, (count as u64) << 1);
    }
    out.push(1);
    write_float(out, count);
}

fn read_count(bytes: &mut &[u8]) -> Option<f64> {
    match read_number(bytes)? {
        1 => read_float(bytes),
        even if even % 2 == 0 => Some((even >> 1) as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_comes_back() {
        let span = |offset, length| Span { offset, length };
        let full = Histogram {
            reset: CounterReset::Gauge,
            schema: -53,
            zero_threshold: 1e-128,
            zero_count: 3.0,
            count: 1e300,
            sum: -0.25,
            positive_spans: vec![span(-7, 2), span(1_000, 1)],
            positive_buckets: vec![0.0, -1.0, WHOLE_END],
            negative_spans: vec![span(3, 1)],
            negative_buckets: vec![1.5],
            custom_bounds: [0.5, 2.0].into(),
        };
        for histogram in [full, Histogram::default()] {
            let mut bytes = Vec::new();
            write_histogram(&mut bytes, &histogram);
            let mut rest = &bytes[..];
            assert_eq!(read_histogram(&mut rest), Some(histogram));
            assert!(rest.is_empty());
            for length in 0..bytes.len() {
                assert_eq!(read_histogram(&mut &bytes[..length]), None);
            }
        }
        let mut stale = Vec::new();
        write_histogram(&mut stale, &Histogram::stale());
        assert!(read_histogram(&mut &stale[..]).is_some_and(|read| read.is_stale()));
        assert_eq!(stale.len(), 1);
    }
}
