//! What a request holds, checked and kept until all of it is read: a request whose end cannot be read leaves nothing behind.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::cache::Fingerprint;
use super::write::{Failed, Outcome, Reason, Writer};
use crate::api::views::Exemplar;
use crate::remote::decode::{Message, Series, Sink, WireExemplar, WireMetadata};
use crate::series::{AppendError, Appended, HistogramSample, Labels, METRIC_NAME, MetricMetadata, Sample, SeriesRef};

/// The longest labels of an exemplar, in characters: OpenMetrics' limit, which Prometheus holds to.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// A series of the request.
struct Known {
    fingerprint: Fingerprint,
    /// Its labels among all of the request.
    labels: Range<usize>,
}

/// A request while it is read.
pub(super) struct Batch<'w, 'a> {
    writer: &'w Writer,
    message: Message,
    /// Times that are stored.
    times_ms: RangeInclusive<i64>,
    outcome: Outcome,
    labels: Vec<(&'a str, &'a str)>,
    series: Vec<Known>,
    /// Each with the place of its series.
    samples: Vec<(usize, Sample)>,
    histograms: Vec<(usize, HistogramSample)>,
    exemplars: Vec<(usize, Exemplar)>,
    metadata: Vec<(&'a str, WireMetadata<'a>)>,
}

impl<'a> Sink<'a> for Batch<'_, 'a> {
    fn series(&mut self, series: &mut Series<'a>) {
        let count = series.samples.len() + series.histograms.len() + series.exemplars.len();
        if !put_in_order(&mut series.labels) {
            return self.outcome.reject(Reason::InvalidLabels, count.max(1), || format!("{:?}", series.labels));
        }
        if self.message == Message::V2 && !series.samples.is_empty() && !series.histograms.is_empty() {
            return self.outcome.reject(Reason::Mixed, count, || format!("{:?}", series.labels));
        }
        let place = self.series.len();
        let fingerprint = self.writer.cache.fingerprint(&series.labels);
        let from = self.labels.len();
        self.labels.extend_from_slice(&series.labels);
        self.series.push(Known { fingerprint, labels: from..self.labels.len() });
        for sample in &series.samples {
            if self.is_in_time(place, sample.timestamp_ms) {
                self.samples.push((place, *sample));
            }
        }
        for histogram in series.histograms.drain(..) {
            self.histogram(place, histogram);
        }
        for exemplar in &series.exemplars {
            self.exemplar(place, exemplar);
        }
        let name = series.labels.iter().find(|(name, _)| *name == METRIC_NAME);
        if let (Some((_, name)), Some(metadata)) = (name, series.metadata) {
            self.metadata(name, metadata);
        }
    }

    fn metadata(&mut self, metric: &'a str, metadata: WireMetadata<'a>) {
        if !metric.is_empty() {
            self.metadata.push((metric, metadata));
        }
    }
}

impl<'w, 'a> Batch<'w, 'a> {
    pub fn new(writer: &'w Writer, message: Message, times_ms: RangeInclusive<i64>) -> Self {
        Self {
            writer,
            message,
            times_ms,
            outcome: Outcome::default(),
            labels: Vec::new(),
            series: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        }
    }

    fn labels_of(&self, place: usize) -> &[(&'a str, &'a str)] {
        &self.labels[self.series[place].labels.clone()]
    }

    fn is_in_time(&mut self, place: usize, timestamp_ms: i64) -> bool {
        if self.times_ms.contains(&timestamp_ms) {
            return true;
        }
        let reason = if timestamp_ms > *self.times_ms.end() { Reason::TooNew } else { Reason::TooOld };
        let example = format!("{:?} at {timestamp_ms}", self.labels_of(place));
        self.outcome.reject(reason, 1, || example);
        false
    }

    fn histogram(&mut self, place: usize, histogram: crate::remote::decode::WireHistogram) {
        match histogram {
            Ok((timestamp_ms, histogram)) => {
                if self.is_in_time(place, timestamp_ms) {
                    self.histograms.push((place, HistogramSample { timestamp_ms, histogram: Arc::new(histogram) }));
                }
            }
            Err(problem) => {
                let example = format!("{:?}: {problem}", self.labels_of(place));
                self.outcome.reject(Reason::InvalidHistogram, 1, || example);
            }
        }
    }

