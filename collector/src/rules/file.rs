//! Rule files: Prometheus' format to the letter, checked when they are read, so that no rule turns out to be wrong at night.
//! Evaluates nothing.

mod raw;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::yaml::{self, Document, DocumentError};

use super::glob::matching;
use super::template::Template;
use crate::promql;
use crate::series::{Labels, METRIC_NAME};

/// Texts by name. Unlike in [`crate::series::Labels`], an empty text is kept: as a rule's label it takes the label away.
pub type Texts = BTreeMap<String, String>;

/// Labels as texts by name.
pub(super) fn texts(labels: &Labels) -> Texts {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A group of rules, evaluated one after the other at the same times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleGroup {
    /// The file, as the configuration's folder and pattern give it.
    pub file: String,
    /// Unique in its file.
    pub name: String,
    /// How often.
    pub interval: Duration,
    /// How far back in time each rule is evaluated.
    pub query_offset: Duration,
    /// The most series or alerts that one rule may make; 0 is no limit.
    pub limit: usize,
    /// In the order of the file.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Of the series that are recorded, or of the alert.
    pub name: String,
    /// What is evaluated, in PromQL's canonical spelling where that says the same.
    pub query: String,
    /// The group's, and the rule's own, which win.
    pub labels: Texts,
    /// What becomes of the result.
    pub kind: RuleKind,
}

/// What becomes of a rule's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleKind {
    /// It is stored under the rule's name.
    Recording,
    /// Each of its series is an alert.
    Alerting {
        /// How long a series must be there before its alert fires.
        hold: Duration,
        /// How long an alert goes on firing after its series has gone.
        keep_firing: Duration,
        /// Templates of what is told about an alert.
        annotations: Texts,
    },
}

/// What rules have where their file is silent.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// `global.evaluation_interval`
    pub interval: Duration,
    /// `global.rule_query_offset`
    pub query_offset: Duration,
}

/// Why rule files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The pattern at this index is none.
    #[error("{1}")]
    Pattern(usize, String),
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] DocumentError),
}

/// Reads all files that fit the patterns; paths are relative to `folder`.
///
/// # Errors
/// The first thing wrong, with file, place and what to write instead.
pub fn load(patterns: &[String], folder: &Path, defaults: Defaults) -> Result<Vec<RuleGroup>, LoadError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for (i, pattern) in patterns.iter().enumerate() {
        let found = matching(&folder.join(pattern)).map_err(|message| LoadError::Pattern(i, message))?;
        if found.is_empty() {
            // Prometheus starts without a word; a mistyped name then means no alerts.
            tracing::warn!(pattern, "no rule file has this name");
        }
        files.extend(found);
    }
    files.sort();
    files.dedup();
    let mut groups = Vec::new();
    for file in &files {
        groups.extend(read(file, defaults)?);
    }
    Ok(groups)
}

/// Reads one file.
///
/// # Errors
/// The first thing wrong, with file, place and what to write instead.
pub fn read(file: &Path, defaults: Defaults) -> Result<Vec<RuleGroup>, DocumentError> {
    let documents = yaml::read_file(file)?;
    match documents.as_slice() {
        [] => Ok(Vec::new()),
        [document] => Checker { document, defaults }.groups(document.parse::<raw::RuleFile>()?),
        [_, second, ..] => Err(second.error("", "a rule file is one document; remove the second")),
    }
}

/// A field, and what is wrong with it.
type Wrong = (String, String);

fn wrong(field: impl Into<String>, message: impl Into<String>) -> Wrong {
    (field.into(), message.into())
}

struct Checker<'a> {
    document: &'a Document,
    defaults: Defaults,
}

