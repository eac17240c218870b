//! Attributes as labels: those of a data point, those of its resource that are promoted, and who the resource is. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as WireValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::names;
use crate::config::otlp::{OtlpOptions, Promoted};
use crate::series::METRIC_NAME;

/// Attributes that say who a resource is.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Labels while they are put together.
pub type LabelMap = BTreeMap<String, String>;

/// What all series of a resource have.
#[derive(Debug, Default)]
pub struct ResourceLabels {
    /// Where the data point has nothing of that name.
    promoted: LabelMap,
    /// Whatever the data point has.
    identity: LabelMap,
}

impl ResourceLabels {
    /// Of a resource.
    pub fn new(resource: Option<&Resource>, options: &OtlpOptions) -> Self {
        let mut made = Self::default();
        let attributes = resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default();
        let mut sorted: Vec<&KeyValue> = attributes.iter().filter(|pair| is_promoted(&pair.key, options)).collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        for pair in sorted {
            let name = names::label(options.translation, &pair.key);
            made.promoted.entry(name).or_insert_with(|| text(pair.value.as_ref()));
        }
        let find = |key: &str| attributes.iter().find(|pair| pair.key == key).map(|pair| text(pair.value.as_ref()));
        if let Some(service) = find("service.name") {
            let job = match find("service.namespace") {
                Some(namespace) => format!("{namespace}/{service}"),
                None => service,
            };
            made.identity.insert("job".to_owned(), job);
        }
        if let Some(instance) = find("service.instance.id") {
            made.identity.insert("instance".to_owned(), instance);
        }
        made
    }

    /// Labels of a data point.
    pub fn with(&self, attributes: &[KeyValue], options: &OtlpOptions) -> LabelMap {
        let mut labels = merged(attributes.iter(), options);
        for (name, value) in &self.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        labels.extend(self.identity.iter().map(|(name, value)| (name.clone(), value.clone())));
        labels
    }

    /// Labels of `target_info`; none if it would say nothing, or not of whom.
    pub fn target_info(&self, resource: Option<&Resource>, options: &OtlpOptions) -> Option<LabelMap> {
        let attributes = resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default();
        let is_other = |pair: &&KeyValue| !IDENTIFYING.contains(&pair.key.as_str());
        if self.identity.is_empty() || !attributes.iter().any(|pair| is_other(&pair)) {
            return None;
        }
        let shown = attributes.iter().filter(|pair| options.keep_identifying || is_other(pair));
        let mut labels = merged(shown, options);
        labels.extend(self.identity.iter().map(|(name, value)| (name.clone(), value.clone())));
        labels.insert(METRIC_NAME.to_owned(), "target_info".to_owned());
        Some(labels)
    }
}

fn is_promoted(key: &str, options: &OtlpOptions) -> bool {
    match &options.promoted {
        Promoted::Some(keys) => keys.iter().any(|known| known == key),
        Promoted::AllBut(keys) => !keys.iter().any(|known| known == key),
    }
}

/// Attributes whose names become the same are joined with a semicolon, in the order of what they were called before.
fn merged<'a>(attributes: impl Iterator<Item = &'a KeyValue>, options: &OtlpOptions) -> LabelMap {
    let mut sorted: Vec<&KeyValue> = attributes.collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels = LabelMap::new();
    for pair in sorted {
        let value = text(pair.value.as_ref());
        labels
            .entry(names::label(options.translation, &pair.key))
            .and_modify(|known| {
                known.push(';');
                known.push_str(&value);
            })
            .or_insert(value);
    }
    labels
}

/// A value as text.
pub fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(WireValue::StringValue(text)) => text.clone(),
        Some(WireValue::BoolValue(value)) => value.to_string(),
        Some(WireValue::IntValue(value)) => value.to_string(),
        Some(WireValue::DoubleValue(value)) => number(*value),
        Some(WireValue::BytesValue(bytes)) => STANDARD.encode(bytes),
        Some(other @ (WireValue::ArrayValue(_) | WireValue::KvlistValue(_))) => json(Some(other)).to_string(),
        Some(WireValue::StringValueStrindex(_)) | None => String::new(),
    }
}

/// As JSON writes numbers in Go: with an exponent only where it is very large or very small.
fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    value.to_string()
}

fn json(value: Option<&WireValue>) -> serde_json::Value {
    match value {
        Some(WireValue::StringValue(text)) => text.as_str().into(),
        Some(WireValue::BoolValue(value)) => (*value).into(),
        Some(WireValue::IntValue(value)) => (*value).into(),
        Some(WireValue::DoubleValue(value)) => (*value).into(),
        Some(WireValue::BytesValue(bytes)) => STANDARD.encode(bytes).into(),
        Some(WireValue::ArrayValue(array)) => array.values.iter().map(|value| json(value.value.as_ref())).collect(),
        Some(WireValue::KvlistValue(list)) => {
            let pair = |pair: &KeyValue| {
                let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
                (pair.key.clone(), json(value))
            };
            serde_json::Value::Object(list.values.iter().map(pair).collect())
        }
        Some(WireValue::StringValueStrindex(_)) | None => serde_json::Value::Null,
    }
}
