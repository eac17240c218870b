//! One text of a target becomes one batch: lines that the target printed last time cost a comparison, others are read,
//! labelled and looked up; what vanished gets a stale marker. Does no I/O and knows no clock.

use std::collections::HashMap;

use super::cache::{Cache, Kind};
use super::labels::{normalize_bounds, stored_labels};
use super::report::ScrapeReport;
use crate::config::ScrapeJob;
use crate::exposition::{
    Format, Line, Metadata, Problem, Reading, leading_number, parse_exemplar, parse_line, parse_reading, parse_series,
};
use crate::series::{Ingest, Labels, Sample, SeriesRef, stale_nan};

/// How far a sample's own time may be ahead of the scrape: Prometheus' limit. A later one would keep out all that follows,
/// and the log's segment from being forgotten.
const AHEAD_MAX_MS: i64 = 600_000;

/// Why a line cannot be remembered: more than 4 GiB of names and labels.
const TOO_LONG: &str = "the target's lines are too long";

/// What one text held.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Samples read.
    pub scraped: usize,
    /// Of them, those that metric relabelling kept.
    pub kept: usize,
    /// Of them, those of series that this target had not printed before.
    pub added: usize,
    /// Lines that could not be read.
    pub problems: usize,
    /// The first of them.
    pub first_problem: Option<Problem>,
}

/// Samples to be appended together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub samples: Vec<(SeriesRef, Sample)>,
}

impl Batch {
    pub fn clear(&mut self) {
        self.samples.clear();
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<(SeriesRef, Sample)>()
    }

    /// Marks series as gone.
    pub fn stale(&mut self, series: Vec<SeriesRef>, timestamp_ms: i64) {
        let marker = Sample { timestamp_ms, value: stale_nan() };
        self.samples.extend(series.into_iter().map(|series| (series, marker)));
    }
}

/// What a pass works with.
pub(super) struct Pass<'a> {
    pub job: &'a ScrapeJob,
    pub target: &'a Labels,
    pub store: &'a dyn Ingest,
    pub report: &'a ScrapeReport,
    pub cache: &'a mut Cache,
    pub batch: &'a mut Batch,
}

impl Pass<'_> {
    /// Reads a text into the batch.
    ///
    /// # Errors
    /// If a limit is exceeded: the batch then holds stale markers for all of the target's series, and no samples.
    pub fn read(mut self, body: &[u8], format: Format, at_ms: i64) -> Result<Found, String> {
        self.batch.clear();
        self.cache.begin();
        let mut reader = Reader { pass: &mut self, format, at_ms, found: Found::default(), line: 0, ended: false };
        let read = match std::str::from_utf8(body) {
            Ok(text) => reader.text(text),
            Err(_) => reader.damaged_text(body),
        };
        let found = reader.found;
        if let Err(reason) = read {
            self.fail(at_ms);
            return Err(reason);
        }
        let vanished = self.cache.end(self.job.track_timestamps_staleness || !self.job.honor_timestamps);
        self.batch.stale(vanished, at_ms);
        Ok(found)
    }

    /// Fills the batch for a scrape that gave nothing.
    pub fn fail(self, at_ms: i64) {
        self.batch.clear();
        let live = self.cache.all_live();
        self.batch.stale(live, at_ms);
    }

    /// Looks up series again whose handles the store no longer knows, for another batch.
    pub fn again(self, gone: &[usize]) {
        let lost: Vec<(SeriesRef, Sample)> = gone.iter().map(|position| self.batch.samples[*position]).collect();
        let mut renewed: HashMap<SeriesRef, Option<SeriesRef>> = lost.iter().map(|(old, _)| (*old, None)).collect();
        for place in self.cache.places_of(|series| renewed.contains_key(&series)) {
            let Kind::Series(old) = self.cache.kind(place) else { continue };
            let kind = classify(self.job, self.target, self.store, self.report, self.cache.key(place));
            if let Ok(Ok(kind @ Kind::Series(series))) = kind {
                self.cache.set_kind(place, kind);
                renewed.insert(old, Some(series));
            }
        }
        let again = |(old, sample): &(SeriesRef, Sample)| Some(((*renewed.get(old)?)?, *sample));
        self.batch.clear();
        self.batch.samples.extend(lost.iter().filter_map(again));
    }
}