impl Checker<'_> {
    fn groups(&self, raw: raw::RuleFile) -> Result<Vec<RuleGroup>, DocumentError> {
        let mut groups: Vec<RuleGroup> = Vec::new();
        for (i, group) in raw.groups.unwrap_or_default().into_iter().enumerate() {
            let group = self.group(group, &groups);
            groups.push(
                group.map_err(|(field, message)| self.document.error(&format!("groups[{i}].{field}"), &message))?,
            );
        }
        Ok(groups)
    }

    fn group(&self, raw: raw::Group, before: &[RuleGroup]) -> Result<RuleGroup, Wrong> {
        if raw.name.is_empty() {
            return Err(wrong("name", "is empty; a group needs a name of its own"));
        }
        if before.iter().any(|known| known.name == raw.name) {
            return Err(wrong("name", format!("the name {:?} is used twice in this file", raw.name)));
        }
        let labels = raw.labels.unwrap_or_default();
        check_labels(&labels)?;
        let mut rules = Vec::new();
        for (i, rule) in raw.rules.unwrap_or_default().into_iter().enumerate() {
            let rule = checked(rule, &labels);
            rules.push(rule.map_err(|(field, message)| wrong(format!("rules[{i}].{field}"), message))?);
        }
        Ok(RuleGroup {
            file: self.document.file.display().to_string(),
            name: raw.name,
            interval: raw.interval.filter(|interval| !interval.is_zero()).unwrap_or(self.defaults.interval),
            query_offset: raw.query_offset.unwrap_or(self.defaults.query_offset),
            // As in Prometheus, what is not above zero is no limit.
            limit: usize::try_from(raw.limit.unwrap_or(0)).unwrap_or(0),
            rules,
        })
    }
}

fn checked(raw: raw::Rule, group_labels: &Texts) -> Result<Rule, Wrong> {
    let own = raw.labels.unwrap_or_default();
    check_labels(&own)?;
    let query = canonical(raw.expr.as_deref().unwrap_or_default())?;
    let (name, kind) = match (raw.record.filter(|name| !name.is_empty()), raw.alert.filter(|name| !name.is_empty())) {
        (Some(_), Some(_)) => return Err(wrong("record", "and alert may not both be given; make them two rules")),
        (None, None) => return Err(wrong("record", "is missing; a rule has a name in record or in alert")),
        (Some(name), None) => {
            let alerting = [
                ("for", raw.hold.is_some_and(|hold| !hold.is_zero())),
                ("keep_firing_for", raw.keep_firing_for.is_some_and(|keep| !keep.is_zero())),
                ("annotations", raw.annotations.as_ref().is_some_and(|texts| !texts.is_empty())),
            ];
            if let Some((field, _)) = alerting.iter().find(|(_, given)| *given) {
                return Err(wrong(*field, "is for alerts only; a rule with record cannot have it"));
            }
            if name.contains(['{', '}']) {
                return Err(wrong(
                    "record",
                    format!("{name:?} has braces, which no metric's name has; is this the expr?"),
                ));
            }
            (name, RuleKind::Recording)
        }
        (None, Some(name)) => {
            let annotations = raw.annotations.unwrap_or_default();
            if annotations.contains_key("") {
                return Err(wrong("annotations", "has an empty name"));
            }
            let (hold, keep_firing) = (raw.hold.unwrap_or_default(), raw.keep_firing_for.unwrap_or_default());
            (name, RuleKind::Alerting { hold, keep_firing, annotations })
        }
    };
    let mut labels = group_labels.clone();
    labels.extend(own);
    if let RuleKind::Alerting { annotations, .. } = &kind {
        check_templates("labels", &name, &labels)?;
        check_templates("annotations", &name, annotations)?;
    }
    Ok(Rule { name, query, labels, kind })
}

fn canonical(expr: &str) -> Result<String, Wrong> {
    if expr.trim().is_empty() {
        return Err(wrong("expr", "is missing; a rule needs a PromQL expression"));
    }
    promql::canonical(expr).map_err(|error| wrong("expr", error.to_string()))
}

fn check_templates(field: &str, alert: &str, texts: &Texts) -> Result<(), Wrong> {
    texts.iter().try_for_each(|(name, text)| {
        let template = Template::parse(&template_name(alert), text);
        template.map(|_| ()).map_err(|error| wrong(format!("{field}.{name}"), error.to_string()))
    })
}

/// What an alert's templates are called in errors.
pub(super) fn template_name(alert: &str) -> String {
    format!("__alert_{alert}")
}

fn check_labels(labels: &Texts) -> Result<(), Wrong> {
    for name in labels.keys() {
        if name.is_empty() {
            return Err(wrong("labels", "has an empty name"));
        }
        if name == METRIC_NAME {
            return Err(wrong("labels", format!("{METRIC_NAME} cannot be set; the metric's name is in record")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
