//! Reads a script into commands. A command's block ends with an empty line or a comment.

use std::iter::Peekable;

use regex::Regex;

use super::values::{self, Notation};
use crate::series::Labels;

/// Why a script cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub reason: String,
}

pub(super) enum Command {
    Clear,
    Load(Loaded),
    Evaluate(Box<Evaluation>),
}

/// Series to be loaded, a sample a step from time zero on.
pub(super) struct Loaded {
    pub step_ms: i64,
    pub series: Vec<(Labels, Vec<Notation>)>,
    /// Buckets are to be loaded as native histograms, too.
    pub with_native: bool,
}

/// A query and what it has to give.
pub(super) struct Evaluation {
    pub line: usize,
    pub query: String,
    pub when: When,
    pub expected: Expected,
}

impl Evaluation {
    /// Whether native histograms are expected.
    pub fn is_native(&self) -> bool {
        let native = |notation: &Notation| matches!(notation, Notation::Native(_));
        self.expected.series.iter().any(|(_, notations)| notations.iter().any(native))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    At(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// What a query has to give.
#[derive(Default)]
pub(super) struct Expected {
    pub series: Vec<(Labels, Vec<Notation>)>,
    pub scalar: Option<f64>,
    pub text: Option<String>,
    /// Start and step of an expected range vector.
    pub range_vector: Option<(i64, i64)>,
    pub ordered: bool,
    pub fail: Option<Message>,
    pub warn: Option<Message>,
    pub info: Option<Message>,
    pub no_warn: bool,
    pub no_info: bool,
}

/// A failure or note that is expected.
pub(super) enum Message {
    Any,
    Exactly(String),
    Fits(Regex),
}

impl Message {
    pub fn check(&self, texts: &[String], kind: &str) -> Result<(), String> {
        let fits = |text: &String| match self {
            Self::Any => true,
            Self::Exactly(expected) => text == expected,
            Self::Fits(regex) => regex.is_match(text),
        };
        if texts.iter().any(fits) {
            return Ok(());
        }
        let expected = match self {
            Self::Any => "any",
            Self::Exactly(text) => text,
            Self::Fits(regex) => regex.as_str(),
        };
        Err(format!("expected {kind} {expected:?}, got {texts:?}"))
    }
}

/// Lines with their numbers.
type Lines<'a> = Peekable<Box<dyn Iterator<Item = (usize, &'a str)> + 'a>>;

pub(super) fn commands(text: &str) -> Result<Vec<Command>, ScriptError> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let boxed: Box<dyn Iterator<Item = (usize, &str)>> = Box::new(numbered);
    let mut lines = boxed.peekable();
    let mut commands = Vec::new();
    while let Some((line, text)) = lines.next() {
        let (word, rest) = split_word(text);
        match word {
            "" => {}
            _ if is_end(text) => {}
            "clear" => commands.push(Command::Clear),
            "load" | "load_with_nhcb" => {
                let with_native = word != "load";
                commands.push(Command::Load(loaded(&mut lines, line, rest, with_native)?));
            }
            _ if word.starts_with("eval") => {
                commands.push(Command::Evaluate(Box::new(evaluation(&mut lines, line, word, rest)?)));
            }
            _ => return Err(error(line, format!("expected load, clear or eval, found {word:?}"))),
        }
    }
    Ok(commands)
}

fn is_end(text: &str) -> bool {
    text.is_empty() || text.starts_with('#')
}

fn loaded(lines: &mut Lines<'_>, line: usize, step: &str, with_native: bool) -> Result<Loaded, ScriptError> {
    let step_ms = duration(line, step)?;
    let mut series = Vec::new();
    while let Some((line, text)) = lines.next_if(|(_, text)| !is_end(text)) {
        series.push(values::series(text).map_err(|reason| error(line, reason))?);
    }
    Ok(Loaded { step_ms, series, with_native })
}

fn evaluation(lines: &mut Lines<'_>, line: usize, word: &str, rest: &str) -> Result<Evaluation, ScriptError> {
    let (kind, rest) = split_word(rest);
    let (when, query) = match kind {
        "instant" => {
            let (at_ms, query) = keyed(line, rest, "at")?;
            (When::At(at_ms), query)
        }
        "range" => {
            let (start_ms, rest) = keyed(line, rest, "from")?;
            let (end_ms, rest) = keyed(line, rest, "to")?;
            let (step_ms, query) = keyed(line, rest, "step")?;
            (When::Range { start_ms, end_ms, step_ms }, query)
        }
        _ => return Err(error(line, "expected instant or range".to_owned())),
    };
    let mut expected = Expected::default();
    match word {
        "eval" => {}
        "eval_fail" => expected.fail = Some(Message::Any),
        "eval_warn" => expected.warn = Some(Message::Any),
        "eval_info" => expected.info = Some(Message::Any),
        "eval_ordered" => expected.ordered = true,
        _ => return Err(error(line, format!("unknown command {word:?}"))),
    }
    while let Some((line, text)) = lines.next_if(|(_, text)| !is_end(text)) {
        expect(&mut expected, line, text)?;
    }
    Ok(Evaluation { line, query: query.to_owned(), when, expected })
}

fn expect(expected: &mut Expected, line: usize, text: &str) -> Result<(), ScriptError> {
    let (word, rest) = split_word(text);
    match word {
        "expect" => return expectation(expected, line, rest),
        "expected_fail_message" => expected.fail = Some(Message::Exactly(rest.to_owned())),
        "expected_fail_regexp" => expected.fail = Some(Message::Fits(regex(line, rest)?)),
        _ => {
            if let Some(scalar) = values::number(text).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value) {
                expected.scalar = Some(scalar);
            } else {
                expected.series.push(values::series(text).map_err(|reason| error(line, reason))?);
            }
        }
    }
    Ok(())
}

