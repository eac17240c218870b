//! Rule files as they are written; unknown fields are refused.

use std::time::Duration;

use serde::Deserialize;

use super::Texts;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    pub groups: Option<Vec<Group>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    #[serde(default)]
    pub name: String,
    #[serde(default, with = "protocol::duration::option")]
    pub interval: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub query_offset: Option<Duration>,
    pub limit: Option<i64>,
    pub labels: Option<Texts>,
    pub rules: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub record: Option<String>,
    pub alert: Option<String>,
    pub expr: Option<String>,
    #[serde(default, rename = "for", with = "protocol::duration::option")]
    pub hold: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub keep_firing_for: Option<Duration>,
    pub labels: Option<Texts>,
    pub annotations: Option<Texts>,
}
