//! What becomes of each sample of a text: it is taken into the batch, or it is counted with the reason why not. A target that
//! prints more series than its `series_limit` sheds new ones and goes on with those that it has. Reads no text, looks at no
//! value.

use std::collections::HashMap;

use super::super::cache::Kind;
use super::super::labels::{is_kept, stored_labels};
use super::{Found, Pass, parts_of};
use crate::exposition::{Place, Problem, parse_exemplar};
use crate::series::{Labels, MetricMetadata, Sample, SeriesRef};

/// How far a sample's own time may be ahead of the scrape: Prometheus' limit. A later one would keep out all that follows,
/// and the log's segment from being forgotten.
const AHEAD_MAX_MS: i64 = 600_000;

/// Why a line cannot be remembered: more than 4 GiB of names and labels.
pub(super) const TOO_LONG: &str = "the target's lines are too long";

/// What is wrong with a line of a series that the text has printed before: the first one counts, as in Prometheus.
pub(super) const PRINTED_TWICE: &str = "the series is printed twice";

/// Whether there is room for a series that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    /// The target holds as many series as it may, or has brought too many others of late: this one is shed.
    SeriesFull,
    /// One more sample fails the scrape: it is only counted, with all that follow.
    SamplesFull,
}

/// Takes in what a text says.
///
/// Its samples are looked at once; and once more if series were shed and others turned out to be gone, for which new ones
/// come in. So a target that prints no more series than it may loses none, also when all of them are others at once.
pub(super) struct Taking<'p, 'a> {
    pub pass: &'p mut Pass<'a>,
    pub at_ms: i64,
    pub found: Found,
    /// Whether the text's end was read.
    pub ended: bool,
    /// In the second look: the place in the cache from which on lines are new.
    second: Option<usize>,
    /// Whether a limit may yet fail the scrape: until it is known to go well, the store must not hear of new series.
    pub(super) may_fail: bool,
    /// What the text says of metrics and was not known.
    pub(super) metadata: HashMap<String, MetricMetadata>,
}

impl<'p, 'a> Taking<'p, 'a> {
    pub fn new(pass: &'p mut Pass<'a>, at_ms: i64) -> Self {
        if let Some(max) = pass.series_max {
            pass.cache.turnover.advance(at_ms, max);
        }
        let limits = pass.job.limits;
        let may_fail = limits.samples.is_some() || limits.judge_labels() || pass.job.histograms.buckets_max.is_some();
        Self { pass, at_ms, found: Found::default(), ended: false, second: None, may_fail, metadata: HashMap::new() }
    }

    pub fn is_second(&self) -> bool {
        self.second.is_some()
    }

    /// Begins the second look; `false` if none is needed.
    pub fn begin_second(&mut self) -> bool {
        let printed = self.pass.cache.series_printed();
        if self.found.shed == 0 || !self.has_room_beside(printed) {
            return false;
        }
        self.second = Some(self.pass.cache.rewind());
        self.found.first_shed = None;
        self.ended = false;
        true
    }

    /// In the second look: passes a line that the first has dealt with.
    pub fn passes_by(&mut self, place: u32) -> bool {
        let Some(new_from) = self.second else { return false };
        let is_known = (place as usize) < new_from;
        if is_known {
            self.ended |= self.pass.cache.kind(place) == Kind::End;
            self.pass.cache.pass_by(place);
        }
        is_known
    }

    /// Whether lines without samples, which are new, are to be remembered: what is said of series that are shed is not.
    pub fn has_room(&self) -> bool {
        self.room() == Room::Free
    }

    fn room(&self) -> Room {
        // What is known and was not printed may still come; the second look knows that it did not.
        let cache = &self.pass.cache;
        let held = if self.is_second() { cache.series_printed() } else { cache.series_known() };
        if !self.has_room_beside(held) {
            return Room::SeriesFull;
        }
        let is_full = self.pass.job.limits.samples.is_some_and(|max| self.judged() >= max);
        if is_full { Room::SamplesFull } else { Room::Free }
    }

    /// Whether `series_limit` lets in another series, where so many are held.
    fn has_room_beside(&self, held: usize) -> bool {
        self.pass.series_max.is_none_or(|max| held < max && self.pass.cache.turnover.has_room(max))
    }

    /// Samples that `sample_limit` counts: as in Prometheus, those that are to be stored.
    fn judged(&self) -> usize {
        self.found.kept - self.found.shed - self.found.repeated
    }

    /// An error if there are too many samples.
    pub fn judge(&self) -> Result<(), String> {
        match self.pass.job.limits.samples.filter(|max| self.judged() > *max) {
            Some(max) => Err(format!("there are more samples than sample_limit ({max})")),
            None => Ok(()),
        }
    }

