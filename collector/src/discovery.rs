//! Finds targets: what a source lists, and what relabelling makes of it. Fetches no metrics. Sources are in `watch`, targets
//! in `target`, the rules in `relabel`.

mod md5;
pub mod relabel;
pub mod target;
pub mod watch;

use serde::Deserialize;

use self::relabel::LabelSet;

/// Addresses that share labels, as every source lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// `host:port`
    #[serde(default)]
    pub targets: Vec<String>,
    /// On each of them.
    #[serde(default)]
    pub labels: LabelSet,
}
