//! The lines of a text, one after another: those that came at this place last time are compared, others are read. What a line
//! means for the batch is for `taking`, but for the usual lines, which are for `usual`.

mod parts;
mod usual;

use super::super::cache::Kind;
use super::customs::Customs;
use super::taking::{TOO_LONG, Taking};
use super::{Found, Pass};
use crate::exposition::{Format, Line, Metadata, Reading, leading_number, parse_line, parse_reading, unescape_help};

pub(super) struct Reader<'p, 'a> {
    taking: Taking<'p, 'a>,
    format: Format,
    line: usize,
    customs: Option<Customs>,
}

impl<'p, 'a> Reader<'p, 'a> {
    pub fn new(pass: &'p mut Pass<'a>, format: Format, at_ms: i64) -> Self {
        let customs = Self::customs(pass.job);
        Self { taking: Taking::new(pass, at_ms), format, line: 0, customs }
    }

    /// What was read.
    pub fn found(self) -> Found {
        self.taking.found
    }

    /// Reads a text.
    ///
    /// # Errors
    /// If a limit is exceeded that fails the scrape.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        self.look(text)?;
        self.finish_customs()?;
        self.taking.judge()?;
        if self.taking.begin_second() {
            self.look(text)?;
            self.finish_customs()?;
            self.taking.judge()?;
        }
        self.taking.settle();
        Ok(())
    }

    /// Lines that are not UTF-8 are problems; the others are read.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_damaged(&mut self, body: &[u8]) -> Result<(), String> {
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
        self.read(&good)
    }

    fn look(&mut self, text: &str) -> Result<(), String> {
        self.line = 0;
        let mut rest = self.usual(text);
        while !rest.is_empty() {
            self.line += 1;
            if self.taking.ended {
                self.unreadable(rest, "there is text after # EOF");
                return Ok(());
            }
            rest = match self.repeated(rest) {
                Some(after) => after,
                None => self.changed(rest)?,
            };
            rest = self.usual(rest);
        }
        if self.format == Format::OpenMetrics && !self.taking.ended {
            self.unreadable("", "the text ends without # EOF: it may be cut short");
        }
        Ok(())
    }

    /// The line that came at this place last time, with nothing behind it but a number. All others are for
    /// [`Reader::changed`].
    fn repeated<'t>(&mut self, rest: &'t str) -> Option<&'t str> {
        let cache = &*self.taking.pass.cache;
        let place = cache.expected()?;
        let after = rest.strip_prefix(cache.key(place))?;
        let kind = cache.kind(place);
        if matches!(kind, Kind::Silent | Kind::End) {
            let after = if after.is_empty() { after } else { after.strip_prefix('\n')? };
            self.take(place, rest, 0.0);
            return Some(after);
        }
        let after = after.strip_prefix(' ')?;
        let (value, length) = leading_number(after.as_bytes())?;
        let after = after.get(length..)?;
        let after = if after.is_empty() { after } else { after.strip_prefix('\n')? };
        self.take(place, rest, value);
        Some(after)
    }

    fn changed<'t>(&mut self, rest: &'t str) -> Result<&'t str, String> {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if let Some((place, reading)) = self.same_series(line) {
            match reading {
                Ok(reading) => self.sample(place, line, reading),
                Err(reason) => self.unreadable(line, reason),
            }
            return Ok(after);
        }
        match parse_line(line, self.format) {
            Ok(Line::Sample { series, reading }) if self.take_part(series, line, reading) => {}
            Ok(Line::Sample { series, reading }) => match self.taking.place_of(series, self.line)? {
                Ok(Some(place)) => self.sample(place, line, reading),
                Ok(None) => self.take_shed_part(series, line, reading),
                Err(reason) => self.unreadable(line, reason),
            },
            Ok(silent) => self.silent(line, silent),
            Err(reason) => self.unreadable(line, reason),
        }
        Ok(after)
    }

    /// The series that came at this place last time, with something else behind it.
    fn same_series<'t>(&self, line: &'t str) -> Option<(u32, Result<Reading<'t>, &'static str>)> {
        let cache = &*self.taking.pass.cache;
        let place = cache.expected()?;
        if matches!(cache.kind(place), Kind::Silent | Kind::End) {
            return None;
        }
        let after = line.strip_prefix(cache.key(place))?;
        let is_apart = after.starts_with([' ', '\t']) && !after.trim_start_matches([' ', '\t']).starts_with('{');
        is_apart.then(|| (place, parse_reading(after.strip_suffix('\r').unwrap_or(after), self.format)))
    }

    fn sample(&mut self, place: u32, line: &str, reading: Reading<'_>) {
        if self.taking.passes_by(place) {
            return;
        }
        let timestamp_ms = reading.timestamp_ms.filter(|_| self.taking.pass.job.honor_timestamps);
        // An exemplar that stands behind another value is not a new one.
        let is_new = self.taking.pass.cache.note_exemplar(place, reading.exemplar.map(str::as_bytes));
        match self.taking.take(place, timestamp_ms, reading.value) {
            Ok(()) => self.see_known(place, line, Reading { timestamp_ms, ..reading }),
            Err(reason) => self.problem(line, reason),
        }
        if let Some(text) = reading.exemplar.filter(|_| is_new)
            && let Err(reason) = self.taking.exemplar(place, text, timestamp_ms)
        {
            self.problem(line, reason);
        }
    }

    fn silent(&mut self, line: &str, meaning: Line<'_>) {
        let kind = if meaning == Line::Eof { Kind::End } else { Kind::Silent };
        let place = match self.taking.pass.cache.find(line) {
            Some(place) => Some(place),
            None if kind == Kind::Silent && !self.taking.has_room() => return,
            None => {
                if let Line::Metadata(metadata, name, text) = meaning {
                    self.metadata(metadata, name, text);
                }
                self.taking.pass.cache.add(line, kind)
            }
        };
        match place {
            Some(place) => self.take(place, line, 0.0),
            None => self.unreadable(line, TOO_LONG),
        }
    }

    fn metadata(&mut self, metadata: Metadata, name: &str, text: &str) {
        self.taking.note_metadata(name, |known| match metadata {
            // As OpenMetrics and Prometheus say it.
            Metadata::Type if text == "untyped" => "unknown".clone_into(&mut known.kind),
            Metadata::Type => text.clone_into(&mut known.kind),
            Metadata::Help => known.help = unescape_help(text),
            Metadata::Unit => text.clone_into(&mut known.unit),
        });
    }

    /// Takes what a line stands for that has neither time nor exemplar. `line` may go on behind the line.
    fn take(&mut self, place: u32, line: &str, value: f64) {
        if self.taking.passes_by(place) {
            return;
        }
        self.taking.pass.cache.note_exemplar(place, None);
        match self.taking.take(place, None, value) {
            Ok(()) => self.see_known(place, line, Reading { value, timestamp_ms: None, exemplar: None }),
            Err(reason) => self.problem(line, reason),
        }
    }

    /// A line that means nothing: said when it is looked at first.
    fn unreadable(&mut self, line: &str, reason: &'static str) {
        if !self.taking.is_second() {
            self.problem(line, reason);
        }
    }

    fn problem(&mut self, line: &str, reason: &'static str) {
        let line = line.lines().next().unwrap_or_default();
        self.taking.found.note_problem(self.line, line, reason);
    }
}
