//! Classic histograms of a text that are stored as ones of custom buckets (`convert_classic_histograms_to_nhcb`): their samples are
//! gathered, in whatever order they come, and put together at the text's end. A histogram is then a series like any other.

use std::borrow::Cow;
use std::collections::HashSet;

use indexmap::IndexMap;

use super::super::cache::Part;
use crate::api::views::Exemplar;
use crate::exposition::protobuf::series_text;
use crate::exposition::{Format, Line, Metadata, parse_exemplar, parse_line, parse_number, parse_series};
use crate::series::{Classic, Histogram, METRIC_NAME};

/// What follows the name of a histogram in the names of its parts.
const SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The time of an exemplar that has none.
const NO_TIME: i64 = i64::MIN;

/// A sample of a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartSample<'t> {
    pub line: usize,
    pub timestamp_ms: Option<i64>,
    pub value: f64,
    pub exemplar: Option<&'t str>,
}

/// A histogram, as a target might have printed it.
#[derive(Debug)]
pub(super) struct Custom {
    /// Where its first part stands.
    pub line: usize,
    /// Name and labels.
    pub series: String,
    pub timestamp_ms: Option<i64>,
    pub histogram: Result<Histogram, &'static str>,
    /// Those with times of their own.
    pub exemplars: Vec<Exemplar>,
}

/// What was gathered so far.
#[derive(Debug, Default)]
struct Gathered {
    line: usize,
    series: String,
    timestamp_ms: Option<i64>,
    classic: Classic,
    exemplars: Vec<Exemplar>,
}

/// The histograms of a text.
#[derive(Debug, Default)]
pub(super) struct Customs {
    /// Whether the parts are also stored as what they are.
    pub keeps_classic: bool,
    /// The family that the text is at, if it is one of histograms; else empty.
    family: String,
    /// By the hash of what would be the histogram's line.
    gathered: IndexMap<u64, Gathered>,
    /// Hashes of the parts that the target's lines do not know, and that were printed.
    printed: HashSet<u64>,
    /// Those for which there was no room at the first look.
    pub shed: Vec<Custom>,
}

impl Customs {
    pub fn new(keeps_classic: bool) -> Self {
        Self { keeps_classic, ..Self::default() }
    }

    /// Sees a line without a sample: it may begin a family.
    pub fn see(&mut self, line: &str, format: Format) {
        if let Ok(Line::Metadata(Metadata::Type, name, kind)) = parse_line(line, format) {
            self.family.clear();
            if kind == "histogram" {
                self.family.push_str(name);
            }
        }
    }

    /// The histogram that a series of the text is a part of, as it would be printed, and what it says of it.
    pub fn part_of(&self, series: &str) -> Option<(String, Part)> {
        if self.family.is_empty() { None } else { part(series).filter(|(name, ..)| *name == self.family).map(named) }
    }

    /// Whether a part that the target's lines do not know is printed for the first time, by the hash of its text.
    pub fn is_first(&mut self, series: u64) -> bool {
        self.printed.insert(series)
    }

    /// Whether one was.
    pub fn was_printed(&self, series: u64) -> bool {
        self.printed.contains(&series)
    }

    /// Takes a part's sample.
    pub fn gather(
        &mut self,
        histogram: u64,
        what: Part,
        series: &str,
        sample: PartSample<'_>,
    ) -> Result<(), &'static str> {
        let gathered = self.gathered.entry(histogram).or_insert_with(|| Gathered {
            line: sample.line,
            series: part(series).map(|described| named(described).0).unwrap_or_default(),
            timestamp_ms: sample.timestamp_ms,
            ..Gathered::default()
        });
        match what {
            Part::Bucket { bound_at } => {
                let bound = bound(series, bound_at).unwrap_or(f64::NAN);
                gathered.classic.buckets.push((bound, sample.value));
            }
            Part::Count => gathered.classic.count = Some(sample.value),
            Part::Sum => gathered.classic.sum = sample.value,
        }
        if let Some(text) = sample.exemplar {
            let exemplar = parse_exemplar(text, NO_TIME)?;
            // Without a time it counts for nothing, as in Prometheus.
            gathered.exemplars.extend(Some(exemplar).filter(|exemplar| exemplar.timestamp_ms != NO_TIME));
        }
        Ok(())
    }

    /// Puts together what was gathered.
    pub fn finish(&mut self) -> Vec<Custom> {
        let custom = |gathered: Gathered| Custom {
            line: gathered.line,
            series: gathered.series,
            timestamp_ms: gathered.timestamp_ms,
            histogram: gathered.classic.native(),
            exemplars: gathered.exemplars,
        };
        self.gathered.drain(..).map(|(_, gathered)| custom(gathered)).collect()
    }
}

/// The histogram's name and its labels.
type Described = (String, Vec<(String, String)>, Part);

/// What a series says of a histogram, by its name.
fn part(series: &str) -> Option<Described> {
    let parts = parse_series(series).ok()?;
    let name = parts.iter().find(|(label, _)| label == METRIC_NAME).map(|(_, name)| &**name)?;
    let suffix = SUFFIXES.into_iter().find(|suffix| name.ends_with(suffix))?;
    let what = match suffix {
        "_bucket" => {
            let (_, le) = parts.iter().find(|(label, _)| label == "le")?;
            let Cow::Borrowed(le) = le else { return None };
            let bound_at = u32::try_from(le.as_ptr().addr().checked_sub(series.as_ptr().addr())?).ok()?;
            bound(series, bound_at)?;
            Part::Bucket { bound_at }
        }
        "_count" => Part::Count,
        _ => Part::Sum,
    };
    let name = name[..name.len() - suffix.len()].to_owned();
    let others = parts.iter().filter(|(label, _)| label != METRIC_NAME && label != "le");
    Some((name, others.map(|(label, value)| (label.to_string(), value.to_string())).collect(), what))
}

fn named((name, labels, what): Described) -> (String, Part) {
    (series_text(&name, labels.iter().map(|(label, value)| (&**label, &**value))), what)
}

/// A bound whose text begins at a byte of its series.
fn bound(series: &str, at: u32) -> Option<f64> {
    let (text, _) = series.get(usize::try_from(at).ok()?..)?.split_once('"')?;
    parse_number(text).filter(|bound| !bound.is_nan())
}
