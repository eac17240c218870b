//! `rate`, `increase`, `delta`, `irate` and `idelta` of histograms.

use super::Both;
use crate::promql::histogram::{self, Combined, Incompatible, Parts, Sign};
use crate::promql::notes::{Operation, Remark, Remarks};
use crate::promql::range::extrapolate::{Delta, Sampled};
use crate::promql::select::seconds;
use crate::series::{CounterReset, Histogram, HistogramSample};

/// The difference over the window, extrapolated to its edges.
pub(super) fn extrapolated(delta: Delta, window: &Both<'_>, remarks: &mut Remarks) -> Option<Histogram> {
    let samples = window.histograms;
    let [first, .., last] = samples else { return None };
    let difference = match difference(samples, delta.counter, remarks) {
        Ok(difference) => difference,
        Err(Incompatible) => {
            remarks.replace(Remark::MixedSchemas);
            return None;
        }
    };
    let sampled = Sampled {
        samples: samples.len(),
        first_ms: first.timestamp_ms,
        last_ms: last.timestamp_ms,
        start_ms: window.start_ms,
        end_ms: window.end_ms,
    };
    let mut factor = sampled.factor(delta.counter.then_some((first.histogram.count, difference.count)));
    if delta.per_second {
        factor /= seconds(window.range_ms);
    }
    Some(histogram::scaled(&difference, factor))
}

/// The last histogram minus the first; of a counter, plus what was lost by resets between.
fn difference(samples: &[HistogramSample], counter: bool, remarks: &mut Remarks) -> Result<Histogram, Incompatible> {
    let [first, .., last] = samples else { return Err(Incompatible) };
    let (first, last) = (&*first.histogram, &*last.histogram);
    let gauges = |histogram: &Histogram| histogram.reset == CounterReset::Gauge;
    if counter && samples.iter().any(|sample| gauges(&sample.histogram)) {
        remarks.add(Remark::NotCounter);
    }
    let both_gauges = gauges(first) && gauges(last);
    if !counter && !both_gauges {
        remarks.add(Remark::NotGauge);
    }
    // Of a counter that is reset right after the first sample, the first does not matter, nor does its layout.
    let second = &*samples[1].histogram;
    let nothing = (counter && histogram::was_reset(first, second)).then(|| Histogram {
        schema: second.schema,
        custom_bounds: second.custom_bounds.clone(),
        ..Histogram::default()
    });
    let base = nothing.as_ref().unwrap_or(first);
    let custom = histogram::is_custom(base);
    let relevant = || samples[1..].iter().map(|sample| &*sample.histogram).filter(|_| counter).chain([base, last]);
    if relevant().any(|histogram| histogram::is_custom(histogram) != custom) {
        return Err(Incompatible);
    }
    let mut parts = Parts::<f64>::of(last);
    parts.reduce(relevant().map(|histogram| histogram.schema).min().unwrap_or(last.schema));
    note(parts.add(base, Sign::Minus)?, Operation::Subtraction, remarks);
    if counter {
        let mut before = base;
        for sample in &samples[1..] {
            if histogram::was_reset(before, &sample.histogram) {
                note(parts.add(before, Sign::Plus)?, Operation::Addition, remarks);
            }
            before = &sample.histogram;
        }
    }
    Ok(Histogram { reset: CounterReset::Gauge, ..parts.finish() })
}

/// Resets that contradict each other are looked at one by one here, and not worth a remark.
fn note(how: Combined, operation: Operation, remarks: &mut Remarks) {
    if how.reconciled {
        remarks.add(Remark::Reconciled(operation));
    }
}

/// The difference of two histograms that follow each other; as a rate, a counter that was reset began again at zero.
pub(super) fn latest(before: &Histogram, last: &Histogram, as_rate: bool, remarks: &mut Remarks) -> Option<Histogram> {
    let gauge = |histogram: &Histogram| histogram.reset == CounterReset::Gauge;
    if as_rate && (gauge(before) || gauge(last)) {
        remarks.add(Remark::NotCounter);
    }
    let both_gauges = gauge(before) && gauge(last);
    if !as_rate && !both_gauges {
        remarks.add(Remark::NotGauge);
    }
    let mut parts = Parts::<f64>::of(last);
    if !as_rate || !histogram::was_reset(before, last) {
        match parts.add(before, Sign::Minus) {
            Ok(how) => note(how, Operation::Subtraction, remarks),
            Err(Incompatible) => {
                remarks.add(Remark::MixedSchemas);
                return None;
            }
        }
    }
    Some(Histogram { reset: CounterReset::Gauge, ..parts.finish() })
}
