//! From what people wrote to what is right: shares, windows, names, PromQL. Each check names its field.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::duration;
use protocol::yaml::{Document, DocumentError};

use crate::objective::{Indicator, Objective, Subject, Target};
use crate::promql::Template;
use crate::raw::{RawEntry, RawFile, RawLatency, RawQuery};
use crate::windows::{BUDGET_WINDOW_DEFAULT, BUDGET_WINDOW_MAX, BUDGET_WINDOW_MIN};

/// The only version there is.
pub(crate) const API_VERSION: &str = "plimsoll.dev/v1alpha1";

/// The only kind there is.
pub(crate) const KIND: &str = "ServiceLevelObjectives";

/// Longest name, in bytes: Kubernetes' limit.
const NAME_MAX: usize = 253;

/// Reads and checks one document.
///
/// # Errors
/// The first field that is wrong, and what was expected.
pub fn check(document: &Document) -> Result<Vec<Objective>, DocumentError> {
    let raw: RawFile = document.parse()?;
    let check = Check { document };
    document.is_kind((&raw.api_version, &raw.kind), (API_VERSION, KIND))?;
    check.name("metadata.name", &raw.metadata.name)?;
    let namespace = raw.metadata.namespace.unwrap_or_else(|| "default".to_owned());
    check.name("metadata.namespace", &namespace)?;
    let window = check.window("spec.window", raw.spec.window.unwrap_or(BUDGET_WINDOW_DEFAULT))?;
    if raw.spec.objectives.is_empty() {
        return check.fail("spec.objectives", "expected at least one service or journey");
    }
    let (mut objectives, mut seen): (Vec<Objective>, _) = (Vec::new(), BTreeSet::new());
    for (index, entry) in raw.spec.objectives.into_iter().enumerate() {
        let field = format!("spec.objectives[{index}]");
        for objective in check.entry(&field, &namespace, window, entry)? {
            if !seen.insert((objective.subject.clone(), objective.name.clone())) {
                let message = format!("{} has an objective {:?} already", objective.subject, objective.name);
                return check.fail(&field, &message);
            }
            objectives.push(objective);
        }
    }
    Ok(objectives)
}

struct Check<'a> {
    document: &'a Document,
}

impl Check<'_> {
    fn fail<T>(&self, field: &str, message: &str) -> Result<T, DocumentError> {
        Err(self.document.error(field, message))
    }

    fn name(&self, field: &str, name: &str) -> Result<(), DocumentError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(allowed) {
            return self.fail(field, &format!("found {name:?}, expected a name of letters, 0-9, -, _ and ."));
        }
        Ok(())
    }

    fn window(&self, field: &str, window: Duration) -> Result<Duration, DocumentError> {
        if (BUDGET_WINDOW_MIN..=BUDGET_WINDOW_MAX).contains(&window) {
            return Ok(window);
        }
        let (least, most) = (duration::Display(BUDGET_WINDOW_MIN), duration::Display(BUDGET_WINDOW_MAX));
        self.fail(field, &format!("found {}, expected {least} to {most}", duration::Display(window)))
    }

    fn share(&self, field: &str, text: &str) -> Result<Target, DocumentError> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number.and_then(|percent| Target::from_share(percent / 100.0)) {
            Some(target) => Ok(target),
            None => {
                self.fail(field, &format!("found {text:?}, expected more than 0% and less than 100%, such as 99.9%"))
            }
        }
    }

    fn entry(
        &self,
        field: &str,
        namespace: &str,
        window: Duration,
        entry: RawEntry,
    ) -> Result<Vec<Objective>, DocumentError> {
        let subject = match (entry.service, entry.journey) {
            (Some(name), None) => {
                self.name(&format!("{field}.service"), &name)?;
                Subject::Service { namespace: namespace.to_owned(), name }
            }
            (None, Some(name)) => {
                self.name(&format!("{field}.journey"), &name)?;
                Subject::Journey { name }
            }
            _ => return self.fail(field, "expected exactly one of service or journey"),
        };
        let window = entry.window.map_or(Ok(window), |window| self.window(&format!("{field}.window"), window))?;
        let packing = entry.packing.unwrap_or(false);
        if packing && matches!(subject, Subject::Journey { .. }) {
            return self.fail(&format!("{field}.packing"), "a journey has no replicas; write it for its services");
        }
        let mut found = Vec::new();
        if let Some(text) = entry.availability {
            let target = self.share(&format!("{field}.availability"), &text)?;
            found.push(("availability".to_owned(), target, Indicator::Availability));
        }
        if let Some(latency) = entry.latency {
            let (target, indicator) = self.latency(&format!("{field}.latency"), &latency)?;
            found.push(("latency".to_owned(), target, indicator));
        }
        for (index, query) in entry.queries.into_iter().enumerate() {
            found.push(self.query(&format!("{field}.queries[{index}]"), query)?);
        }
        if found.is_empty() {
            return self.fail(field, "expected availability, latency or queries");
        }
        let objective = |(name, target, indicator)| {
            let subject = subject.clone();
            Objective { name, subject, target, window, indicator, packing }
        };
        Ok(found.into_iter().map(objective).collect())
    }

    fn latency(&self, field: &str, latency: &RawLatency) -> Result<(Target, Indicator), DocumentError> {
        let Some(target) = Target::from_share(latency.quantile) else {
            let message = format!("found {}, expected more than 0 and less than 1, such as 0.99", latency.quantile);
            return self.fail(&format!("{field}.quantile"), &message);
        };
        if latency.below.is_zero() {
            return self.fail(&format!("{field}.below"), "expected a bound of the histogram's buckets, such as 250ms");
        }
        Ok((target, Indicator::Latency { below: latency.below }))
    }

    fn query(&self, field: &str, query: RawQuery) -> Result<(String, Target, Indicator), DocumentError> {
        self.name(&format!("{field}.name"), &query.name)?;
        let target = self.share(&format!("{field}.target"), &query.target)?;
        let template = |name: &str, text: &str| {
            Template::new(text).map_err(|error| self.document.error(&format!("{field}.{name}"), &error))
        };
        let indicator = match (&query.bad, &query.good, &query.total, &query.error_ratio) {
            (Some(bad), None, Some(total), None) => {
                Indicator::Events { bad: template("bad", bad)?, total: template("total", total)? }
            }
            (None, Some(good), Some(total), None) => {
                Indicator::GoodEvents { good: template("good", good)?, total: template("total", total)? }
            }
            (None, None, None, Some(ratio)) => Indicator::ErrorRatio { ratio: template("errorRatio", ratio)? },
            _ => return self.fail(field, "expected bad and total, or good and total, or errorRatio"),
        };
        Ok((query.name, target, indicator))
    }
}

#[cfg(test)]
mod tests;
