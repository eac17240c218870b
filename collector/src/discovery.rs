//! Finds targets: what a source lists, and what relabelling makes of it. Fetches no metrics. Sources are in `watch` and
//! `kubernetes`, targets in `target`, the rules in `relabel`, who scrapes what in `shard`.

pub mod kubernetes;
mod md5;
pub mod relabel;
pub mod shard;
pub mod target;
pub mod watch;

use serde::Deserialize;

use self::relabel::LabelSet;
use crate::series::Labels;

/// The label with what is connected to.
pub(crate) const ADDRESS: &str = "__address__";

/// Addresses that share labels, as files and HTTP sources list them.
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

/// Targets that share labels, each with labels of its own, which win; the address is the label `__address__`. There may be tens
/// of thousands, most of them dropped by relabelling: so the texts are shared, and put together when they are needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// On each of them.
    pub labels: Labels,
    /// Each one's own.
    pub targets: Vec<Labels>,
}

impl From<TargetGroup> for Group {
    fn from(group: TargetGroup) -> Self {
        let own = |address: String| Labels::new([(ADDRESS, address)]);
        Self { labels: Labels::new(group.labels), targets: group.targets.into_iter().map(own).collect() }
    }
}
