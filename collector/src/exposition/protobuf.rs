//! Reads the protobuf format: a row of messages `io.prometheus.client.MetricFamily`, each with its length before it. Everything is
//! borrowed from the bytes, and a series is named by the text that the text formats would print, built in memory that is used again.
//! A metric that cannot be read is a problem beside the others. Never panics, stores nothing. Start at `read`.

mod histogram;
mod key;
mod message;
#[cfg(test)]
pub(crate) mod messages;
mod parsed;

use self::histogram::{Bucket, HistogramMessage};
pub use self::histogram::{NativeHistogram, WireExemplar};
pub(crate) use self::key::series_text;
use self::key::{Bounds, SeriesKey};
pub use self::message::{Family, FamilyKind};
use self::message::{Metric, Summary, number};
pub use self::parsed::{Parsed, ParsedSeries, ParsedValue, parse_protobuf};
use super::{Place, Problem};
use crate::wire::{Malformed, delimited};

/// In which forms histograms are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistogramForms {
    /// Native parts count (`scrape_native_histograms`); else only the classic ones do.
    pub native: bool,
    /// The classic series are taken beside a native histogram (`always_scrape_classic_histograms`).
    pub classic_always: bool,
    /// A histogram that is only classic becomes one of custom buckets (`convert_classic_histograms_to_nhcb`).
    pub custom: bool,
}

/// A series, and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct SeriesAt<'s> {
    /// Name and labels as the text formats print them; [`super::parse_series`] reads it.
    pub key: &'s str,
    /// Where its metric stands.
    pub place: Place,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// Takes what is read.
pub trait Sink {
    /// What ends the reading.
    type Stop;

