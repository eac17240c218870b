//! From a decoded request to series, as Prometheus 3.5 translates it. Pure; what cannot be translated is counted by its reason.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as ExemplarValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Exemplar as WireExemplar, ExponentialHistogram, Histogram as WireHistogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, Summary, SummaryDataPoint,
};

use protocol::number::{self, Exponent};

use super::attributes::{LabelMap, ResourceLabels, text};
use super::exponential;
use super::names::{self, Shape};
use crate::config::otlp::OtlpOptions;
use crate::series::{Histogram, METRIC_NAME, MetricMetadata, Sample, stale_nan};

/// The most data points of a request; 30 times what an SDK sends at once.
pub const POINTS_MAX: usize = 1 << 18;

/// The most buckets of a data point; OpenTelemetry's SDKs keep 160.
const BUCKETS_MAX: usize = 1 << 14;

/// The longest labels of an exemplar, in characters: OpenMetrics' limit.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Why a data point is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Of a sum or histogram that starts anew with each data point.
    Delta,
    /// Of a metric without a kind or a temporality that is known.
    Unknown,
    /// A histogram that contradicts itself.
    Invalid,
    /// More than a request may have.
    TooMany,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Delta, Self::Unknown, Self::Invalid, Self::TooMany];

    /// As a label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delta => "delta_temporality",
            Self::Unknown => "unknown_kind",
            Self::Invalid => "invalid_histogram",
            Self::TooMany => "too_many",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Delta => "have delta temporality: set the exporter to cumulative",
            Self::Unknown => "are of no kind that is known here",
            Self::Invalid => "are histograms that cannot be",
            Self::TooMany => "are more than a request may have",
        }
    }
}

/// One series with what came of it.
#[derive(Debug, Default, PartialEq)]
pub struct Row {
    /// With the metric's name.
    pub labels: LabelMap,
    /// Numbers.
    pub samples: Vec<Sample>,
    /// Native histograms, with their times.
    pub histograms: Vec<(i64, Histogram)>,
    /// Exemplars.
    pub exemplars: Vec<RowExemplar>,
}

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct RowExemplar {
    /// Its own labels.
    pub labels: LabelMap,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// What a request becomes.
#[derive(Debug, Default)]
pub struct Translated {
    /// Its series.
    pub rows: Vec<Row>,
    /// What it says of metrics.
    pub metadata: Vec<(String, MetricMetadata)>,
    /// Data points that are among the rows.
    pub points: usize,
    /// Data points that are not, by `Reason::ALL`.
    pub rejected: [usize; Reason::ALL.len()],
    /// Of which metric the first of them was, and what was wrong.
    example: String,
}

impl Translated {
    /// Data points that are left out.
    pub fn rejected_count(&self) -> usize {
        self.rejected.iter().sum()
    }

    /// What to tell the sender of them.
    pub fn problem(&self) -> Option<String> {
        let some = Reason::ALL.iter().zip(self.rejected).filter(|(_, count)| *count > 0);
        let some: Vec<String> = some.map(|(reason, count)| format!("{count} data points {}", reason.words())).collect();
        (!some.is_empty()).then(|| format!("{} (such as {})", some.join("; "), self.example))
    }

    fn reject(&mut self, reason: Reason, count: usize, metric: &str, detail: &str) {
        self.rejected[reason as usize] += count;
        if count > 0 && self.example.is_empty() {
            self.example = if detail.is_empty() { metric.to_owned() } else { format!("{metric}: {detail}") };
        }
    }
}

/// Translates a request.
pub fn translate(request: &ExportMetricsServiceRequest, options: &OtlpOptions) -> Translated {
    let mut translated = Translated::default();
    for resource_metrics in &request.resource_metrics {
        let resource = ResourceLabels::new(resource_metrics.resource.as_ref(), options);
        let mut translator = Translator { options, resource, newest_ns: 0, translated: &mut translated };
        translator.resource_metrics(resource_metrics);
    }
    translated
}

struct Translator<'t> {
    options: &'t OtlpOptions,
    resource: ResourceLabels,
    newest_ns: u64,
    translated: &'t mut Translated,
}