    /// Where a series is remembered, now at the latest; `None` if there is no room for it, and it is counted. The outer error
    /// fails the scrape, the inner one is a problem of this line.
    pub fn place_of(
        &mut self,
        series: &str,
        line: impl Into<Place>,
    ) -> Result<Result<Option<u32>, &'static str>, String> {
        if let Some(place) = self.pass.cache.find(series) {
            return Ok(Ok(Some(place)));
        }
        let met = self.meet(series, line);
        // As in Prometheus, the last that was read, and not one that was kept.
        self.found.scraped += usize::from(met.is_err());
        self.found.refused += usize::from(met.is_err());
        met
    }

    /// A series that is not known.
    fn meet(&mut self, series: &str, line: impl Into<Place>) -> Result<Result<Option<u32>, &'static str>, String> {
        let room = self.room();
        if room != Room::Free && self.is_second() {
            self.note_shed(series, line);
            return Ok(Ok(None));
        }
        let parts = match parts_of(|name| self.kind_of(name), series) {
            Ok(parts) => parts,
            Err(reason) => return Ok(Err(reason)),
        };
        let pass = &*self.pass;
        let kind = if room == Room::Free {
            let labels = stored_labels(pass.job, pass.target, parts)?;
            labels.map_or(Kind::Dropped, |labels| Kind::Series(self.handle(&labels)))
        } else if is_kept(pass.job, pass.target, parts)? {
            self.found.scraped += 1;
            self.found.kept += 1;
            if room == Room::SeriesFull {
                self.found.shed += 1;
                self.note_shed(series, line);
            }
            return Ok(Ok(None));
        } else {
            Kind::Dropped
        };
        let pass = &mut *self.pass;
        let Some(place) = pass.cache.add(series, kind) else { return Ok(Err(TOO_LONG)) };
        if matches!(kind, Kind::Series(_)) {
            self.found.added += usize::from(!pass.cache.was_refused(series));
            if pass.series_max.is_some() {
                pass.cache.turnover.add();
            }
        }
        Ok(Ok(Some(place)))
    }

    /// A new series' handle, for now if the scrape may fail.
    fn handle(&self, labels: &Labels) -> SeriesRef {
        if self.may_fail { self.pass.cache.coming() } else { self.pass.store.resolve(labels) }
    }

    fn note_shed(&mut self, series: &str, line: impl Into<Place>) {
        let first = || Problem::new(line, series, "there is no room for this series");
        self.found.first_shed.get_or_insert_with(first);
    }

    /// Takes what a line stands for, or says what is wrong with its sample.
    pub fn take(&mut self, place: u32, timestamp_ms: Option<i64>, value: f64) -> Result<(), &'static str> {
        if let Some((series, timestamp_ms)) = self.admit(place, timestamp_ms)? {
            self.pass.batch.samples.push((series, Sample { timestamp_ms, value }));
        }
        Ok(())
    }

    /// Counts what a line stands for: the series that gets a sample and the sample's time, or what is wrong with it.
    pub(super) fn admit(
        &mut self,
        place: u32,
        timestamp_ms: Option<i64>,
    ) -> Result<Option<(SeriesRef, i64)>, &'static str> {
        let first = self.pass.cache.touch(place, timestamp_ms.is_some());
        let kind = self.pass.cache.kind(place);
        if self.is_second() && matches!(kind, Kind::Series(_) | Kind::Dropped) {
            // The first look has counted it.
            for count in [&mut self.found.scraped, &mut self.found.kept, &mut self.found.shed] {
                *count = count.saturating_sub(1);
            }
        }
        match kind {
            Kind::Part(..) if !first => return Err(PRINTED_TWICE),
            Kind::Silent | Kind::Part(..) => {}
            Kind::End => self.ended = true,
            Kind::Dropped => self.found.scraped += 1,
            Kind::Series(series) => {
                self.found.scraped += 1;
                self.found.kept += 1;
                if timestamp_ms.is_none() && !first {
                    self.found.repeated += 1;
                    return Err(PRINTED_TWICE);
                }
                if timestamp_ms.is_some_and(|own| own > self.at_ms.saturating_add(AHEAD_MAX_MS)) {
                    self.found.ahead += 1;
                    return Err("the timestamp is more than 10 minutes ahead");
                }
                return Ok(Some((series, timestamp_ms.unwrap_or(self.at_ms))));
            }
        }
        Ok(None)
    }

    /// Keeps the exemplar that stands behind a sample.
    pub fn exemplar(&mut self, place: u32, text: &str, sample_ms: Option<i64>) -> Result<(), &'static str> {
        if let Kind::Series(series) = self.pass.cache.kind(place) {
            let exemplar = parse_exemplar(text, sample_ms.unwrap_or(self.at_ms))?;
            self.pass.batch.exemplars.push((series, exemplar));
        }
        Ok(())
    }
}
