//! The metrics of rules and of the alerts' delivery: Prometheus' names with the collector's own prefix, read whenever they are
//! asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::delivery::{Delivery, QUEUE_MAX, ReceiverStatus};
use super::report::{GroupReport, GroupStatus, RulesReport};

/// Reads the report.
struct RuleMetrics {
    report: Arc<RulesReport>,
    delivery: Arc<Delivery>,
}

impl fmt::Debug for RuleMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuleMetrics")
    }
}

/// Registers the metrics of rules and delivery.
pub fn register(registry: &mut Registry, report: &Arc<RulesReport>, delivery: &Arc<Delivery>) {
    let (rules, groups) = (report.rule_durations.clone(), report.group_durations.clone());
    registry.register("plimsoll_collector_rule_evaluation_duration_seconds", "How long a rule takes.", rules);
    registry.register("plimsoll_collector_rule_group_duration_seconds", "How long a rule group takes.", groups);
    let latency = delivery.counts().latency.clone();
    registry.register(
        "plimsoll_collector_notifications_latency_seconds",
        "How long it takes to tell a receiver of alerts.",
        latency,
    );
    registry.register_collector(Box::new(RuleMetrics { report: report.clone(), delivery: delivery.clone() }));
}

/// A metric with a value for each group.
struct PerGroup {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: fn(&GroupReport, &GroupStatus) -> f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts that matter are far below 2^53")]
const PER_GROUP: [PerGroup; 11] = [
    PerGroup {
        name: "plimsoll_collector_rule_evaluations",
        help: "Evaluations of rules.",
        kind: MetricType::Counter,
        value: |_, status| status.evaluations as f64,
    },
    PerGroup {
        name: "plimsoll_collector_rule_evaluation_failures",
        help: "Evaluations of rules that failed.",
        kind: MetricType::Counter,
        value: |_, status| status.failures as f64,
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_iterations",
        help: "Evaluations of the group that were due, whether done or missed.",
        kind: MetricType::Counter,
        value: |_, status| status.iterations as f64,
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_iterations_missed",
        help: "Evaluations of the group that were due and not done, because the one before took too long.",
        kind: MetricType::Counter,
        value: |_, status| status.missed as f64,
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_interval_seconds",
        help: "How often the group is evaluated.",
        kind: MetricType::Gauge,
        value: |report, _| report.group.interval.as_secs_f64(),
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_rules",
        help: "Rules of the group.",
        kind: MetricType::Gauge,
        value: |report, _| report.group.rules.len() as f64,
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_last_evaluation_timestamp_seconds",
        help: "When the group was evaluated last.",
        kind: MetricType::Gauge,
        value: |_, status| status.at_ms.map_or(0.0, |ms| ms as f64 / 1000.0),
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_last_duration_seconds",
        help: "How long the last evaluation of the group took.",
        kind: MetricType::Gauge,
        value: |_, status| status.took.as_secs_f64(),
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_last_rule_duration_sum_seconds",
        help: "How long the last evaluations of its rules took together.",
        kind: MetricType::Gauge,
        value: |_, status| status.rules.iter().map(|rule| rule.took.as_secs_f64()).sum(),
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_last_restore_duration_seconds",
        help: "How long it took to find what was pending before a restart.",
        kind: MetricType::Gauge,
        value: |_, status| status.restore_took.as_secs_f64(),
    },
    PerGroup {
        name: "plimsoll_collector_rule_group_last_evaluation_samples",
        help: "Samples of the last evaluation of the group.",
        kind: MetricType::Gauge,
        value: |_, status| status.samples as f64,
    },
];

impl Collector for RuleMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let groups = self.report.groups();
        let groups: Vec<(String, &GroupReport, GroupStatus)> = groups
            .iter()
            .map(|report| (format!("{};{}", report.group.file, report.group.name), &**report, report.status()))
            .collect();
        for metric in &PER_GROUP {
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            for (key, report, status) in &groups {
                let labels = [("rule_group", key.as_str())];
                let one = family.encode_family(&labels)?;
                let value = (metric.value)(report, status);
                match metric.kind {
                    MetricType::Counter => ConstCounter::new(value).encode(one)?,
                    _ => ConstGauge::new(value).encode(one)?,
                }
            }
        }
        let counts = &self.report.counts;
        for (name, help, count) in [
            ("plimsoll_collector_template_text_expansions", "Templates filled in.", &counts.expansions),
            (
                "plimsoll_collector_template_text_expansion_failures",
                "Templates that could not be filled in.",
                &counts.expansion_failures,
            ),
        ] {
            let counter = ConstCounter::new(count.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        self.encode_delivery(&mut encoder)
    }
}

/// A metric with a value for each receiver.
type PerReceiver = (&'static str, &'static str, MetricType, fn(&ReceiverStatus) -> u64);

const PER_RECEIVER: [PerReceiver; 3] = [
    ("plimsoll_collector_notifications_sent", "Alerts told to a receiver.", MetricType::Counter, |status| status.sent),
    (
        "plimsoll_collector_notifications_errors",
        "Alerts in attempts to tell a receiver that failed.",
        MetricType::Counter,
        |status| status.errors,
    ),
    (
        "plimsoll_collector_notifications_queue_length",
        "Alerts that a receiver is yet to be told.",
        MetricType::Gauge,
        |status| status.queued as u64,
    ),
];

impl RuleMetrics {
    fn encode_delivery(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let receivers = self.delivery.receivers();
        for (name, help, kind, value) in PER_RECEIVER {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for status in &receivers {
                let labels = [("alertmanager", status.name.as_str())];
                let one = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value(status)).encode(one)?,
                    _ => gauge(value(status)).encode(one)?,
                }
            }
        }
        let (name, help) =
            ("plimsoll_collector_notifications_dropped", "Alerts that a receiver was not told, by reason.");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (reason, count) in self.delivery.counts().dropped() {
            ConstCounter::new(count).encode(family.encode_family(&[("reason", reason)])?)?;
        }
        let discovered = self.delivery.alertmanagers().active.len() as u64;
        for (name, help, value) in [
            (
                "plimsoll_collector_notifications_queue_capacity",
                "Alerts that may wait for one receiver.",
                QUEUE_MAX as u64,
            ),
            ("plimsoll_collector_notifications_alertmanagers_discovered", "Alertmanagers that are told.", discovered),
        ] {
            gauge(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