fn expectation(expected: &mut Expected, line: usize, text: &str) -> Result<(), ScriptError> {
    let (word, rest) = split_word(text);
    match word {
        "ordered" => expected.ordered = true,
        "no_warn" => expected.no_warn = true,
        "no_info" => expected.no_info = true,
        "fail" => expected.fail = Some(message(line, rest)?),
        "warn" => expected.warn = Some(message(line, rest)?),
        "info" => expected.info = Some(message(line, rest)?),
        "string" => {
            let quoted = rest.len() >= 2 && rest.starts_with(['"', '`', '\'']);
            let inner = quoted.then(|| rest[1..rest.len() - 1].to_owned());
            expected.text = Some(inner.ok_or_else(|| error(line, "expected a quoted text".to_owned()))?);
        }
        "range" => {
            let (start_ms, rest) = keyed(line, split_word(rest).1, "from")?;
            let (_, rest) = keyed(line, rest, "to")?;
            let (step_ms, _) = keyed(line, rest, "step")?;
            expected.range_vector = Some((start_ms, step_ms));
        }
        _ => return Err(error(line, format!("unknown expectation {word:?}"))),
    }
    Ok(())
}

fn message(line: usize, text: &str) -> Result<Message, ScriptError> {
    if let Some(exact) = text.strip_prefix("msg:") {
        return Ok(Message::Exactly(exact.trim().to_owned()));
    }
    match text.strip_prefix("regex:") {
        Some(pattern) => regex(line, pattern.trim()).map(Message::Fits),
        None => Ok(Message::Any),
    }
}

fn regex(line: usize, pattern: &str) -> Result<Regex, ScriptError> {
    Regex::new(pattern).map_err(|reason| error(line, reason.to_string()))
}

/// Reads `KEY DURATION`; what follows is returned beside it.
fn keyed<'a>(line: usize, text: &'a str, key: &str) -> Result<(i64, &'a str), ScriptError> {
    let (word, rest) = split_word(text);
    if word != key {
        return Err(error(line, format!("expected {key:?}, found {word:?}")));
    }
    let (value, rest) = split_word(rest);
    Ok((duration(line, value)?, rest))
}

fn duration(line: usize, text: &str) -> Result<i64, ScriptError> {
    let duration = protocol::duration::parse(text).map_err(|reason| error(line, reason.to_string()))?;
    Ok(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn error(line: usize, reason: String) -> ScriptError {
    ScriptError { line, reason }
}