/// What a series that was not met before stands for. The outer error fails the scrape, the inner one is a problem.
fn classify(
    job: &ScrapeJob,
    target: &Labels,
    store: &dyn Ingest,
    report: &ScrapeReport,
    series: &str,
) -> Result<Result<Kind, &'static str>, String> {
    let mut parts = match parse_series(series) {
        Ok(parts) => parts,
        Err(reason) => return Ok(Err(reason)),
    };
    if parts.iter().any(|(name, _)| name == "le" || name == "quantile") {
        let name = parts.iter().find(|(name, _)| name == crate::series::METRIC_NAME).map(|(_, name)| name.clone());
        normalize_bounds(&report.kind_of(&name.unwrap_or_default()), &mut parts);
    }
    let labels = stored_labels(job, target, parts)?;
    Ok(Ok(labels.map_or(Kind::Dropped, |labels| Kind::Series(store.resolve(&labels)))))
}

struct Reader<'p, 'a> {
    pass: &'p mut Pass<'a>,
    format: Format,
    at_ms: i64,
    found: Found,
    line: usize,
    ended: bool,
}

impl Reader<'_, '_> {
    fn text(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text;
        while !rest.is_empty() {
            self.line += 1;
            if self.ended {
                self.problem(rest, "there is text after # EOF");
                return Ok(());
            }
            rest = match self.repeated(rest) {
                Some(after) => after,
                None => self.changed(rest)?,
            };
            if self.pass.job.limits.samples.is_some_and(|max| self.found.kept > max) {
                let max = self.pass.job.limits.samples.unwrap_or_default();
                return Err(format!("there are more samples than sample_limit ({max})"));
            }
        }
        if self.format == Format::OpenMetrics && !self.ended {
            self.problem("", "the text ends without # EOF: it may be cut short");
        }
        Ok(())
    }

    /// Lines that are not UTF-8 are problems; the others are read.
    fn damaged_text(&mut self, body: &[u8]) -> Result<(), String> {
        let mut good = String::with_capacity(body.len());
        for (i, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if i > 0 {
                good.push('\n');
            }
            match std::str::from_utf8(line) {
                Ok(line) => good.push_str(line),
                Err(_) => {
                    self.line = i + 1;
                    self.problem(&String::from_utf8_lossy(line), "the line is not UTF-8");
                }
            }
        }
        self.line = 0;
        self.text(&good)
    }

