//! Cases for policies, as people write them: given these replicas and readings over time, this is what is planned and why. They are
//! run by the very `plan` that decides for workloads, without a clock and without a cluster. Start at `load`.

mod play;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use protocol::duration;
use protocol::quantity::Quantity;
use protocol::yaml::{Document, DocumentError, read_file, split};
use serde_json::Value;

pub use self::play::Report;
use self::raw::{RawCase, RawCases, RawExpect, RawStep};
use crate::planner::Reason;
use crate::policy::{Aim, Policy, Signal, from_documents};

/// A Monday at noon, UTC: for schedules, where a case does not say when it begins.
const START_DEFAULT: &str = "2026-01-05T12:00:00Z";

/// More ticks than a case of hours needs.
const TICKS_MAX: i64 = 100_000;

/// A file of cases.
#[derive(Debug, Clone)]
pub struct Cases {
    policy: Policy,
    every_ms: i64,
    startup_ms: i64,
    cases: Vec<Case>,
}

/// One case: a workload from its beginning on.
#[derive(Debug, Clone)]
struct Case {
    name: String,
    start_ms: i64,
    replicas: u32,
    steps: Vec<Step>,
}

/// What changes at a tick, and what is expected of it.
#[derive(Debug, Clone)]
struct Step {
    at_ms: i64,
    replicas: Option<u32>,
    ready: Option<u32>,
    paused: Option<bool>,
    /// By position of the signal.
    readings: BTreeMap<usize, Given>,
    expect: Option<Expect>,
}

/// What is expected of a tick's plan.
#[derive(Debug, Clone)]
struct Expect {
    replicas: u32,
    reason: Option<Reason>,
    message: Option<String>,
}

/// What a signal reads from a step on.
#[derive(Debug, Clone, PartialEq)]
enum Given {
    /// Nothing.
    Missing,
    /// The source of metrics does not answer.
    Unavailable,
    /// Each replica uses so many percent of its request; `None` has no reading. The last one holds for all further ones.
    Each(Vec<Option<f64>>, i64),
    /// All replicas share work of so many percent of one replica's request.
    Work(f64, i64),
    /// A number in thousandths, and its age in milliseconds.
    Number(i64, i64),
    /// One for each query of an expression.
    Inputs(Vec<Given>),
}

/// Reads a file of cases and the policy it names.
///
/// # Errors
/// What is wrong, with file, document and field.
pub fn load(file: &Path) -> Result<Cases, DocumentError> {
    let documents = read_file(file)?;
    let [document] = documents.as_slice() else {
        return Err(DocumentError {
            file: file.to_owned(),
            document: 0,
            field: String::new(),
            message: format!("found {} documents, expected one", documents.len()),
        });
    };
    let raw: RawCases = document.parse()?;
    let policy = policy(document, &raw)?;
    let check = Check { document, policy: &policy };
    let every_ms = check.duration_ms("every", raw.every.unwrap_or(crate::INTERVAL_DEFAULT))?;
    if every_ms == 0 {
        return Err(document.error("every", "found 0s, expected more"));
    }
    if raw.cases.is_empty() {
        return Err(document.error("cases", "expected at least one case"));
    }
    let startup_ms = check.duration_ms("startup", raw.startup.unwrap_or_default())?;
    let cases = raw.cases.into_iter().enumerate().map(|(index, case)| check.case(index, case, every_ms));
    let cases = cases.collect::<Result<_, _>>()?;
    Ok(Cases { every_ms, startup_ms, cases, policy })
}

impl Cases {
    /// Runs all cases.
    pub fn run(&self) -> Report {
        play::run(self)
    }
}

/// The policy: written in the file, or in one whose path is relative to it.
fn policy(document: &Document, raw: &RawCases) -> Result<Policy, DocumentError> {
    let documents = match &raw.policy {
        Value::String(path) => read_file(&document.file.parent().unwrap_or(Path::new("")).join(path))?,
        written => split(&document.file, &written.to_string()),
    };
    let is_inline = !raw.policy.is_string();
    let set = from_documents(documents).map_err(|error| match error {
        error if is_inline => document.error(&format!("policy.{}", error.field), &error.message),
        error => error,
    })?;
    let names: Vec<&str> = set.iter().map(|policy| policy.name.name.as_str()).collect();
    match (&raw.name, set.len()) {
        (None, 1) => Ok(set[0].clone()),
        (None, _) => {
            Err(document.error("name", &format!("which policy is meant? expected one of {}", names.join(", "))))
        }
        (Some(name), _) => set.iter().find(|policy| policy.name.name == *name).cloned().ok_or_else(|| {
            document.error("name", &format!("there is no policy {name}, expected one of {}", names.join(", ")))
        }),
    }
}

