//! How much a job and its targets may bring in, checked. Judges nothing: that is for the scrapes.

use super::http::Wrong;
use super::raw::limits as raw;
use super::raw::parse_size;

/// Bounds of a job and its targets; `None` is no limit. What exceeds one fails the whole scrape, as in Prometheus, but for
/// `series`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Targets of the job, after relabelling: with more of them, each of its scrapes fails.
    pub targets: Option<usize>,
    /// Samples of a scrape after metric relabelling, without those that `series` sheds.
    pub samples: Option<usize>,
    /// Series that a target may hold at once, unless the target has a limit of its own. New ones beyond it are shed, those
    /// that are held go on: vmagent's `series_limit`, but for the series that there are now and not for those of a day.
    pub series: Option<usize>,
    /// Labels of a series.
    pub labels: Option<usize>,
    /// Bytes of a label's name.
    pub label_name_length: Option<usize>,
    /// Bytes of a label's value.
    pub label_value_length: Option<usize>,
    /// Bytes of the text, after decompression.
    pub body_bytes: Option<usize>,
    /// Targets not scraped that are listed one by one; fails nothing.
    pub dropped_targets: Option<usize>,
}

impl Limits {
    /// Checks what a job says, or `global`; what is not said there is `inherited`.
    pub(super) fn check(raw: &raw::Limits, inherited: Self) -> Result<Self, Wrong> {
        let body_bytes = raw.body_size_limit.as_deref().map(parse_size).transpose();
        let body_bytes = body_bytes.map_err(|message| ("body_size_limit", message))?.flatten();
        // As in Prometheus, a job that writes 0 has what it inherits.
        let limit = |own: Option<usize>, inherited: Option<usize>| own.filter(|own| *own > 0).or(inherited);
        Ok(Self {
            targets: limit(raw.target_limit, inherited.targets),
            samples: limit(raw.sample_limit, inherited.samples),
            // As in vmagent, a job that writes 0 has no such limit.
            series: raw.series_limit.map_or(inherited.series, series_max),
            labels: limit(raw.label_limit, inherited.labels),
            label_name_length: limit(raw.label_name_length_limit, inherited.label_name_length),
            label_value_length: limit(raw.label_value_length_limit, inherited.label_value_length),
            body_bytes: limit(body_bytes, inherited.body_bytes),
            dropped_targets: limit(raw.keep_dropped_targets, inherited.dropped_targets),
        })
    }

    /// Whether labels have limits.
    pub fn judge_labels(&self) -> bool {
        self.labels.is_some() || self.label_name_length.is_some() || self.label_value_length.is_some()
    }
}

/// What a `series_limit` means: as in vmagent, only what is more than 0 is a limit.
pub(crate) fn series_max(limit: i64) -> Option<usize> {
    usize::try_from(limit).ok().filter(|max| *max > 0)
}
