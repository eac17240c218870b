//! Everything that an answer in the protobuf format holds, kept: for tests, fuzzing and comparison. Scraping keeps nothing and reads
//! with a sink of its own.

use std::convert::Infallible;

use super::{Family, HistogramForms, NativeHistogram, SeriesAt, Sink, WireExemplar, read};
use crate::api::views::Exemplar;
use crate::exposition::Problem;
use crate::series::{Histogram, MetricMetadata};

/// What an answer holds.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    /// Names of families with what they say of themselves.
    pub families: Vec<(String, MetricMetadata)>,
    /// All series, in the order of the answer.
    pub series: Vec<ParsedSeries>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// A series at one time.
#[derive(Debug, PartialEq)]
pub struct ParsedSeries {
    /// Name and labels as the text formats print them.
    pub key: String,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// What it says.
    pub value: ParsedValue,
    /// With it; those of histograms have times of their own.
    pub exemplars: Vec<Exemplar>,
}

/// What a series says.
#[derive(Debug, PartialEq)]
pub enum ParsedValue {
    /// A number.
    Number(f64),
    /// A native histogram.
    Histogram(Histogram),
}

/// Reads an answer in the protobuf format. Never panics, whatever the bytes are.
pub fn parse_protobuf(body: &[u8], forms: HistogramForms) -> Parsed {
    let mut parsed = Parsed::default();
    let Ok(()) = read(body, forms, &mut parsed);
    parsed
}

impl Parsed {
    fn add(&mut self, at: SeriesAt<'_>, value: ParsedValue, exemplars: Vec<Exemplar>) {
        let (key, timestamp_ms) = (at.key.to_owned(), at.timestamp_ms);
        self.series.push(ParsedSeries { key, timestamp_ms, value, exemplars });
    }
}

impl Sink for Parsed {
    type Stop = Infallible;

    fn family(&mut self, family: &Family<'_>) {
        let (help, unit) = (family.help.to_owned(), family.unit.to_owned());
        self.families
            .push((family.name.to_owned(), MetricMetadata { kind: family.kind.name().to_owned(), help, unit }));
    }

    fn number(
        &mut self,
        series: SeriesAt<'_>,
        value: f64,
        exemplar: Option<WireExemplar<'_>>,
    ) -> Result<(), Infallible> {
        let mut exemplars = Vec::new();
        match exemplar.map(|exemplar| exemplar.read(series.timestamp_ms.unwrap_or_default())) {
            Some(Ok((exemplar, _))) => exemplars.push(exemplar),
            Some(Err(reason)) => self.problem(Problem::new(series.place, series.key, reason)),
            None => {}
        }
        self.add(series, ParsedValue::Number(value), exemplars);
        Ok(())
    }

    fn histogram(&mut self, series: SeriesAt<'_>, histogram: &NativeHistogram<'_>) -> Result<(), Infallible> {
        let mut exemplars = Vec::new();
        for exemplar in histogram.exemplars() {
            match exemplar.read(0) {
                Ok((exemplar, true)) => exemplars.push(exemplar),
                Ok((_, false)) => {}
                Err(reason) => self.problem(Problem::new(series.place, series.key, reason)),
            }
        }
        match histogram.histogram() {
            Ok(histogram) => self.add(series, ParsedValue::Histogram(histogram), exemplars),
            Err(reason) => self.problem(Problem::new(series.place, series.key, reason)),
        }
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}
