//! Templates of labels and annotations: the part of Go's `text/template` that Prometheus offers to alerts, with Prometheus'
//! functions. Pure but for the queries that a template asks for, and bounded: a template cannot take long or make much. There is
//! no crate that is faithful to Go's language. Start at `Template`; `lex` and `parse` read one, `exec` fills it in.

mod builtins;
mod exec;
mod fmt;
mod functions;
mod humanize;
mod lex;
mod numbers;
mod parse;
mod time;
mod tree;
mod value;

use std::rc::Rc;

use super::file::Texts;
use crate::series::Labels;

use self::tree::Tree;

/// What Prometheus puts before each template. Kept, because places in errors count it.
const PREFIX: &str =
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// A template that has been read.
#[derive(Debug)]
pub struct Template(Tree);

/// Why a template is none, or cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);

/// What a template is filled in with.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `$labels`: of the series.
    pub labels: Rc<Texts>,
    /// `$value`
    pub value: Number,
    /// `$externalLabels`
    pub external_labels: Rc<Texts>,
    /// `$externalURL`, and what `externalURL` and `pathPrefix` give.
    pub external_url: Rc<url::Url>,
    /// When the rule is evaluated, milliseconds since the epoch.
    pub now_ms: i64,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A number.
    Float(f64),
    /// A native histogram, as Prometheus writes one.
    Histogram(Rc<str>),
}

/// Answers the queries of a template, as of when the rule is evaluated.
pub trait Queries {
    /// A vector, or why there is none.
    ///
    /// # Errors
    /// In words.
    fn query(&self, query: &str) -> Result<Vec<(Labels, Number)>, String>;
}

impl Template {
    /// Reads a template; `name` stands in errors.
    ///
    /// # Errors
    /// What is wrong with it, in Go's words.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        parse::parse(name, format!("{PREFIX}{text}")).map(Self)
    }

    /// Fills it in.
    ///
    /// # Errors
    /// What cannot be done, in Go's words.
    pub fn expand(&self, facts: &Facts, queries: &dyn Queries) -> Result<String, TemplateError> {
        exec::run(&self.0, facts, queries)
    }
}

/// A text without actions is its own expansion: most labels and many annotations.
pub fn is_plain(text: &str) -> bool {
    !text.contains("{{")
}

/// A link to a query's result, below the external URL.
pub(super) fn table_link(query: &str) -> String {
    functions::table_link(query)
}

/// An address as Go prints it: a bare host stays without a slash.
pub(super) fn shown(url: &url::Url) -> &str {
    let text = url.as_str();
    if url.path() == "/" && url.query().is_none() && url.fragment().is_none() {
        text.trim_end_matches('/')
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
