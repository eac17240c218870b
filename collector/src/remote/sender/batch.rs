//! What one request carries, and how the two versions write it. Pure.

use std::collections::HashMap;
use std::ops::Range;

use super::queue::Kind;
use crate::series::{Histogram, METRIC_NAME, MetricMetadata, Span};
use crate::wire::{Fields, put};

/// A lane, a segment of it, and a series' number there.
type SeriesKey = (usize, u64, u32);

/// Things of some series, in the order in which they were put in.
#[derive(Debug, Default)]
pub struct Batch {
    texts: Vec<u8>,
    series: Vec<Range<usize>>,
    known: HashMap<SeriesKey, usize>,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    series: usize,
    timestamp_ms: i64,
    kind: Kind<Range<usize>>,
}

/// How many of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Numbers.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

/// What is known of metrics, by name.
pub type Metadata = HashMap<String, MetricMetadata>;

impl Batch {
    /// Adds something; `labels` are as 1.0 writes them.
    pub fn add(&mut self, key: SeriesKey, labels: &[u8], timestamp_ms: i64, kind: &Kind<&[u8]>) {
        let next = self.series.len();
        let series = *self.known.entry(key).or_insert(next);
        if series == next {
            let labels = keep(&mut self.texts, labels);
            self.series.push(labels);
        }
        let kind = match kind {
            Kind::Float(value) => Kind::Float(*value),
            Kind::Histogram(blob) => Kind::Histogram(keep(&mut self.texts, blob)),
            Kind::Exemplar(blob) => Kind::Exemplar(keep(&mut self.texts, blob)),
        };
        self.items.push(Item { series, timestamp_ms, kind });
    }

    /// Takes out what is older than it may be; says what that was.
    pub fn drop_before(&mut self, before_ms: i64) -> Tally {
        let before = self.tally();
        self.items.retain(|item| item.timestamp_ms >= before_ms);
        let after = self.tally();
        Tally {
            samples: before.samples - after.samples,
            histograms: before.histograms - after.histograms,
            exemplars: before.exemplars - after.exemplars,
        }
    }

    /// How many of each kind.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for item in &self.items {
            *match item.kind {
                Kind::Float(_) => &mut tally.samples,
                Kind::Histogram(_) => &mut tally.histograms,
                Kind::Exemplar(_) => &mut tally.exemplars,
            } += 1;
        }
        tally
    }

    /// The newest time.
    pub fn newest_ms(&self) -> i64 {
        self.items.iter().map(|item| item.timestamp_ms).max().unwrap_or(0)
    }

    /// Items of one series side by side. Where numbers and histograms alternate there are several runs, so that the receiver, which
    /// takes all of one kind first, meets them in order of time.
    fn runs(&mut self) -> Vec<Range<usize>> {
        self.items.sort_by_key(|item| item.series);
        let is_histogram = |item: &Item| match item.kind {
            Kind::Float(_) => Some(false),
            Kind::Histogram(_) => Some(true),
            Kind::Exemplar(_) => None,
        };
        let (mut runs, mut start, mut holds): (Vec<Range<usize>>, usize, Option<bool>) = (Vec::new(), 0, None);
        for (at, item) in self.items.iter().enumerate() {
            let kind = is_histogram(item);
            let is_other = kind.is_some() && holds.is_some() && kind != holds;
            if at > start && (item.series != self.items[start].series || is_other) {
                runs.push(start..at);
                (start, holds) = (at, None);
            }
            holds = kind.or(holds);
        }
        if start < self.items.len() {
            runs.push(start..self.items.len());
        }
        runs
    }

    /// `prometheus.WriteRequest`
    pub fn encode_v1(&mut self) -> Vec<u8> {
        let runs = self.runs();
        let (mut out, mut one, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        for run in runs {
            let items = &self.items[run];
            one.extend_from_slice(&self.texts[self.series[items[0].series].clone()]);
            for item in items {
                match &item.kind {
                    Kind::Float(value) => put::message(&mut one, 2, &mut scratch, |out| sample(out, *value, item)),
                    Kind::Exemplar(blob) => put::bytes(&mut one, 3, &self.texts[blob.clone()]),
                    Kind::Histogram(blob) => put::bytes(&mut one, 4, &self.texts[blob.clone()]),
                }
            }
            put::bytes(&mut out, 1, &one);
            one.clear();
        }
        out
    }

    /// `io.prometheus.write.v2.Request`
    pub fn encode_v2(&mut self, metadata: &Metadata) -> Vec<u8> {
        let runs = self.runs();
        let mut symbols = Symbols::default();
        let (mut out, mut one, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        for run in runs {
            let items = &self.items[run];
            let labels = &self.texts[self.series[items[0].series].clone()];
            let refs = symbols.labels(labels, 1);
            refs_field(&mut one, &refs);
            for item in items {
                match &item.kind {
                    Kind::Float(value) => put::message(&mut one, 2, &mut scratch, |out| sample(out, *value, item)),
                    Kind::Histogram(blob) => put::bytes(&mut one, 3, &self.texts[blob.clone()]),
                    Kind::Exemplar(blob) => {
                        let blob = &self.texts[blob.clone()];
                        let refs = symbols.labels(blob, 1);
                        put::message(&mut one, 4, &mut scratch, |out| exemplar(out, &refs, blob));
                    }
                }
            }
            if let Some(known) = name(labels).and_then(|name| known(metadata, name)) {
                let (help, unit) = (symbols.get(&known.help), symbols.get(&known.unit));
                put::message(&mut one, 5, &mut scratch, |out| {
                    put::uint64(out, 1, kind_number(&known.kind));
                    put::uint64(out, 3, help.into());
                    put::uint64(out, 4, unit.into());
                });
            }
            put::bytes(&mut out, 5, &one);
            one.clear();
        }
        // The table stands in front, as receivers that read once expect.
        let mut request = Vec::with_capacity(out.len() * 2);
        symbols.texts.iter().for_each(|text| put::bytes(&mut request, 4, text.as_bytes()));
        request.extend(out);
        request
    }
}

fn keep(texts: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = texts.len();
    texts.extend_from_slice(bytes);
    start..texts.len()
}

fn sample(out: &mut Vec<u8>, value: f64, item: &Item) {
    put::double(out, 1, value);
    put::int64(out, 2, item.timestamp_ms);
}

fn refs_field(out: &mut Vec<u8>, refs: &[u32]) {
    let mut row = Vec::with_capacity(refs.len() * 2);
    refs.iter().for_each(|reference| put::varint(&mut row, (*reference).into()));
    if !row.is_empty() {
        put::bytes(out, 1, &row);
    }
}

/// An exemplar of 1.0 with references for its labels.
fn exemplar(out: &mut Vec<u8>, refs: &[u32], v1: &[u8]) {
    refs_field(out, refs);
    for field in Fields(v1).flatten() {
        match field.number {
            2 => put::double(out, 2, field.double().unwrap_or_default()),
            3 => put::int64(out, 3, field.int64().unwrap_or_default()),
            _ => {}
        }
    }
}

/// Texts and their places.
struct Symbols<'a> {
    texts: Vec<&'a str>,
    places: HashMap<&'a str, u32>,
}