    fn exemplar(&mut self, place: usize, wire: &WireExemplar<'a>) {
        let chars: usize = wire.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        if chars > EXEMPLAR_CHARS_MAX || wire.timestamp_ms > *self.times_ms.end() {
            let example = format!("{:?}", wire.labels);
            return self.outcome.reject(Reason::InvalidExemplar, 1, || example);
        }
        let labels = Labels::new(wire.labels.iter().copied());
        self.exemplars.push((place, Exemplar { labels, value: wire.value, timestamp_ms: wire.timestamp_ms }));
    }

    /// Stores all that was kept.
    pub fn store(mut self) -> Result<Outcome, Failed> {
        let mut refs: Vec<SeriesRef> = (0..self.series.len()).map(|place| self.find(place)).collect();
        let (samples, histograms) = (std::mem::take(&mut self.samples), std::mem::take(&mut self.histograms));
        let store = self.writer.ingest.clone();
        let done = self.append(&samples, &mut refs, |batch, gone| store.append_resolved(batch, gone))?;
        self.outcome.samples = done.stored;
        let done = self.append(&histograms, &mut refs, |batch, gone| store.append_histograms(batch, gone))?;
        self.outcome.histograms = done.stored;
        for (place, exemplar) in std::mem::take(&mut self.exemplars) {
            self.writer.ingest.append_exemplar(refs[place], exemplar);
            self.outcome.exemplars += 1;
        }
        for (metric, metadata) in &self.metadata {
            let (kind, help, unit) = (metadata.kind.to_owned(), metadata.help.to_owned(), metadata.unit.to_owned());
            self.writer.metadata.note(family(metric, metadata.kind), &MetricMetadata { kind, help, unit });
        }
        Ok(self.outcome)
    }

    fn find(&self, place: usize) -> SeriesRef {
        let fingerprint = self.series[place].fingerprint;
        self.writer.cache.get(fingerprint).unwrap_or_else(|| self.resolve(place))
    }

    fn resolve(&self, place: usize) -> SeriesRef {
        let found = self.writer.ingest.resolve(&Labels::new(self.labels_of(place).iter().copied()));
        self.writer.cache.set(self.series[place].fingerprint, found);
        found
    }

    /// Appends; series that the store no longer knows are looked up anew, once.
    fn append<T: Clone>(
        &mut self,
        samples: &[(usize, T)],
        refs: &mut [SeriesRef],
        append: impl Fn(&[(SeriesRef, T)], &mut Vec<usize>) -> Result<Appended, AppendError>,
    ) -> Result<Appended, Failed> {
        if samples.is_empty() {
            return Ok(Appended::default());
        }
        let with_refs = |samples: &mut dyn Iterator<Item = &(usize, T)>, refs: &[SeriesRef]| -> Vec<(SeriesRef, T)> {
            samples.map(|(place, sample)| (refs[*place], sample.clone())).collect()
        };
        let mut gone = Vec::new();
        let mut done = append(&with_refs(&mut samples.iter(), refs), &mut gone)?;
        if !gone.is_empty() {
            for at in &gone {
                refs[samples[*at].0] = self.resolve(samples[*at].0);
            }
            let again = append(&with_refs(&mut gone.iter().map(|at| &samples[*at]), refs), &mut Vec::new())?;
            done.stored += again.stored;
            done.out_of_order += again.out_of_order;
            done.duplicate += again.duplicate;
            done.too_old += again.too_old;
        }
        self.outcome.reject(Reason::OutOfOrder, done.out_of_order, String::new);
        self.outcome.reject(Reason::Duplicate, done.duplicate, String::new);
        self.outcome.reject(Reason::TooOld, done.too_old, String::new);
        Ok(done)
    }
}

/// Sorts labels by name and leaves empty ones out. False if they name no series: then the metric's name is missing, or another name
/// is empty or comes twice.
fn put_in_order(labels: &mut Vec<(&str, &str)>) -> bool {
    if !labels.is_sorted_by(|a, b| a.0 <= b.0) {
        labels.sort_by(|a, b| a.0.cmp(b.0));
    }
    let is_unique = labels.windows(2).all(|pair| pair[0].0 != pair[1].0);
    labels.retain(|(_, value)| !value.is_empty());
    let has_name = labels.iter().any(|(name, _)| *name == METRIC_NAME);
    is_unique && has_name && labels.iter().all(|(name, _)| !name.is_empty())
}

/// The metric that a series of it belongs to.
fn family<'n>(name: &'n str, kind: &str) -> &'n str {
    let suffixes: &[&str] = match kind {
        "histogram" | "gaugehistogram" => &["_bucket", "_count", "_sum", "_gcount", "_gsum"],
        "summary" => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|family| !family.is_empty()).unwrap_or(name)
}
