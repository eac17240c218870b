//! Cases as people write them: every field that may stand in the file, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCases {
    /// A path, or the policy itself.
    pub policy: Value,
    /// Which one, where there are several.
    pub name: Option<String>,
    #[serde(default, with = "protocol::duration::option")]
    pub every: Option<Duration>,
    #[serde(default, with = "protocol::duration::option")]
    pub startup: Option<Duration>,
    pub cases: Vec<RawCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCase {
    pub name: String,
    pub start: Option<String>,
    pub replicas: u32,
    pub steps: Vec<RawStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStep {
    #[serde(with = "protocol::duration")]
    pub at: Duration,
    pub replicas: Option<u32>,
    pub ready: Option<u32>,
    pub paused: Option<bool>,
    #[serde(default)]
    pub readings: BTreeMap<String, Value>,
    pub expect: Option<RawExpect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawExpect {
    pub replicas: u32,
    pub reason: Option<String>,
    pub message: Option<String>,
}