impl Default for Symbols<'_> {
    fn default() -> Self {
        Self { texts: vec![""], places: HashMap::from([("", 0)]) }
    }
}

impl<'a> Symbols<'a> {
    fn get(&mut self, text: &'a str) -> u32 {
        let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(text).or_insert(next);
        if place == next {
            self.texts.push(text);
        }
        place
    }

    /// References for labels that 1.0 wrote as fields of this number.
    fn labels(&mut self, labels: &'a [u8], number: u32) -> Vec<u32> {
        let mut refs = Vec::new();
        for (name, value) in pairs(labels, number) {
            refs.push(self.get(name));
            refs.push(self.get(value));
        }
        refs
    }
}

/// Labels as 1.0 writes them.
fn pairs(labels: &[u8], number: u32) -> impl Iterator<Item = (&str, &str)> {
    Fields(labels).flatten().filter(move |field| field.number == number).filter_map(|field| {
        let mut pair = ("", "");
        for part in Fields(field.bytes().ok()?).flatten() {
            match part.number {
                1 => pair.0 = part.text().ok()?,
                2 => pair.1 = part.text().ok()?,
                _ => {}
            }
        }
        Some(pair)
    })
}

fn name(labels: &[u8]) -> Option<&str> {
    pairs(labels, 1).find(|(name, _)| *name == METRIC_NAME).map(|(_, value)| value)
}

/// What is known of the metric that a series belongs to.
fn known<'m>(metadata: &'m Metadata, series: &str) -> Option<&'m MetricMetadata> {
    const SUFFIXES: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_info"];
    let families = SUFFIXES.iter().filter_map(|suffix| series.strip_suffix(suffix));
    metadata.get(series).or_else(|| families.filter_map(|family| metadata.get(family)).next())
}

/// A metric's type as both versions number it.
pub fn kind_number(kind: &str) -> u64 {
    match kind {
        "counter" => 1,
        "gauge" => 2,
        "histogram" => 3,
        "gaugehistogram" => 4,
        "summary" => 5,
        "info" => 6,
        "stateset" => 7,
        _ => 0,
    }
}

/// Labels as 1.0 writes them.
pub fn encode_labels<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>, out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    for (name, value) in labels {
        put::message(out, 1, &mut scratch, |out| {
            put::bytes(out, 1, name.as_bytes());
            put::bytes(out, 2, value.as_bytes());
        });
    }
}

/// A histogram as both versions write it: one of numbers, as it is stored.
pub fn encode_histogram(timestamp_ms: i64, histogram: &Histogram, out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    let mut spans = |out: &mut Vec<u8>, number, spans: &[Span]| {
        for span in spans {
            put::message(out, number, &mut scratch, |out| {
                put::uint64(out, 1, put::zigzag(span.offset.into()));
                put::uint64(out, 2, span.length.into());
            });
        }
    };
    let doubles = |out: &mut Vec<u8>, number, values: &[f64]| {
        if !values.is_empty() {
            let row: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            put::bytes(out, number, &row);
        }
    };
    put::double_always(out, 2, histogram.count);
    put::double(out, 3, histogram.sum);
    put::uint64(out, 4, put::zigzag(histogram.schema.into()));
    put::double(out, 5, histogram.zero_threshold);
    put::double_always(out, 7, histogram.zero_count);
    spans(out, 8, &histogram.negative_spans);
    doubles(out, 10, &histogram.negative_buckets);
    spans(out, 11, &histogram.positive_spans);
    doubles(out, 13, &histogram.positive_buckets);
    put::uint64(out, 14, histogram.reset as u64);
    put::int64(out, 15, timestamp_ms);
    doubles(out, 16, &histogram.custom_bounds);
}

/// What 1.0 says of metrics, in a request of its own.
pub fn encode_metadata<'m>(metadata: impl Iterator<Item = (&'m String, &'m MetricMetadata)>) -> Vec<u8> {
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    for (name, one) in metadata {
        put::message(&mut out, 3, &mut scratch, |out| {
            put::uint64(out, 1, kind_number(&one.kind));
            put::bytes(out, 2, name.as_bytes());
            put::bytes(out, 4, one.help.as_bytes());
            put::bytes(out, 5, one.unit.as_bytes());
        });
    }
    out
}

#[cfg(test)]
mod tests;
