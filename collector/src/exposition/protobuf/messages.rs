//! The messages of Prometheus' client model once more, for tests alone: made by prost, so that what is read by hand has something to
//! be compared with.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct MetricFamily {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub help: String,
    #[prost(int32, tag = "3")]
    pub kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    #[prost(string, tag = "5")]
    pub unit: String,
}

pub const COUNTER: i32 = 0;
pub const GAUGE: i32 = 1;
pub const SUMMARY: i32 = 2;
pub const UNTYPED: i32 = 3;
pub const HISTOGRAM: i32 = 4;
pub const GAUGE_HISTOGRAM: i32 = 5;

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Number>,
    #[prost(message, optional, tag = "4")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Number>,
    #[prost(int64, tag = "6")]
    pub timestamp_ms: i64,
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelPair {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A counter, a gauge, or what has no type. Go's client writes also a value of 0.
#[derive(Clone, PartialEq, Message)]
pub struct Number {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "2")]
    pub exemplar: Option<Exemplar>,
    #[prost(message, optional, tag = "3")]
    pub created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    #[prost(double, tag = "2")]
    pub sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub quantile: Vec<Quantile>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Quantile {
    #[prost(double, tag = "1")]
    pub quantile: f64,
    #[prost(double, tag = "2")]
    pub value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    #[prost(double, tag = "2")]
    pub sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    #[prost(double, tag = "4")]
    pub sample_count_float: f64,
    #[prost(sint32, tag = "5")]
    pub schema: i32,
    #[prost(double, tag = "6")]
    pub zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    pub zero_count: u64,
    #[prost(double, tag = "8")]
    pub zero_count_float: f64,
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "10")]
    pub negative_delta: Vec<i64>,
    #[prost(double, repeated, tag = "11")]
    pub negative_count: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    pub positive_delta: Vec<i64>,
    #[prost(double, repeated, tag = "14")]
    pub positive_count: Vec<f64>,
    #[prost(message, optional, tag = "15")]
    pub created_timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Bucket {
    #[prost(uint64, tag = "1")]
    pub cumulative_count: u64,
    #[prost(double, tag = "2")]
    pub upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<Exemplar>,
    #[prost(double, tag = "4")]
    pub cumulative_count_float: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BucketSpan {
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    pub value: f64,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Families as a target answers them.
pub fn answer(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

/// Labels of a metric.
pub fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    pairs.iter().map(|(name, value)| LabelPair { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
}

/// A family with one metric.
pub fn family(name: &str, kind: i32, metric: Metric) -> MetricFamily {
    MetricFamily { name: name.to_owned(), kind, metric: vec![metric], ..MetricFamily::default() }
}

/// A plain value.
pub fn number(value: f64) -> Option<Number> {
    Some(Number { value: Some(value), ..Number::default() })
}

/// A histogram's bucket.
pub fn bucket(upper_bound: f64, cumulative_count: u64) -> Bucket {
    Bucket { upper_bound, cumulative_count, ..Bucket::default() }
}

/// An exemplar of a trace.
pub fn exemplar(trace: &str, value: f64, seconds: Option<i64>) -> Exemplar {
    let timestamp = seconds.map(|seconds| Timestamp { seconds, nanos: 0 });
    Exemplar { label: labels(&[("trace_id", trace)]), value, timestamp }
}

/// The same families as a text: all that a text can say of them.
pub fn text(families: &[MetricFamily]) -> String {
    const KINDS: [&str; 6] = ["counter", "gauge", "summary", "untyped", "histogram", "gaugehistogram"];
    let mut text = String::new();
    for family in families {
        let kind = KINDS[usize::try_from(family.kind).unwrap()];
        let name = quoted(&family.name);
        text.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
        for metric in &family.metric {
            lines(&mut text, family, metric);
        }
    }
    text
}

fn lines(text: &mut String, family: &MetricFamily, metric: &Metric) {
    let mut line = |suffix: &str, more: Option<(&str, f64)>, value: f64| {
        let own = metric.label.iter().map(|label| format!("{}={}", quoted(&label.name), quoted(&label.value)));
        let more = more.map(|(name, bound)| format!("{name}=\"{}\"", shown(bound)));
        let name = quoted(&format!("{}{suffix}", family.name));
        let parts: Vec<String> = std::iter::once(name).chain(own).chain(more).collect();
        text.push_str(&format!("{{{}}} {}", parts.join(","), shown(value)));
        if metric.timestamp_ms != 0 {
            text.push_str(&format!(" {}", metric.timestamp_ms));
        }
        text.push('\n');
    };
    let plain = [&metric.counter, &metric.gauge, &metric.untyped];
    for number in plain.into_iter().flatten() {
        line("", None, number.value.unwrap_or_default());
    }
    if let Some(summary) = &metric.summary {
        for quantile in &summary.quantile {
            line("", Some(("quantile", quantile.quantile)), quantile.value);
        }
        line("_sum", None, summary.sample_sum);
        line("_count", None, summary.sample_count as f64);
    }
    if let Some(histogram) = &metric.histogram {
        let either = |float: f64, integer: u64| if float == 0.0 { integer as f64 } else { float };
        let count = either(histogram.sample_count_float, histogram.sample_count);
        for bucket in &histogram.bucket {
            let below = either(bucket.cumulative_count_float, bucket.cumulative_count);
            line("_bucket", Some(("le", bucket.upper_bound)), below);
        }
        if histogram.bucket.last().is_none_or(|bucket| bucket.upper_bound < f64::INFINITY) {
            line("_bucket", Some(("le", f64::INFINITY)), count);
        }
        line("_sum", None, histogram.sample_sum);
        line("_count", None, count);
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn shown(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { format!("{value:?}") }
}
