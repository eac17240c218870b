//! The values of a template: those of Go that Prometheus' templates can meet, with Go's names for their types.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Number;
use super::numbers::float_g;
use super::time;
use crate::rules::file::Texts;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Go's nil, or nothing at all.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// `map[string]string`: labels.
    Texts(Rc<Texts>),
    /// `map[string]interface {}`: what `args` makes.
    Args(Rc<BTreeMap<String, Value>>),
    /// What a query gives.
    Samples(Rc<Vec<Rc<Sample>>>),
    Sample(Rc<Sample>),
    /// Milliseconds since the epoch.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    /// A number with a name: a month, a weekday.
    Named {
        kind: &'static str,
        name: &'static str,
        number: i64,
    },
    /// A native histogram, as it is printed.
    Histogram(Rc<str>),
    /// What `.` is at first.
    Facts,
}

/// A series of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub labels: Rc<Texts>,
    pub value: Number,
}

impl From<&Number> for Value {
    fn from(number: &Number) -> Self {
        match number {
            Number::Float(value) => Self::Float(*value),
            Number::Histogram(text) => Self::Histogram(text.clone()),
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl Value {
    /// The name that Go gives its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Texts(_) => "map[string]string",
            Self::Args(_) => "map[string]interface {}",
            Self::Samples(_) => "template.queryResult",
            Self::Sample(_) => "*template.sample",
            Self::Time(_) => "*time.Time",
            Self::Duration(_) => "*time.Duration",
            Self::Named { kind, .. } => kind,
            Self::Histogram(_) => "*histogram.FloatHistogram",
            Self::Facts => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
            }
        }
    }

    /// Whether a condition takes it for true: what is not zero, not empty, not nil.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Named { number: value, .. } => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Texts(texts) => !texts.is_empty(),
            Self::Args(args) => !args.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
            Self::Sample(_) | Self::Time(_) | Self::Duration(_) | Self::Histogram(_) | Self::Facts => true,
        }
    }

    /// About how many bytes it is written with; a query's series count as one each, because they are bounded elsewhere.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Histogram(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(|(name, text)| name.len() + 2 + text.len()).sum(),
            Self::Args(args) => args.iter().map(|(name, value)| name.len() + 2 + value.bytes()).sum(),
            Self::Samples(samples) => samples.len(),
            _ => 0,
        }
    }

    /// As it stands in the output; nothing at all is `<no value>`.
    pub fn printed(&self) -> String {
        if *self == Self::Nil { "<no value>".to_owned() } else { self.text() }
    }

    /// As `%v` writes it.
    pub fn text(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float_g(*value, None),
            Self::Text(text) | Self::Histogram(text) => text.to_string(),
            Self::Texts(texts) => map_text(texts.iter().map(|(name, text)| format!("{name}:{text}"))),
            Self::Args(args) => map_text(args.iter().map(|(name, value)| format!("{name}:{}", value.text()))),
            Self::Samples(samples) => {
                let texts: Vec<String> = samples.iter().map(|sample| sample.text()).collect();
                format!("[{}]", texts.join(" "))
            }
            Self::Sample(sample) => sample.text(),
            Self::Time(millis) => time::text(*millis),
            Self::Duration(nanos) => time::duration_text(*nanos),
            Self::Named { name, .. } => (*name).to_owned(),
            Self::Facts => "{}".to_owned(),
        }
    }
}

impl Sample {
    fn text(&self) -> String {
        let labels = map_text(self.labels.iter().map(|(name, text)| format!("{name}:{text}")));
        format!("{{{labels} {}}}", Value::from(&self.value).text())
    }
}

fn map_text(pairs: impl Iterator<Item = String>) -> String {
    let pairs: Vec<String> = pairs.collect();
    format!("map[{}]", pairs.join(" "))
}