struct Check<'a> {
    document: &'a Document,
    policy: &'a Policy,
}

impl Check<'_> {
    fn fail<T>(&self, field: &str, message: &str) -> Result<T, DocumentError> {
        Err(self.document.error(field, message))
    }

    fn duration_ms(&self, field: &str, duration: std::time::Duration) -> Result<i64, DocumentError> {
        i64::try_from(duration.as_millis()).or_else(|_| self.fail(field, "is longer than time can be counted"))
    }

    fn case(&self, index: usize, raw: RawCase, every_ms: i64) -> Result<Case, DocumentError> {
        let field = format!("cases[{index}]");
        let start = raw.start.as_deref().unwrap_or(START_DEFAULT);
        let Ok(start) = start.parse::<Timestamp>() else {
            let message = format!("found {start:?}, expected a time such as {START_DEFAULT}");
            return self.fail(&format!("{field}.start"), &message);
        };
        let mut steps: Vec<Step> = Vec::with_capacity(raw.steps.len());
        for (number, step) in raw.steps.into_iter().enumerate() {
            let field = format!("{field}.steps[{number}]");
            let step = self.step(&field, step, every_ms)?;
            if steps.last().is_some_and(|last| last.at_ms >= step.at_ms) {
                return self.fail(&format!("{field}.at"), "expected a later time than that of the step before");
            }
            steps.push(step);
        }
        if steps.iter().all(|step| step.expect.is_none()) {
            return self.fail(&format!("{field}.steps"), "expected at least one step with expect");
        }
        Ok(Case { name: raw.name, start_ms: start.as_millisecond(), replicas: raw.replicas, steps })
    }

    fn step(&self, field: &str, raw: RawStep, every_ms: i64) -> Result<Step, DocumentError> {
        let at_ms = self.duration_ms(&format!("{field}.at"), raw.at)?;
        if at_ms % every_ms != 0 || at_ms / every_ms > TICKS_MAX {
            let every = duration::Display(std::time::Duration::from_millis(every_ms.unsigned_abs()));
            let message = format!(
                "found {}, expected a multiple of {every}, when a tick is, and at most {TICKS_MAX} of them",
                duration::Display(raw.at)
            );
            return self.fail(&format!("{field}.at"), &message);
        }
        let mut readings = BTreeMap::new();
        for (name, value) in raw.readings {
            let field = format!("{field}.readings.{name}");
            let Some(place) = self.policy.signals.iter().position(|signal| signal.name == name) else {
                let names: Vec<&str> = self.policy.signals.iter().map(|signal| signal.name.as_str()).collect();
                let message = format!("there is no signal of this name, expected one of {}", names.join(", "));
                return self.fail(&field, &message);
            };
            readings.insert(place, self.given(&field, &self.policy.signals[place], &value)?);
        }
        let expect = raw.expect.map(|expect| self.expect(&format!("{field}.expect"), expect)).transpose()?;
        let RawStep { replicas, ready, paused, .. } = RawStep { readings: BTreeMap::new(), expect: None, ..raw };
        Ok(Step { at_ms, replicas, ready, paused, readings, expect })
    }

    fn expect(&self, field: &str, raw: RawExpect) -> Result<Expect, DocumentError> {
        let reason = match raw.reason {
            None => None,
            Some(code) => match Reason::ALL.into_iter().find(|reason| reason.code() == code) {
                Some(reason) => Some(reason),
                None => {
                    let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
                    let message = format!("found {code:?}, expected one of {}", codes.join(", "));
                    return self.fail(&format!("{field}.reason"), &message);
                }
            },
        };
        Ok(Expect { replicas: raw.replicas, reason, message: raw.message })
    }

    fn given(&self, field: &str, signal: &Signal, value: &Value) -> Result<Given, DocumentError> {
        match value.as_str() {
            Some("missing") => return Ok(Given::Missing),
            Some("unavailable") => return Ok(Given::Unavailable),
            _ => {}
        }
        match &signal.aim {
            Aim::Utilization { .. } => self.usage(field, value),
            Aim::Query { .. } => self.number(field, value),
            Aim::Expression { queries, .. } => {
                let Some(written) = value.as_object() else {
                    return self.fail(field, "expected missing, unavailable, or a number for each query by its name");
                };
                if let Some(unknown) = written.keys().find(|name| queries.iter().all(|query| query.name != **name)) {
                    let names: Vec<&str> = queries.iter().map(|query| query.name.as_str()).collect();
                    let message = format!("there is no query {unknown}, expected {}", names.join(", "));
                    return self.fail(field, &message);
                }
                let input = |name: &str| match written.get(name) {
                    Some(value) => self.number(&format!("{field}.{name}"), value),
                    None => Ok(Given::Missing),
                };
                Ok(Given::Inputs(queries.iter().map(|query| input(&query.name)).collect::<Result<_, _>>()?))
            }
            Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. } => {
                self.fail(field, "what a size follows from is learnt over time: expected missing or unavailable")
            }
            Aim::Schedule(_) => {
                self.fail(field, "a schedule reads nothing but the time: set start of the case, and at")
            }
        }
    }

    fn number(&self, field: &str, value: &Value) -> Result<Given, DocumentError> {
        let (number, age_ms) = self.with_age(field, value, "value")?;
        match number {
            Value::String(text) if text == "missing" => Ok(Given::Missing),
            Value::String(text) if text == "unavailable" => Ok(Given::Unavailable),
            number => match serde_json::from_value::<Quantity>(number.clone()) {
                Ok(quantity) => Ok(Given::Number(quantity.millis(), age_ms)),
                Err(_) => self
                    .fail(field, &format!("found {number}, expected a number, missing, unavailable, or value and age")),
            },
        }
    }

    fn usage(&self, field: &str, value: &Value) -> Result<Given, DocumentError> {
        if value.get("work").is_some() {
            let (work, age_ms) = self.with_age(field, value, "work")?;
            return Ok(Given::Work(self.percent(field, &work)?, age_ms));
        }
        let (each, age_ms) = self.with_age(field, value, "each")?;
        let each: Vec<Option<f64>> = match &each {
            Value::Array(all) if !all.is_empty() => {
                let one = |value: &Value| match value.as_str() {
                    Some("missing") => Ok(None),
                    _ => self.percent(field, value).map(Some),
                };
                all.iter().map(one).collect::<Result<_, _>>()?
            }
            one => vec![Some(self.percent(field, one)?)],
        };
        Ok(Given::Each(each, age_ms))
    }

    fn percent(&self, field: &str, value: &Value) -> Result<f64, DocumentError> {
        let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|number| number.parse().ok());
        match percent {
            Some(percent) if (0.0..=1e6).contains(&percent) => Ok(percent),
            _ => self.fail(
                field,
                &format!("found {value}, expected missing, unavailable, 65% of each replica, [65%, missing] one by one, or {{work: 130%}} that all share"),
            ),
        }
    }

    /// `VALUE`, or `{KEY: VALUE, age: 30s}`.
    fn with_age(&self, field: &str, value: &Value, key: &str) -> Result<(Value, i64), DocumentError> {
        let Some(fields) = value.as_object() else { return Ok((value.clone(), 0)) };
        if let Some(unknown) = fields.keys().find(|name| *name != key && *name != "age") {
            return self.fail(field, &format!("unknown field {unknown}, expected {key} and age"));
        }
        let age_ms = match fields.get("age").map(|age| age.as_str().and_then(|age| duration::parse(age).ok())) {
            None => 0,
            Some(Some(age)) => self.duration_ms(&format!("{field}.age"), age)?,
            Some(None) => return self.fail(&format!("{field}.age"), "expected a duration such as 30s"),
        };
        match fields.get(key) {
            Some(value) => Ok((value.clone(), age_ms)),
            None => self.fail(field, &format!("{key} is missing")),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.replicas)?;
        self.reason.map_or(Ok(()), |reason| write!(f, " for {}", reason.code()))
    }
}

#[cfg(test)]
mod tests;
