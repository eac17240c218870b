//! The families of an answer in the protobuf format. A series is remembered by the text that names it, as a line is: one that
//! comes again costs that text and a comparison. What a series means for the batch is for `taking`.

use std::fmt::Write;

use super::super::cache::Kind;
use super::taking::Taking;
use super::{Found, Pass};
use crate::exposition::Problem;
use crate::exposition::protobuf::{Family, NativeHistogram, SeriesAt, Sink, WireExemplar, read};

pub(super) struct FamilyReader<'p, 'a> {
    taking: Taking<'p, 'a>,
    /// What a family says of itself, as it is remembered.
    said: String,
}

impl<'p, 'a> FamilyReader<'p, 'a> {
    pub fn new(pass: &'p mut Pass<'a>, at_ms: i64) -> Self {
        Self { taking: Taking::new(pass, at_ms), said: String::new() }
    }

    /// What was read.
    pub fn found(self) -> Found {
        self.taking.found
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// If a limit is exceeded that fails the scrape.
    pub fn read(&mut self, body: &[u8]) -> Result<(), String> {
        self.look(body)?;
        self.taking.judge()?;
        if self.taking.begin_second() {
            self.look(body)?;
            self.taking.judge()?;
        }
        self.taking.settle();
        Ok(())
    }

    fn look(&mut self, body: &[u8]) -> Result<(), String> {
        let forms = self.taking.pass.job.histograms.forms;
        read(body, forms, self)
    }

    /// Where a series is remembered; `None` if there is nothing to be done about it.
    fn place_of(&mut self, series: &SeriesAt<'_>) -> Result<Option<u32>, String> {
        let cache = &*self.taking.pass.cache;
        let place = match cache.expected().filter(|place| cache.key(*place) == series.key) {
            Some(place) => place,
            None => match self.taking.place_of(series.key, series.place)? {
                Ok(Some(place)) => place,
                Ok(None) => return Ok(None),
                Err(reason) => {
                    self.problem(Problem::new(series.place, series.key, reason));
                    return Ok(None);
                }
            },
        };
        Ok(Some(place).filter(|place| !self.taking.passes_by(*place)))
    }

    /// A time of its own counts unless the job says otherwise.
    fn own_time(&self, series: &SeriesAt<'_>) -> Option<i64> {
        series.timestamp_ms.filter(|_| self.taking.pass.job.honor_timestamps)
    }

    fn note(&mut self, series: &SeriesAt<'_>, result: Result<(), &'static str>) {
        if let Err(reason) = result {
            self.taking.found.note_problem(series.place, series.key, reason);
        }
    }

    fn exemplar(&mut self, place: u32, exemplar: WireExemplar<'_>, sample_ms: i64) -> Result<(), &'static str> {
        if let Kind::Series(series) = self.taking.pass.cache.kind(place) {
            let (exemplar, _) = exemplar.read(sample_ms)?;
            self.taking.pass.batch.exemplars.push((series, exemplar));
        }
        Ok(())
    }
}

impl Sink for FamilyReader<'_, '_> {
    /// A limit that fails the scrape.
    type Stop = String;

    fn family(&mut self, family: &Family<'_>) {
        let Family { name, help, unit, kind, .. } = *family;
        self.said.clear();
        // To a text it cannot fail.
        let _ = write!(self.said, "# {name}\n{}\n{unit}\n{help}", kind.name());
        let cache = &*self.taking.pass.cache;
        let known = cache.expected().filter(|place| cache.key(*place) == self.said).or_else(|| cache.find(&self.said));
        let place = match known {
            Some(place) => Some(place),
            None if !self.taking.has_room() => None,
            None => {
                self.taking.note_metadata(name, |known| {
                    kind.name().clone_into(&mut known.kind);
                    help.clone_into(&mut known.help);
                    unit.clone_into(&mut known.unit);
                });
                self.taking.pass.cache.add(&self.said, Kind::Silent)
            }
        };
        if let Some(place) = place.filter(|place| !self.taking.passes_by(*place)) {
            // Nothing to be wrong with.
            let _ = self.taking.take(place, None, 0.0);
        }
    }

    fn number(&mut self, series: SeriesAt<'_>, value: f64, exemplar: Option<WireExemplar<'_>>) -> Result<(), String> {
        let Some(place) = self.place_of(&series)? else { return Ok(()) };
        let own_ms = self.own_time(&series);
        // An exemplar that stands behind another value is not a new one.
        let is_new = self.taking.pass.cache.note_exemplar(place, exemplar.map(|exemplar| exemplar.bytes()));
        let taken = self.taking.take(place, own_ms, value);
        self.note(&series, taken);
        if let Some(exemplar) = exemplar.filter(|_| is_new) {
            let kept = self.exemplar(place, exemplar, own_ms.unwrap_or(self.taking.at_ms));
            self.note(&series, kept);
        }
        Ok(())
    }

    fn histogram(&mut self, series: SeriesAt<'_>, histogram: &NativeHistogram<'_>) -> Result<(), String> {
        let Some(place) = self.place_of(&series)? else { return Ok(()) };
        let own_ms = self.own_time(&series);
        let taken = self.taking.take_histogram(place, own_ms, || histogram.histogram())?;
        self.note(&series, taken);
        let mut exemplars = Vec::new();
        for exemplar in histogram.exemplars() {
            match exemplar.read(0) {
                Ok((exemplar, true)) => exemplars.push(exemplar),
                Ok((_, false)) => {}
                Err(reason) => self.note(&series, Err(reason)),
            }
        }
        self.taking.take_exemplars(place, exemplars);
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        // Said when it is looked at first.
        if !self.taking.is_second() {
            self.taking.found.note_problem(problem.place, &problem.text, problem.reason);
        }
    }
}