impl Translator<'_> {
    fn resource_metrics(&mut self, wire: &ResourceMetrics) {
        for metric in wire.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            self.metric(metric);
        }
        if self.newest_ns > 0
            && let Some(labels) = self.resource.target_info(wire.resource.as_ref(), self.options)
        {
            let sample = Sample { timestamp_ms: ms(self.newest_ns), value: 1.0 };
            self.translated.rows.push(Row { labels, samples: vec![sample], ..Row::default() });
        }
    }

    fn metric(&mut self, metric: &Metric) {
        let (count, temporality) = shape_of(metric.data.as_ref());
        let room = POINTS_MAX.saturating_sub(self.translated.points + self.translated.rejected_count());
        let refused = match temporality {
            _ if count > room => Some(Reason::TooMany),
            Some(AggregationTemporality::Delta) => Some(Reason::Delta),
            Some(AggregationTemporality::Unspecified) => Some(Reason::Unknown),
            Some(AggregationTemporality::Cumulative) | None => None,
        };
        let Some(data) = metric.data.as_ref().filter(|_| refused.is_none()) else {
            let reason = refused.unwrap_or(Reason::Unknown);
            return self.translated.reject(reason, count.max(1), &metric.name, "");
        };
        let (kind, shape) = match data {
            Data::Gauge(_) => ("gauge", Shape::Gauge),
            Data::Sum(sum) if sum.is_monotonic => ("counter", Shape::Counter),
            Data::Sum(_) => ("gauge", Shape::Other),
            Data::Histogram(_) | Data::ExponentialHistogram(_) => ("histogram", Shape::Other),
            Data::Summary(_) => ("summary", Shape::Other),
        };
        let name = names::metric(self.options.translation, &metric.name, &metric.unit, shape);
        match data {
            Data::Gauge(gauge) => self.numbers(&gauge.data_points, &name, false),
            Data::Sum(sum) => self.numbers(&sum.data_points, &name, true),
            Data::Histogram(histogram) if self.options.histograms_to_custom => self.customs(histogram, &name),
            Data::Histogram(histogram) => self.classics(histogram, &name),
            Data::ExponentialHistogram(histogram) => self.exponentials(histogram, &name),
            Data::Summary(summary) => self.summaries(summary, &name),
        }
        let (kind, help, unit) = (kind.to_owned(), metric.description.clone(), metric.unit.clone());
        self.translated.metadata.push((name, MetricMetadata { kind, help, unit }));
    }

    /// Labels of a data point's series.
    fn labels(&self, name: &str, attributes: &[KeyValue]) -> LabelMap {
        let mut labels = self.resource.with(attributes, self.options);
        labels.insert(METRIC_NAME.to_owned(), name.to_owned());
        labels
    }

    fn meet(&mut self, time_ns: u64) -> i64 {
        self.newest_ns = self.newest_ns.max(time_ns);
        self.translated.points += 1;
        ms(time_ns)
    }

    fn one(&mut self, labels: LabelMap, timestamp_ms: i64, value: f64, exemplars: Vec<RowExemplar>) {
        let samples = vec![Sample { timestamp_ms, value }];
        self.translated.rows.push(Row { labels, samples, exemplars, ..Row::default() });
    }

    fn numbers(&mut self, points: &[NumberDataPoint], name: &str, with_exemplars: bool) {
        for point in points {
            let timestamp_ms = self.meet(point.time_unix_nano);
            let value = match point.value {
                _ if is_gone(point.flags) => stale_nan(),
                Some(NumberValue::AsDouble(value)) => value,
                Some(NumberValue::AsInt(value)) => value as f64,
                None => 0.0,
            };
            let exemplars = if with_exemplars { exemplars(&point.exemplars) } else { Vec::new() };
            self.one(self.labels(name, &point.attributes), timestamp_ms, value, exemplars);
        }
    }

    /// A histogram as one series a bucket, a sum and a count.
    fn classics(&mut self, histogram: &WireHistogram, name: &str) {
        for point in &histogram.data_points {
            if point.bucket_counts.len() > BUCKETS_MAX {
                self.translated.reject(Reason::Invalid, 1, name, "it has too many buckets");
                continue;
            }
            let timestamp_ms = self.meet(point.time_unix_nano);
            self.classic(point, name, timestamp_ms);
        }
    }

    fn classic(&mut self, point: &HistogramDataPoint, name: &str, timestamp_ms: i64) {
        let stale = |value: f64| if is_gone(point.flags) { stale_nan() } else { value };
        let base = self.resource.with(&point.attributes, self.options);
        let series = |suffix: &str, bound: Option<f64>| {
            let mut labels = base.clone();
            labels.insert(METRIC_NAME.to_owned(), format!("{name}{suffix}"));
            if let Some(bound) = bound {
                labels.insert("le".to_owned(), bound_text(bound));
            }
            labels
        };
        if let Some(sum) = point.sum {
            self.one(series("_sum", None), timestamp_ms, stale(sum), Vec::new());
        }
        self.one(series("_count", None), timestamp_ms, stale(point.count as f64), Vec::new());
        let mut waiting = exemplars(&point.exemplars);
        let mut cumulative = 0u64;
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            cumulative = cumulative.saturating_add(*count);
            let (here, others) = waiting.into_iter().partition(|exemplar| exemplar.value <= *bound);
            waiting = others;
            self.one(series("_bucket", Some(*bound)), timestamp_ms, stale(cumulative as f64), here);
        }
        let labels = series("_bucket", Some(f64::INFINITY));
        self.one(labels, timestamp_ms, stale(point.count as f64), waiting);
    }

    fn customs(&mut self, histogram: &WireHistogram, name: &str) {
        for point in &histogram.data_points {
            let made = if point.bucket_counts.len() > BUCKETS_MAX {
                Err("it has too many buckets")
            } else {
                exponential::custom(point)
            };
            let times = (point.time_unix_nano, point.flags);
            self.native(made, times, name, &point.attributes, &point.exemplars);
        }
    }

    fn exponentials(&mut self, histogram: &ExponentialHistogram, name: &str) {
        for point in &histogram.data_points {
            let count = [&point.positive, &point.negative].into_iter().flatten().map(|side| side.bucket_counts.len());
            let made = if count.sum::<usize>() > BUCKETS_MAX {
                Err("it has too many buckets")
            } else {
                exponential::native(point)
            };
            let times = (point.time_unix_nano, point.flags);
            self.native(made, times, name, &point.attributes, &point.exemplars);
        }
    }

    fn native(
        &mut self,
        made: Result<Histogram, &'static str>,
        (time_ns, flags): (u64, u32),
        name: &str,
        attributes: &[KeyValue],
        wire_exemplars: &[WireExemplar],
    ) {
        let made = if is_gone(flags) { Ok(Histogram::stale()) } else { made };
        let histogram = match made {
            Ok(histogram) => histogram,
            Err(problem) => return self.translated.reject(Reason::Invalid, 1, name, problem),
        };
        let timestamp_ms = self.meet(time_ns);
        let labels = self.labels(name, attributes);
        let histograms = vec![(timestamp_ms, histogram)];
        let exemplars = exemplars(wire_exemplars);
        self.translated.rows.push(Row { labels, histograms, exemplars, ..Row::default() });
    }

    fn summaries(&mut self, summary: &Summary, name: &str) {
        for point in &summary.data_points {
            if point.quantile_values.len() > BUCKETS_MAX {
                self.translated.reject(Reason::Invalid, 1, name, "it has too many quantiles");
                continue;
            }
            let timestamp_ms = self.meet(point.time_unix_nano);
            self.summary(point, name, timestamp_ms);
        }
    }

    fn summary(&mut self, point: &SummaryDataPoint, name: &str, timestamp_ms: i64) {
        let stale = |value: f64| if is_gone(point.flags) { stale_nan() } else { value };
        let sum = self.labels(&format!("{name}_sum"), &point.attributes);
        self.one(sum, timestamp_ms, stale(point.sum), Vec::new());
        let count = self.labels(&format!("{name}_count"), &point.attributes);
        self.one(count, timestamp_ms, stale(point.count as f64), Vec::new());
        for quantile in &point.quantile_values {
            let mut labels = self.labels(name, &point.attributes);
            labels.insert("quantile".to_owned(), bound_text(quantile.quantile));
            self.one(labels, timestamp_ms, stale(quantile.value), Vec::new());
        }
    }
}

