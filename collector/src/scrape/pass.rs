//! One text of a target becomes one batch: lines that the target printed last time cost a comparison, others are read,
//! labelled and looked up; what vanished gets a stale marker. Does no I/O and knows no clock. Lines are read in `reader`, families
//! of the protobuf format in `families`; what becomes of each sample, and what the limits say, is in `taking`; what is new
//! stays only if the scrape goes well, which is for `settling`.

mod batch;
mod customs;
mod families;
mod histograms;
mod reader;
mod settling;
mod taking;

use std::collections::HashMap;

pub(super) use self::batch::Batch;
use self::families::FamilyReader;
use self::reader::Reader;
use super::cache::{Cache, Kind};
use super::labels::{normalize_bounds, stored_labels};
use super::report::ScrapeReport;
use crate::config::ScrapeJob;
use crate::exposition::{MediaType, Place, Problem, SeriesParts, parse_series};
use crate::series::{Ingest, Labels, METRIC_NAME, SeriesRef};

/// What one text held: each sample that was read is in the batch, or counted with what became of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Samples read.
    pub scraped: usize,
    /// Of them, those that metric relabelling kept.
    pub kept: usize,
    /// Of those not kept, the one whose labels fail the scrape.
    pub refused: usize,
    /// Of the kept, those of new series that the target's `series_limit` has no room for.
    pub shed: usize,
    /// Of the kept, those of series that had come before in the text.
    pub repeated: usize,
    /// Of the kept, those with a time too far ahead.
    pub ahead: usize,
    /// Series that this target had not printed before.
    pub added: usize,
    /// Series that the target holds now.
    pub series: usize,
    /// Lines that could not be read.
    pub problems: usize,
    /// The first of them.
    pub first_problem: Option<Problem>,
    /// The first series that was shed.
    pub first_shed: Option<Problem>,
}

impl Found {
    fn note_problem(&mut self, place: impl Into<Place>, text: &str, reason: &'static str) {
        self.problems += 1;
        if self.first_problem.is_none() {
            self.first_problem = Some(Problem::new(place, text, reason));
        }
    }
}

/// What a pass works with.
pub(super) struct Pass<'a> {
    pub job: &'a ScrapeJob,
    pub target: &'a Labels,
    /// How many series the target may hold at once.
    pub series_max: Option<usize>,
    pub store: &'a dyn Ingest,
    pub report: &'a ScrapeReport,
    pub cache: &'a mut Cache,
    pub batch: &'a mut Batch,
}

impl Pass<'_> {
    /// Reads an answer into the batch, and says what it held and whether a limit failed it: the batch then holds stale markers
    /// for all of the target's series, and no samples.
    pub fn read(mut self, body: &[u8], media_type: MediaType, at_ms: i64) -> (Found, Result<(), String>) {
        self.batch.clear();
        self.cache.begin();
        let (mut found, read) = match media_type {
            MediaType::Text(format) => {
                let mut reader = Reader::new(&mut self, format, at_ms);
                let read = match std::str::from_utf8(body) {
                    Ok(text) => reader.read(text),
                    Err(_) => reader.read_damaged(body),
                };
                (reader.found(), read)
            }
            MediaType::Protobuf => {
                let mut reader = FamilyReader::new(&mut self, at_ms);
                let read = reader.read(body);
                (reader.found(), read)
            }
        };
        match read {
            Ok(()) => {
                found.series = self.cache.series_printed();
                let vanished = self.cache.end(self.job.track_timestamps_staleness || !self.job.honor_timestamps);
                self.batch.stale(vanished, at_ms);
            }
            Err(_) => self.fail(at_ms),
        }
        (found, read)
    }

    /// Fills the batch for a scrape that gave nothing.
    pub fn fail(self, at_ms: i64) {
        self.batch.clear();
        let live = self.cache.all_live();
        self.batch.stale(live, at_ms);
    }

    /// Looks up series again whose handles the store no longer knows; the batch becomes what was lost of them.
    pub fn again(self, mut lost: Batch) {
        let mut renewed: HashMap<SeriesRef, Option<SeriesRef>> = lost.series().map(|old| (old, None)).collect();
        for place in self.cache.places_of(|series| renewed.contains_key(&series)) {
            let Kind::Series(old) = self.cache.kind(place) else { continue };
            let Ok(parts) = parts_of(|name| self.report.kind_of(name), self.cache.key(place)) else { continue };
            if let Ok(Some(labels)) = stored_labels(self.job, self.target, parts) {
                let series = self.store.resolve(&labels);
                self.cache.set_kind(place, Kind::Series(series));
                renewed.insert(old, Some(series));
            }
        }
        lost.renew(|old| renewed.get(&old).copied().flatten());
        *self.batch = lost;
    }
}

/// A series' name and labels as the target prints them, bounds of buckets in their one form.
fn parts_of(kind_of: impl Fn(&str) -> String, series: &str) -> Result<SeriesParts<'_>, &'static str> {
    let mut parts = parse_series(series)?;
    if parts.iter().any(|(name, _)| name == "le" || name == "quantile") {
        let name = parts.iter().find(|(name, _)| name == METRIC_NAME).map(|(_, name)| name.clone());
        normalize_bounds(&kind_of(&name.unwrap_or_default()), &mut parts);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