    /// The line that came at this place last time, with nothing behind it but a plain number: the usual case. All others
    /// are for [`Reader::changed`].
    fn repeated<'t>(&mut self, rest: &'t str) -> Option<&'t str> {
        let cache = &*self.pass.cache;
        let place = cache.expected()?;
        let after = rest.strip_prefix(cache.key(place))?;
        let kind = cache.kind(place);
        if matches!(kind, Kind::Silent | Kind::End) {
            let after = if after.is_empty() { after } else { after.strip_prefix('\n')? };
            self.emit(place, rest, None, 0.0);
            return Some(after);
        }
        let after = after.strip_prefix(' ')?;
        let (value, length) = leading_number(after.as_bytes())?;
        let after = after.get(length..)?;
        let after = if after.is_empty() { after } else { after.strip_prefix('\n')? };
        self.pass.cache.note_exemplar(place, None);
        self.emit(place, rest, None, value);
        Some(after)
    }

    fn changed<'t>(&mut self, rest: &'t str) -> Result<&'t str, String> {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if let Some((place, reading)) = self.same_series(line) {
            match reading {
                Ok(reading) => self.sample(place, line, reading),
                Err(reason) => self.problem(line, reason),
            }
            return Ok(after);
        }
        match parse_line(line, self.format) {
            Ok(Line::Sample { series, reading }) => match self.place_of(series)? {
                Ok(place) => self.sample(place, line, reading),
                Err(reason) => self.problem(line, reason),
            },
            Ok(silent) => self.silent(line, silent),
            Err(reason) => self.problem(line, reason),
        }
        Ok(after)
    }

    /// The series that came at this place last time, with something else behind it.
    fn same_series<'t>(&self, line: &'t str) -> Option<(u32, Result<Reading<'t>, &'static str>)> {
        let place = self.pass.cache.expected()?;
        if matches!(self.pass.cache.kind(place), Kind::Silent | Kind::End) {
            return None;
        }
        let after = line.strip_prefix(self.pass.cache.key(place))?;
        let is_apart = after.starts_with([' ', '\t']) && !after.trim_start_matches([' ', '\t']).starts_with('{');
        is_apart.then(|| (place, parse_reading(after.strip_suffix('\r').unwrap_or(after), self.format)))
    }

    fn place_of(&mut self, series: &str) -> Result<Result<u32, &'static str>, String> {
        if let Some(place) = self.pass.cache.find(series) {
            return Ok(Ok(place));
        }
        let pass = &mut *self.pass;
        let kind = match classify(pass.job, pass.target, pass.store, pass.report, series)? {
            Ok(kind) => kind,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(place) = pass.cache.add(series, kind) else { return Ok(Err(TOO_LONG)) };
        self.found.added += usize::from(matches!(kind, Kind::Series(_)));
        Ok(Ok(place))
    }

    fn sample(&mut self, place: u32, line: &str, reading: Reading<'_>) {
        let timestamp_ms = reading.timestamp_ms.filter(|_| self.pass.job.honor_timestamps);
        // An exemplar that stands behind another value is not a new one.
        let is_new = self.pass.cache.note_exemplar(place, reading.exemplar);
        self.emit(place, line, timestamp_ms, reading.value);
        let exemplar = reading.exemplar.filter(|_| is_new);
        if let (Some(text), Kind::Series(series)) = (exemplar, self.pass.cache.kind(place)) {
            match parse_exemplar(text, timestamp_ms.unwrap_or(self.at_ms)) {
                Ok(exemplar) => self.pass.store.append_exemplar(series, exemplar),
                Err(reason) => self.problem(line, reason),
            }
        }
    }

    fn silent(&mut self, line: &str, meaning: Line<'_>) {
        let place = match self.pass.cache.find(line) {
            Some(place) => Some(place),
            None => {
                if let Line::Metadata(metadata, name, text) = meaning {
                    self.metadata(metadata, name, text);
                }
                let kind = if meaning == Line::Eof { Kind::End } else { Kind::Silent };
                self.pass.cache.add(line, kind)
            }
        };
        match place {
            Some(place) => self.emit(place, line, None, 0.0),
            None => self.problem(line, TOO_LONG),
        }
    }

    fn metadata(&mut self, metadata: Metadata, name: &str, text: &str) {
        self.pass.report.note_metadata(name, |known| match metadata {
            // As OpenMetrics and Prometheus say it.
            Metadata::Type if text == "untyped" => "unknown".clone_into(&mut known.kind),
            Metadata::Type => text.clone_into(&mut known.kind),
            Metadata::Help => known.help = crate::exposition::unescape_help(text),
            Metadata::Unit => text.clone_into(&mut known.unit),
        });
    }

    /// Takes what a line stands for. `line` may go on behind the line.
    fn emit(&mut self, place: u32, line: &str, timestamp_ms: Option<i64>, value: f64) {
        let first = self.pass.cache.touch(place, timestamp_ms.is_some());
        match self.pass.cache.kind(place) {
            Kind::Silent => {}
            Kind::End => self.ended = true,
            Kind::Dropped => self.found.scraped += 1,
            Kind::Series(series) => {
                self.found.scraped += 1;
                self.found.kept += 1;
                if timestamp_ms.is_none() && !first {
                    return self.problem(line, "the series is printed twice");
                }
                if timestamp_ms.is_some_and(|own| own > self.at_ms.saturating_add(AHEAD_MAX_MS)) {
                    return self.problem(line, "the timestamp is more than 10 minutes ahead");
                }
                let sample = Sample { timestamp_ms: timestamp_ms.unwrap_or(self.at_ms), value };
                self.pass.batch.samples.push((series, sample));
            }
        }
    }

    fn problem(&mut self, line: &str, reason: &'static str) {
        self.found.problems += 1;
        if self.found.first_problem.is_none() {
            let line = line.lines().next().unwrap_or_default();
            self.found.first_problem = Some(Problem::new(self.line, line, reason));
        }
    }
}

#[cfg(test)]
mod tests;