/// How many data points there are, and how they add up.
fn shape_of(data: Option<&Data>) -> (usize, Option<AggregationTemporality>) {
    let known = |wire: i32| Some(AggregationTemporality::try_from(wire).unwrap_or_default());
    match data {
        Some(Data::Gauge(gauge)) => (gauge.data_points.len(), None),
        Some(Data::Sum(sum)) => (sum.data_points.len(), known(sum.aggregation_temporality)),
        Some(Data::Histogram(one)) => (one.data_points.len(), known(one.aggregation_temporality)),
        Some(Data::ExponentialHistogram(one)) => (one.data_points.len(), known(one.aggregation_temporality)),
        Some(Data::Summary(summary)) => (summary.data_points.len(), None),
        None => (0, None),
    }
}

/// Whether a data point says that there is none.
fn is_gone(flags: u32) -> bool {
    flags & DataPointFlags::NoRecordedValueMask as u32 != 0
}

fn ms(time_ns: u64) -> i64 {
    i64::try_from(time_ns / 1_000_000).unwrap_or(i64::MAX)
}

/// A bound as Prometheus writes it in a label.
fn bound_text(bound: f64) -> String {
    number::text(bound, Exponent::Never)
}

fn exemplars(wire: &[WireExemplar]) -> Vec<RowExemplar> {
    wire.iter().filter_map(exemplar).collect()
}

/// An exemplar; its attributes only if they leave it short enough.
fn exemplar(wire: &WireExemplar) -> Option<RowExemplar> {
    let value = match wire.value? {
        ExemplarValue::AsDouble(value) => value,
        ExemplarValue::AsInt(value) => value as f64,
    };
    let mut labels = LabelMap::new();
    for (name, id) in [("trace_id", &wire.trace_id), ("span_id", &wire.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            labels.insert(name.to_owned(), id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    let others: LabelMap =
        wire.filtered_attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect();
    let chars = |labels: &LabelMap| -> usize {
        labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
    };
    if chars(&labels) + chars(&others) <= EXEMPLAR_CHARS_MAX {
        labels.extend(others);
    }
    Some(RowExemplar { labels, value, timestamp_ms: ms(wire.time_unix_nano) })
}

#[cfg(test)]
mod tests;
