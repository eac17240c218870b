//! One text of a target becomes one batch: lines that the target printed last time cost a comparison, others are read,
//! labelled and looked up; what vanished gets a stale marker. Does no I/O and knows no clock.

use super::cache::{Cache, Kind};
use super::labels::{normalize_bounds, stored_labels};
use super::report::ScrapeReport;
use crate::config::ScrapeJob;
use crate::exposition::{
    Format, Line, Metadata, Problem, Reading, parse_exemplar, parse_line, parse_reading, parse_series,
};
use crate::series::{Ingest, Labels, Sample, SeriesRef, stale_nan};

/// How far a sample's own time may be ahead of the scrape: Prometheus' limit. A later one would keep out all that follows,
/// and the log's segment from being forgotten.
const AHEAD_MAX_MS: i64 = 600_000;

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
    /// For the first samples, the cache's place of the line they come from.
    places: Vec<usize>,
}

impl Batch {
    pub fn clear(&mut self) {
        self.samples.clear();
        self.places.clear();
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
        self.cache.mark_live(self.job.track_timestamps_staleness || !self.job.honor_timestamps);
        let vanished = self.cache.vanished();
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
        let mut samples = Vec::new();
        for position in gone {
            let Some(place) = self.batch.places.get(*position).copied() else { continue };
            let sample = self.batch.samples[*position].1;
            let Some(entry) = self.cache.entry_mut(place) else { continue };
            let kind = classify(self.job, self.target, self.store, self.report, entry.key());
            if let Ok(Ok(Kind::Series(series))) = kind {
                entry.kind = Kind::Series(series);
                samples.push((series, sample));
            }
        }
        self.batch.clear();
        self.batch.samples = samples;
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
                self.problem(rest.lines().next().unwrap_or_default(), "there is text after # EOF");
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

    /// The whole line as it came at this place last time: nothing to read.
    fn repeated<'t>(&mut self, rest: &'t str) -> Option<&'t str> {
        let (place, entry) = self.pass.cache.expected()?;
        let after = rest.strip_prefix(entry.text.as_str())?;
        let after = if after.is_empty() { after } else { after.strip_prefix('\n')? };
        let (kind, value, timestamp_ms) = (entry.kind, entry.value, entry.timestamp_ms);
        self.emit(place, kind, value, timestamp_ms);
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
            Ok(Line::Sample { series, reading }) => {
                let line = line.trim_start_matches([' ', '\t']);
                match self.place_of(line, series)? {
                    Ok(place) => self.sample(place, line, reading),
                    Err(reason) => self.problem(line, reason),
                }
            }
            Ok(silent) => self.silent(line, silent),
            Err(reason) => self.problem(line, reason),
        }
        Ok(after)
    }

    /// The series that came at this place last time, with something else behind it.
    fn same_series<'t>(&self, line: &'t str) -> Option<(usize, Result<Reading<'t>, &'static str>)> {
        let (place, entry) = self.pass.cache.expected()?;
        if matches!(entry.kind, Kind::Silent | Kind::End) {
            return None;
        }
        let after = line.strip_prefix(entry.key())?;
        let is_apart = after.starts_with([' ', '\t']) && !after.trim_start_matches([' ', '\t']).starts_with('{');
        is_apart.then(|| (place, parse_reading(after.strip_suffix('\r').unwrap_or(after), self.format)))
    }

    fn place_of(&mut self, line: &str, series: &str) -> Result<Result<usize, &'static str>, String> {
        if let Some(place) = self.pass.cache.find(series) {
            return Ok(Ok(place));
        }
        let pass = &mut *self.pass;
        let kind = match classify(pass.job, pass.target, pass.store, pass.report, series)? {
            Ok(kind) => kind,
            Err(reason) => return Ok(Err(reason)),
        };
        self.found.added += usize::from(matches!(kind, Kind::Series(_)));
        Ok(Ok(pass.cache.add(line, series.len(), kind)))
    }

    fn sample(&mut self, place: usize, line: &str, reading: Reading<'_>) {
        let timestamp_ms = reading.timestamp_ms.filter(|_| self.pass.job.honor_timestamps);
        let Some(entry) = self.pass.cache.entry_mut(place) else { return };
        let kind = entry.kind;
        // An exemplar that stands behind another value is not a new one.
        let exemplar = reading.exemplar.filter(|text| entry.seen == 0 || !entry.text.ends_with(text));
        entry.text.clear();
        entry.text.push_str(line);
        entry.value = reading.value;
        entry.timestamp_ms = timestamp_ms;
        self.emit(place, kind, reading.value, timestamp_ms);
        if let (Some(text), Kind::Series(series)) = (exemplar, kind) {
            match parse_exemplar(text, timestamp_ms.unwrap_or(self.at_ms)) {
                Ok(exemplar) => self.pass.store.append_exemplar(series, exemplar),
                Err(reason) => self.problem(line, reason),
            }
        }
    }

    fn silent(&mut self, line: &str, meaning: Line<'_>) {
        let place = match self.pass.cache.find(line) {
            Some(place) => place,
            None => {
                if let Line::Metadata(metadata, name, text) = meaning {
                    self.metadata(metadata, name, text);
                }
                let kind = if meaning == Line::Eof { Kind::End } else { Kind::Silent };
                self.pass.cache.add(line, line.len(), kind)
            }
        };
        let kind = self.pass.cache.entry(place).map_or(Kind::Silent, |entry| entry.kind);
        self.emit(place, kind, 0.0, None);
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

    fn emit(&mut self, place: usize, kind: Kind, value: f64, timestamp_ms: Option<i64>) {
        let first = self.pass.cache.touch(place);
        match kind {
            Kind::Silent => {}
            Kind::End => self.ended = true,
            Kind::Dropped => self.found.scraped += 1,
            Kind::Series(series) => {
                self.found.scraped += 1;
                self.found.kept += 1;
                if timestamp_ms.is_none() && !first {
                    return self.refused(place, "the series is printed twice");
                }
                if timestamp_ms.is_some_and(|own| own > self.at_ms.saturating_add(AHEAD_MAX_MS)) {
                    return self.refused(place, "the timestamp is more than 10 minutes ahead");
                }
                let sample = Sample { timestamp_ms: timestamp_ms.unwrap_or(self.at_ms), value };
                self.pass.batch.samples.push((series, sample));
                self.pass.batch.places.push(place);
            }
        }
    }

    /// A line that can be read, but not be stored.
    fn refused(&mut self, place: usize, reason: &'static str) {
        let line = self.pass.cache.entry(place).map(|entry| entry.text.clone());
        self.problem(&line.unwrap_or_default(), reason);
    }

    fn problem(&mut self, line: &str, reason: &'static str) {
        self.found.problems += 1;
        if self.found.first_problem.is_none() {
            self.found.first_problem = Some(Problem::new(self.line, line, reason));
        }
    }
}

#[cfg(test)]
mod tests;
