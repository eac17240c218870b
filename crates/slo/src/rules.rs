//! Prometheus' rules for objectives: what is recorded for every window, and the alerts of several windows and rates. Any Prometheus runs
//! them, ours too. Names are Sloth's, so that dashboards made for it fit.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::duration;
use serde::Serialize;

use crate::objective::Objective;
use crate::windows::{RULES, Rule, Severity, Span};

/// A rule file.
#[derive(Debug, Serialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    rules: Vec<AnyRule>,
}

#[derive(Debug, Default, Serialize)]
struct AnyRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'static str>,
    expr: String,
    labels: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// The rules of all objectives as a rule file.
pub fn yaml(objectives: &[Objective]) -> String {
    let groups = objectives
        .iter()
        .flat_map(|objective| {
            let of = Named { objective };
            let name = format!("slo {} {}", objective.subject, objective.name);
            [
                Group { name: format!("{name}: recorded"), rules: of.recorded() },
                Group { name: format!("{name}: alerts"), rules: of.alerts() },
            ]
        })
        .collect();
    serde_saphyr::to_string(&File { groups }).expect("texts in lists and maps have a form in YAML")
}

struct Named<'a> {
    objective: &'a Objective,
}

impl Named<'_> {
    fn labels(&self) -> BTreeMap<&'static str, String> {
        let Objective { name, subject, .. } = self.objective;
        let mut labels = BTreeMap::from([("slo", name.clone()), (subject.kind(), subject.name().to_owned())]);
        if !subject.namespace().is_empty() {
            labels.insert("namespace", subject.namespace().to_owned());
        }
        labels
    }

    /// A recorded series of this objective.
    fn series(&self, name: &str) -> String {
        let labels: Vec<String> = self.labels().iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        format!("{name}{{{}}}", labels.join(", "))
    }

    fn record(&self, name: String, expr: String) -> AnyRule {
        AnyRule { record: Some(name), expr, labels: self.labels(), ..AnyRule::default() }
    }

    fn recorded(&self) -> Vec<AnyRule> {
        let (objective, budget) = (self.objective, self.objective.window);
        let five = Span::Minutes5.length(budget);
        let (bad, total) = (objective.bad(five), objective.total(five));
        let mut rules = vec![
            self.record("slo:events_total:increase5m".to_owned(), total.clone()),
            // No series of bad events is none of them, where there were events at all.
            self.record("slo:events_bad:increase5m".to_owned(), format!("{bad} or {total} * 0")),
        ];
        for span in Span::ALL {
            let expr = if span == Span::Budget {
                // Weighted by events, and two recorded series are read instead of 30 days of every counter.
                let over = |name: &str| format!("sum_over_time({}[{}])", self.series(name), text(budget));
                format!("{} / ({} > 0)", over("slo:events_bad:increase5m"), over("slo:events_total:increase5m"))
            } else {
                let window = span.length(budget);
                let total = objective.total(window);
                format!("({} or {total} * 0) / ({total} > 0)", objective.bad(window))
            };
            rules.push(self.record(ratio_name(span.length(budget)), expr));
        }
        let share = objective.target.budget();
        rules.push(self.record("slo:objective:ratio".to_owned(), format!("vector({})", objective.target.share())));
        rules.push(self.record("slo:error_budget:ratio".to_owned(), format!("vector({share})")));
        let current = format!("{} / {share}", self.series(&ratio_name(five)));
        rules.push(self.record("slo:current_burn_rate:ratio".to_owned(), current));
        let left = format!("1 - {} / {share}", self.series(&ratio_name(budget)));
        rules.push(self.record("slo:period_error_budget_remaining:ratio".to_owned(), left));
        rules
    }

    fn alerts(&self) -> Vec<AnyRule> {
        [Severity::Page, Severity::Ticket].into_iter().map(|severity| self.alert(severity)).collect()
    }

    fn alert(&self, severity: Severity) -> AnyRule {
        let Objective { name, subject, target, window, .. } = self.objective;
        let of_severity = RULES.iter().filter(|rule| rule.severity == severity);
        let conditions: Vec<String> = of_severity.map(|rule| self.condition(rule)).collect();
        let mut labels = self.labels();
        labels.insert("severity", severity.word().to_owned());
        let summary = format!(
            "{subject} burns the error budget of its objective {name} ({target} over {}) too fast",
            text(*window)
        );
        AnyRule {
            alert: Some("SLOErrorBudgetBurn"),
            expr: conditions.join(" or "),
            labels,
            annotations: BTreeMap::from([("summary", summary)]),
            ..AnyRule::default()
        }
    }

    fn condition(&self, rule: &Rule) -> String {
        let (window, share) = (self.objective.window, self.objective.target.budget());
        let over = |span: Span| format!("{} > {} * {share}", self.series(&ratio_name(span.length(window))), rule.rate);
        format!("({} and {})", over(rule.long), over(rule.short))
    }
}

fn ratio_name(window: Duration) -> String {
    format!("slo:sli_error:ratio_rate{}", text(window))
}

fn text(duration: Duration) -> String {
    duration::Display(duration).to_string()
}

#[cfg(test)]
mod tests;
