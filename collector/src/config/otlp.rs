//! How metrics of OpenTelemetry become Prometheus': the section `otlp`, checked. Names and defaults are Prometheus'.

use super::http::Wrong;
use super::raw::otlp as raw;

/// How names are translated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Translation {
    /// `UnderscoreEscapingWithSuffixes`
    #[default]
    UnderscoresWithSuffixes,
    /// `NoUTF8EscapingWithSuffixes`
    Utf8WithSuffixes,
    /// `NoTranslation`
    None,
}

/// Which attributes of a resource become labels of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promoted {
    /// These.
    Some(Vec<String>),
    /// All others.
    AllBut(Vec<String>),
}

/// The section `otlp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpOptions {
    /// How names are translated.
    pub translation: Translation,
    /// Which attributes of a resource become labels of its series.
    pub promoted: Promoted,
    /// Whether `target_info` has also what `job` and `instance` say.
    pub keep_identifying: bool,
    /// Whether histograms with bounds of their own become native ones.
    pub histograms_to_custom: bool,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        Self {
            translation: Translation::default(),
            promoted: Promoted::Some(Vec::new()),
            keep_identifying: false,
            histograms_to_custom: false,
        }
    }
}

/// Checks the section.
pub(super) fn check(raw: raw::Otlp) -> Result<OtlpOptions, Wrong> {
    let translation = match raw.translation_strategy.as_deref() {
        None | Some("" | "UnderscoreEscapingWithSuffixes") => Translation::UnderscoresWithSuffixes,
        Some("NoUTF8EscapingWithSuffixes") => Translation::Utf8WithSuffixes,
        Some("NoTranslation") => Translation::None,
        Some(other) => {
            let known = "there are UnderscoreEscapingWithSuffixes, NoUTF8EscapingWithSuffixes and NoTranslation";
            return Err(("translation_strategy", format!("{other:?} is not a strategy; {known}")));
        }
    };
    let promoted = if raw.promote_all_resource_attributes {
        if !raw.promote_resource_attributes.is_empty() {
            let message = "is given, and so is promote_all_resource_attributes; remove one";
            return Err(("promote_resource_attributes", message.to_owned()));
        }
        Promoted::AllBut(keys("ignore_resource_attributes", raw.ignore_resource_attributes)?)
    } else {
        if !raw.ignore_resource_attributes.is_empty() {
            let message = "means nothing unless promote_all_resource_attributes is true";
            return Err(("ignore_resource_attributes", message.to_owned()));
        }
        Promoted::Some(keys("promote_resource_attributes", raw.promote_resource_attributes)?)
    };
    Ok(OtlpOptions {
        translation,
        promoted,
        keep_identifying: raw.keep_identifying_resource_attributes,
        histograms_to_custom: raw.convert_histograms_to_nhcb,
    })
}

fn keys(field: &'static str, raw: Vec<String>) -> Result<Vec<String>, Wrong> {
    let mut keys: Vec<String> = Vec::with_capacity(raw.len());
    for key in raw {
        let key = key.trim();
        if key.is_empty() {
            return Err((field, "has an empty attribute; remove it".to_owned()));
        }
        if keys.iter().any(|known| known == key) {
            return Err((field, format!("has {key:?} twice; remove one")));
        }
        keys.push(key.to_owned());
    }
    Ok(keys)
}
