//! A scaling policy as people write it: every field that may stand in the file, and nothing else. Checks only types and
//! names; what the values mean is checked in `check`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cluster::WorkloadKind;
use protocol::quantity::Quantity;
use protocol::scaling::Mode;
use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

/// One document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawPolicy {
    pub api_version: String,
    pub kind: String,
    pub metadata: RawMetadata,
    pub spec: RawSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetadata {
    pub name: String,
    pub namespace: Option<String>,
    #[serde(default, rename = "labels")]
    _labels: BTreeMap<String, String>,
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSpec {
    pub target: RawTarget,
    pub mode: Option<Mode>,
    pub replicas: RawReplicas,
    pub signals: Option<Vec<RawSignal>>,
    pub behavior: Option<RawBehavior>,
    pub fallback: Option<RawFallback>,
    pub objective: Option<RawObjective>,
    pub resources: Option<RawResources>,
    pub budgets: Option<Vec<RawBudget>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTarget {
    pub kind: WorkloadKind,
    pub name: String,
    pub service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawObjective {
    pub latency: Option<RawLatency>,
    pub availability: Option<Availability>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLatency {
    pub quantile: Share,
    #[serde(with = "protocol::duration")]
    pub below: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawReplicas {
    pub min: Option<u32>,
    pub max: u32,
}

/// Exactly one of its fields is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSignal {
    pub utilization: Option<RawUtilization>,
    pub query: Option<RawQuery>,
    pub demand: Option<RawSizing>,
    pub upstream: Option<RawSizing>,
    pub backlog: Option<RawBacklog>,
    pub expression: Option<RawExpression>,
    pub schedule: Option<RawSchedule>,
    // Of the design, and not built yet: refused by name.
    pub forecast: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawUtilization {
    pub resource: RawResource,
    pub container: Option<String>,
    pub target: Percent,
    #[serde(default, with = "protocol::duration::option")]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawResource {
    Cpu,
    Memory,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawQuery {
    pub name: Option<String>,
    pub promql: String,
    pub per_replica: Option<Quantity>,
    pub target: Option<Quantity>,
    #[serde(default, with = "protocol::duration::option")]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawSizing {
    pub utilization_max: Option<Percent>,
    pub workers: Option<u32>,
    pub variability: Option<Share>,
    #[serde(default, with = "protocol::duration::option")]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawBacklog {
    pub name: Option<String>,
    pub promql: String,
    #[serde(with = "protocol::duration")]
    pub drain_within: Duration,
    pub throughput: Option<String>,
    #[serde(default, with = "protocol::duration::option")]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawExpression {
    pub name: Option<String>,
    pub formula: String,
    pub queries: Vec<RawNamedQuery>,
    pub unit: Option<String>,
    pub per_replica: Option<Quantity>,
    pub target: Option<Quantity>,
    #[serde(default, with = "protocol::duration::option")]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNamedQuery {
    pub name: String,
    pub promql: String,
    pub unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSchedule {
    pub name: Option<String>,
    pub cron: String,
    pub timezone: Option<String>,
    pub replicas: u32,
    #[serde(rename = "for", with = "protocol::duration")]
    pub lasts: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawBehavior {
    pub scale_up: Option<RawRules>,
    pub scale_down: Option<RawRules>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawRules {
    pub stabilization_window_seconds: Option<u32>,
    pub select_policy: Option<RawSelect>,
    pub policies: Option<Vec<RawRate>>,
    pub tolerance: Option<Share>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub enum RawSelect {
    Max,
    Min,
    Disabled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawRate {
    #[serde(rename = "type")]
    pub kind: RawRateKind,
    pub value: u32,
    pub period_seconds: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub enum RawRateKind {
    Pods,
    Percent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawBudget {
    pub name: String,
    pub total: u32,
    pub per_replica: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawFallback {
    #[serde(with = "protocol::duration")]
    pub after_missing: Duration,
    pub replicas: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawResources {
    pub cpu: Option<RawAmounts>,
    pub memory: Option<RawAmounts>,
    pub container: Option<String>,
    pub apply: Option<RawApply>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAmounts {
    pub min: Quantity,
    pub max: Quantity,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub enum RawApply {
    InPlace,
    Rollout,
    Recommend,
}

/// `65%`, or 65 as HPA writes it.
#[derive(Debug, Clone, Copy)]
pub struct Percent(pub u32);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PercentVisitor;
        impl Visitor<'_> for PercentVisitor {
            type Value = Percent;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole percentage such as 65%")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
                let number = text.strip_suffix('%').and_then(|digits| digits.trim_end().parse().ok());
                number
                    .map(Percent)
                    .ok_or_else(|| E::custom(format_args!("{text:?} is not a whole percentage such as 65%")))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Percent, E> {
                u32::try_from(number).map(Percent).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(PercentVisitor)
    }
}

/// `99.9%`, as a share.
#[derive(Debug, Clone, Copy)]
pub struct Availability(pub f64);

impl<'de> Deserialize<'de> for Availability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        let percent: Option<f64> = number.and_then(|digits| digits.parse().ok());
        percent
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is not a percentage such as 99.9%")))
    }
}

/// A share as Kubernetes writes it in a quantity: `0.1`, `"0.15"`, `100m`. Digits times a power of ten, so that it is the
/// very number HPA computes with (0.3 is 3 x 0.1, the double above 0.3).
#[derive(Debug, Clone, Copy)]
pub struct Share(pub f64);

impl Share {
    /// Reads the text of a quantity that is not negative.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, scale) = text.strip_suffix('m').map_or((text, 0), |n| (n, 3));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let value: u64 = digits.parse().ok()?;
        let power: i32 = i32::try_from(fraction.len()).ok()? + scale;
        // 10^-n as the decimal literal says it, not as repeated multiplication: `1e-1` is the double nearest to 0.1.
        let unit: f64 = format!("1e-{power}").parse().ok()?;
        Some(Self(value as f64 * unit))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShareVisitor;
        impl Visitor<'_> for ShareVisitor {
            type Value = Share;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as 0.1")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Share, E> {
                Share::parse(text).ok_or_else(|| E::custom(format_args!("{text:?} is not a share such as 0.1")))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Share, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Share, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(ShareVisitor)
    }
}
