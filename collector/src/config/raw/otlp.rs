//! `otlp` as it is written.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Otlp {
    pub translation_strategy: Option<String>,
    #[serde(default)]
    pub promote_all_resource_attributes: bool,
    #[serde(default)]
    pub promote_resource_attributes: Vec<String>,
    #[serde(default)]
    pub ignore_resource_attributes: Vec<String>,
    #[serde(default)]
    pub keep_identifying_resource_attributes: bool,
    #[serde(default)]
    pub convert_histograms_to_nhcb: bool,
}