    /// A family begins.
    fn family(&mut self, family: &Family<'_>);

    /// A series has this value.
    ///
    /// # Errors
    /// If nothing more is to be read.
    fn number(
        &mut self,
        series: SeriesAt<'_>,
        value: f64,
        exemplar: Option<WireExemplar<'_>>,
    ) -> Result<(), Self::Stop>;

    /// A series has this histogram, which is made when it is asked for.
    ///
    /// # Errors
    /// If nothing more is to be read.
    fn histogram(&mut self, series: SeriesAt<'_>, histogram: &NativeHistogram<'_>) -> Result<(), Self::Stop>;

    /// Something cannot be read.
    fn problem(&mut self, problem: Problem);
}

/// Reads a whole answer.
///
/// # Errors
/// What the sink said.
pub fn read<S: Sink>(body: &[u8], forms: HistogramForms, sink: &mut S) -> Result<(), S::Stop> {
    let (key, bounds) = (SeriesKey::default(), Bounds::default());
    let mut reader = Reader { forms, sink, key, bounds, buckets: Vec::new() };
    let (mut rest, mut number) = (body, 0);
    while !rest.is_empty() {
        number += 1;
        let place = Place::Family(number);
        match delimited(&mut rest) {
            Ok(message) => match Family::read(message) {
                Ok(family) => reader.family(number, &family)?,
                Err((name, reason)) => reader.sink.problem(Problem::new(place, name, reason)),
            },
            Err(malformed) => {
                // Where the next one begins nobody knows.
                reader.sink.problem(Problem::new(place, "", malformed.into()));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Why a metric is not read to its end.
enum End<T> {
    Damaged(&'static str),
    Stopped(T),
}

impl<T> From<&'static str> for End<T> {
    fn from(reason: &'static str) -> Self {
        Self::Damaged(reason)
    }
}

impl<T> From<Malformed> for End<T> {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(malformed.into())
    }
}

/// Why a metric of one type holds another's value, or none.
const NO_VALUE: &str = "the metric has no value of its family's type";

struct Reader<'a, 's, S> {
    forms: HistogramForms,
    sink: &'s mut S,
    key: SeriesKey,
    bounds: Bounds,
    buckets: Vec<Bucket<'a>>,
}

/// Where a metric stands, and its time.
#[derive(Clone, Copy)]
struct At {
    place: Place,
    timestamp_ms: Option<i64>,
}

impl At {
    fn of<'k>(&self, key: &'k str) -> SeriesAt<'k> {
        SeriesAt { key, place: self.place, timestamp_ms: self.timestamp_ms }
    }
}

impl<'a, S: Sink> Reader<'a, '_, S> {
    fn family(&mut self, number: usize, family: &Family<'a>) -> Result<(), S::Stop> {
        self.key.family(family.name);
        let mut metrics = family.metrics().peekable();
        if metrics.peek().is_some() {
            self.sink.family(family);
        }
        for (bytes, metric) in metrics.zip(1..) {
            let place = Place::Metric { family: number, metric };
            match self.metric(place, family.kind, bytes) {
                Ok(()) => {}
                Err(End::Damaged(reason)) => {
                    let text = self.key.series("", None);
                    self.sink.problem(Problem::new(place, text, reason));
                }
                Err(End::Stopped(stop)) => return Err(stop),
            }
        }
        Ok(())
    }

    fn metric(&mut self, place: Place, kind: FamilyKind, bytes: &'a [u8]) -> Result<(), End<S::Stop>> {
        let metric = Metric::read(bytes, kind, &mut self.key)?;
        let value = metric.value.ok_or(NO_VALUE)?;
        let at = At { place, timestamp_ms: metric.timestamp_ms };
        match kind {
            FamilyKind::Counter | FamilyKind::Gauge | FamilyKind::Untyped => {
                let (value, exemplar) = number(value)?;
                let exemplar = exemplar.filter(|_| kind == FamilyKind::Counter);
                let series = at.of(self.key.series("", None));
                self.sink.number(series, value, exemplar).map_err(End::Stopped)
            }
            FamilyKind::Summary => {
                let summary = Summary::read(value)?;
                self.summary(at, &summary).map_err(End::Stopped)
            }
            FamilyKind::Histogram | FamilyKind::GaugeHistogram => {
                let mut buckets = std::mem::take(&mut self.buckets);
                buckets.clear();
                let message = HistogramMessage::read(value, &mut buckets)?;
                let taken = self.histogram(at, kind == FamilyKind::GaugeHistogram, &message, &buckets);
                self.buckets = buckets;
                taken.map_err(End::Stopped)
            }
        }
    }

    fn summary(&mut self, at: At, summary: &Summary) -> Result<(), S::Stop> {
        let Self { key, sink, bounds, .. } = self;
        sink.number(at.of(key.series("_count", None)), summary.count, None)?;
        sink.number(at.of(key.series("_sum", None)), summary.sum, None)?;
        for (i, (quantile, value)) in summary.quantiles.iter().enumerate() {
            let series = key.series("", Some(("quantile", bounds.text(i, *quantile))));
            sink.number(at.of(series), *value, None)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        at: At,
        is_gauge: bool,
        message: &HistogramMessage<'_>,
        buckets: &[Bucket<'_>],
    ) -> Result<(), S::Stop> {
        let is_native = self.forms.native && message.is_native();
        let is_custom = !is_native && self.forms.custom && !is_gauge;
        if is_native || is_custom {
            let histogram = NativeHistogram { message, buckets, is_gauge, is_custom };
            self.sink.histogram(at.of(self.key.series("", None)), &histogram)?;
        }
        let is_classic = match (is_native, is_custom) {
            (true, _) => self.forms.classic_always && !buckets.is_empty(),
            (false, true) => self.forms.classic_always,
            (false, false) => true,
        };
        if is_classic { self.classic(at, message, buckets) } else { Ok(()) }
    }

    fn classic(&mut self, at: At, message: &HistogramMessage<'_>, buckets: &[Bucket<'_>]) -> Result<(), S::Stop> {
        let Self { key, sink, bounds, .. } = self;
        sink.number(at.of(key.series("_count", None)), message.count(), None)?;
        sink.number(at.of(key.series("_sum", None)), message.sum, None)?;
        for (i, bucket) in buckets.iter().enumerate() {
            let series = key.series("_bucket", Some(("le", bounds.text(i, bucket.bound))));
            sink.number(at.of(series), bucket.count, bucket.exemplar)?;
            if bucket.bound == f64::INFINITY {
                return Ok(());
            }
        }
        // Nobody needs to write the last one.
        sink.number(at.of(key.series("_bucket", Some(("le", "+Inf")))), message.count(), None)
    }
}

#[cfg(test)]
mod tests;
