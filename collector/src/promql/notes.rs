//! What is to be said about a query beside its answer, in Prometheus' words, each thing once.

use std::fmt;

/// Warnings and infos of one evaluation, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Notes {
    warnings: Vec<Note>,
    infos: Vec<Note>,
}

/// A text, and where in the query it was last true.
#[derive(Debug)]
struct Note {
    text: String,
    place: String,
}

/// The most notes of each kind that are kept; Prometheus' API shows ten.
const NOTES_MAX: usize = 10;

/// What was done to histograms that did not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

/// What may be worth a note where native histograms take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark {
    /// A window holds numbers and histograms.
    MixedKinds,
    /// Exponential and custom buckets.
    MixedSchemas,
    NotCounter,
    NotGauge,
    /// One said that its counter was reset, another that it was not.
    Collision(Operation),
    /// Custom bounds that not all have are gone.
    Reconciled(Operation),
    /// A function of numbers has seen histograms, too.
    Ignored,
}

/// Remarks, each once.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

impl Remarks {
    pub fn add(&mut self, remark: Remark) {
        if !self.0.contains(&remark) {
            self.0.push(remark);
        }
    }

    /// Only this is worth saying.
    pub fn replace(&mut self, remark: Remark) {
        self.0 = vec![remark];
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another has.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|remark| self.add(*remark));
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

impl Notes {
    /// Something is wrong, at a place such as ` (1:7)`.
    pub fn warn(&mut self, text: &str, place: &str) {
        add(&mut self.warnings, format!("PromQL warning: {text}"), place);
    }

    /// Something is odd.
    pub fn info(&mut self, text: &str, place: &str) {
        add(&mut self.infos, format!("PromQL info: {text}"), place);
    }

    /// What was remarked about the series of a metric.
    pub fn remark(&mut self, remarks: &Remarks, metric: &str, place: &str) {
        for remark in &remarks.0 {
            match remark {
                Remark::MixedKinds => {
                    self.warn(&format!("encountered a mix of histograms and floats for metric name {metric:?}"), place);
                }
                Remark::MixedSchemas => {
                    let text = "vector contains a mix of histograms with exponential and custom buckets schemas";
                    self.warn(&format!("{text} for metric name {metric:?}"), place);
                }
                Remark::NotCounter => {
                    self.warn(&format!("this native histogram metric is not a counter: {metric:?}"), place);
                }
                Remark::NotGauge => {
                    self.warn(&format!("this native histogram metric is not a gauge: {metric:?}"), place);
                }
                Remark::Collision(operation) => {
                    self.warn(&format!("conflicting counter resets during histogram {operation}"), place);
                }
                Remark::Reconciled(operation) => {
                    self.info(&format!("mismatched custom buckets were reconciled during {operation}"), place);
                }
                Remark::Ignored => {
                    let text = "ignored histograms in a range containing both floats and histograms";
                    self.info(&format!("{text} for metric name {metric:?}"), place);
                }
            }
        }
    }

    /// Warnings, then infos.
    pub fn into_parts(self) -> (Vec<String>, Vec<String>) {
        let texts = |notes: Vec<Note>| notes.into_iter().map(|note| note.text + &note.place).collect();
        (texts(self.warnings), texts(self.infos))
    }
}

/// Adds a note; of the same text at several places, the last one counts.
fn add(notes: &mut Vec<Note>, text: String, place: &str) {
    if let Some(known) = notes.iter_mut().find(|known| known.text == text) {
        place.clone_into(&mut known.place);
    } else if notes.len() < NOTES_MAX {
        notes.push(Note { text, place: place.to_owned() });
    }
}
