//! Native histograms on the wire: the same message in both versions.

use super::WireHistogram;
use crate::series::{Count, CounterReset, EncodedHistogram};
use crate::wire::alike::span;
use crate::wire::{Field, Fields, Malformed, unzigzag};

/// The longest histogram: 65,536 buckets at their longest, hundreds of times what a client library makes.
const HISTOGRAM_BYTES_MAX: usize = 1 << 20;

/// Reads a histogram; the outer error is about the message, the inner one about what it says.
pub(super) fn read(bytes: &[u8]) -> Result<WireHistogram, Malformed> {
    if bytes.len() > HISTOGRAM_BYTES_MAX {
        return Ok(Err("it is longer than 1 MiB"));
    }
    let (mut timestamp_ms, mut encoded) = (0, EncodedHistogram::default());
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            15 => timestamp_ms = field.int64()?,
            _ => read_field(&field, &mut encoded)?,
        }
    }
    Ok(encoded.decode().map(|histogram| (timestamp_ms, histogram)))
}

fn read_field(field: &Field<'_>, into: &mut EncodedHistogram) -> Result<(), Malformed> {
    match field.number {
        1 => into.count = Count::Integer(field.uint64()?),
        2 => into.count = Count::Float(field.double()?),
        3 => into.sum = field.double()?,
        4 => into.schema = field.sint32()?,
        5 => into.zero_threshold = field.double()?,
        6 => into.zero_count = Count::Integer(field.uint64()?),
        7 => into.zero_count = Count::Float(field.double()?),
        8 => into.negative.spans.push(span(field.bytes()?)?),
        9 => field.varints(|delta| into.negative.deltas.push(unzigzag(delta)))?,
        10 => field.doubles(|count| into.negative.counts.push(count))?,
        11 => into.positive.spans.push(span(field.bytes()?)?),
        12 => field.varints(|delta| into.positive.deltas.push(unzigzag(delta)))?,
        13 => field.doubles(|count| into.positive.counts.push(count))?,
        14 => {
            into.reset = match field.uint32()? {
                1 => CounterReset::Reset,
                2 => CounterReset::NotReset,
                3 => CounterReset::Gauge,
                _ => CounterReset::Unknown,
            }
        }
        16 => field.doubles(|bound| into.custom_bounds.push(bound))?,
        _ => {}
    }
    Ok(())
}
