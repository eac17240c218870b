//! The labels and annotations of an alert: a rule's texts, with their templates filled in.

use std::rc::Rc;

use url::Url;

use super::vector;
use crate::promql::{Stop, histogram};
use crate::rules::Ruling;
use crate::rules::file::{Rule, RuleKind, Texts, template_name, texts};
use crate::rules::template::{Facts, Number, Queries, Template, TemplateError, is_plain};
use crate::series::{Labels, Point};

/// The texts of a rule.
#[derive(Default)]
pub(super) struct Templates {
    labels: Vec<(String, Text)>,
    annotations: Vec<(String, Text)>,
    /// Whether the last expansion failed.
    is_failing: bool,
}

enum Text {
    Plain(String),
    Template(Template),
    /// It was read when the file was, so this is not seen.
    Bad(TemplateError),
}

/// What templates are filled in with, besides a series.
pub(super) struct Expander<'a> {
    ruling: &'a Ruling,
    external_labels: Rc<Texts>,
    external_url: Rc<Url>,
    slot_ms: i64,
    stop: &'a Stop,
}

impl Templates {
    pub fn of(rule: &Rule) -> Self {
        let RuleKind::Alerting { annotations, .. } = &rule.kind else { return Self::default() };
        let name = template_name(&rule.name);
        let text = |(field, text): (&String, &String)| {
            let text = if is_plain(text) {
                Text::Plain(text.clone())
            } else {
                Template::parse(&name, text).map_or_else(Text::Bad, Text::Template)
            };
            (field.clone(), text)
        };
        Self {
            labels: rule.labels.iter().map(text).collect(),
            annotations: annotations.iter().map(text).collect(),
            is_failing: false,
        }
    }

    /// Labels and annotations of the alert of a series.
    pub fn expand(&mut self, series: &Labels, point: &Point, expander: &Expander<'_>) -> (Texts, Texts) {
        let facts = expander.facts(series, point);
        let mut failed = None;
        let mut expand = |texts: &[(String, Text)]| -> Texts {
            texts.iter().map(|(name, text)| (name.clone(), expander.expand(text, &facts, &mut failed))).collect()
        };
        let (labels, annotations) = (expand(&self.labels), expand(&self.annotations));
        if let Some(error) = failed.as_ref().filter(|_| !self.is_failing) {
            tracing::warn!(%error, %series, "a template cannot be filled in; its alert says so");
        }
        self.is_failing = failed.is_some();
        (labels, annotations)
    }
}

impl<'a> Expander<'a> {
    pub fn new(ruling: &'a Ruling, external_labels: &Texts, slot_ms: i64, stop: &'a Stop) -> Self {
        let external_url = Rc::new((*ruling.external_url).clone());
        Self { ruling, external_labels: Rc::new(external_labels.clone()), external_url, slot_ms, stop }
    }

    fn facts(&self, series: &Labels, point: &Point) -> Facts {
        Facts {
            labels: Rc::new(texts(series)),
            value: number(point),
            external_labels: self.external_labels.clone(),
            external_url: self.external_url.clone(),
            now_ms: self.slot_ms,
        }
    }

    fn expand(&self, text: &Text, facts: &Facts, failed: &mut Option<TemplateError>) -> String {
        let result = match text {
            Text::Plain(text) => return text.clone(),
            Text::Template(template) => template.expand(facts, self),
            Text::Bad(error) => Err(error.clone()),
        };
        self.ruling.report.expanded(result.is_ok());
        result.unwrap_or_else(|error| {
            let shown = format!("<error expanding template: {error}>");
            *failed = Some(error);
            shown
        })
    }
}

impl Queries for Expander<'_> {
    fn query(&self, query: &str) -> Result<Vec<(Labels, Number)>, String> {
        let found = vector(self.ruling, query, self.slot_ms, self.stop).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|(labels, point)| (labels, number(&point))).collect())
    }
}

fn number(point: &Point) -> Number {
    match point {
        Point::Float(sample) => Number::Float(sample.value),
        Point::Histogram(sample) => Number::Histogram(histogram::shown(&sample.histogram).into()),
    }
}
