//! The collector's metrics about itself, read from the store and the scrapes whenever they are asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::api::views::TargetsView;
use crate::otlp::metrics::MetricSink;
use crate::remote::receiver;
use crate::scrape::ScrapeReport;
use crate::store::Store;

/// Asks the parts.
pub(super) struct OwnMetrics {
    pub store: Arc<Store>,
    pub report: Arc<ScrapeReport>,
    pub remote_write: Arc<receiver::Writer>,
    pub otlp: Option<Arc<MetricSink>>,
}

impl fmt::Debug for OwnMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnMetrics")
    }
}

/// Values of one metric by the value of one label; without a label's name there is one value.
struct Metric<'a> {
    name: &'a str,
    help: &'a str,
    label: &'a str,
    values: Vec<(&'a str, u64)>,
    kind: MetricType,
}

fn encode(encoder: &mut DescriptorEncoder<'_>, metric: &Metric<'_>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
    for (label_value, value) in &metric.values {
        let labels = [(metric.label, *label_value)];
        let one = if metric.label.is_empty() { None } else { Some(family.encode_family(&labels)?) };
        let counter = ConstCounter::new(*value);
        let gauge = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
        match (one, metric.kind) {
            (Some(one), MetricType::Counter) => counter.encode(one)?,
            (Some(one), _) => gauge.encode(one)?,
            (None, MetricType::Counter) => return counter.encode(family),
            (None, _) => return gauge.encode(family),
        }
    }
    Ok(())
}

impl OwnMetrics {
    /// What others push.
    fn pushed(&self) -> [Metric<'static>; 5] {
        let received = &self.remote_write.counts;
        let otlp_points = self.otlp.as_ref().map_or(0, |otlp| otlp.points());
        let otlp_rejected = self.otlp.as_ref().map(|otlp| otlp.rejected()).unwrap_or_default();
        let counter = |name, help, label, values| Metric { name, help, label, values, kind: MetricType::Counter };
        [
            counter(
                "plimsoll_collector_otlp_data_points_received",
                "Data points that came by OTLP and were translated.",
                "",
                vec![("", otlp_points)],
            ),
            counter(
                "plimsoll_collector_otlp_data_points_refused",
                "What came by OTLP and was not taken, by reason.",
                "reason",
                otlp_rejected,
            ),
            counter(
                "plimsoll_collector_remote_write_requests_received",
                "Requests of remote write, by outcome.",
                "outcome",
                received.requests(),
            ),
            counter(
                "plimsoll_collector_remote_write_samples_received",
                "What came by remote write and was stored, by kind.",
                "kind",
                received.written(),
            ),
            counter(
                "plimsoll_collector_remote_write_samples_refused",
                "What came by remote write and was not stored, by reason.",
                "reason",
                received.refused(),
            ),
        ]
    }
}

impl Collector for OwnMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.store.stats();
        let counts = &self.report.counts;
        let (targets, up) = self.report.target_counts();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counter = |name, help, label, values| Metric { name, help, label, values, kind: MetricType::Counter };
        let gauge = |name, help, label, values| Metric { name, help, label, values, kind: MetricType::Gauge };
        let dropped = vec![
            ("out_of_order", stats.out_of_order),
            ("duplicate", stats.duplicate),
            ("too_old", stats.too_old),
            ("log_failed", stats.log_failed),
            ("relabelled_away", read(&counts.relabelled_away)),
            ("series_limit", read(&counts.shed)),
            ("printed_twice", read(&counts.repeated)),
            ("too_far_ahead", read(&counts.ahead)),
            ("scrape_failed", read(&counts.failed_samples)),
        ];
        let by_block_state = vec![("readable", stats.blocks), ("damaged", stats.blocks_damaged)];
        let scrapes = vec![("succeeded", read(&counts.succeeded)), ("failed", read(&counts.failed))];
        let by_health = vec![("up", up as u64), ("not_up", (targets - up) as u64)];
        let watches = &self.report.watch_counts;
        let by_state = vec![("following", read(&watches.following)), ("failing", read(&watches.failing))];
        let reload = self.report.last_reload();
        let reloaded_s = u64::try_from(reload.succeeded_ms / 1000).unwrap_or(0);

        let metrics = [
            counter("plimsoll_collector_samples_appended", "Samples stored.", "", vec![("", stats.samples)]),
            counter("plimsoll_collector_samples_dropped", "Samples not stored, by reason.", "reason", dropped),
            counter("plimsoll_collector_samples_scraped", "Samples read.", "", vec![("", read(&counts.samples))]),
            counter("plimsoll_collector_scrapes", "Scrapes by outcome.", "outcome", scrapes),
            counter(
                "plimsoll_collector_scrape_problems",
                "Lines that could not be read.",
                "",
                vec![("", read(&counts.problems))],
            ),
            gauge("plimsoll_collector_targets", "Targets by health.", "health", by_health),
            gauge(
                "plimsoll_collector_targets_dropped",
                "Targets not scraped, by reason.",
                "reason",
                self.report.dropped_counts(),
            ),
            gauge("plimsoll_collector_kubernetes_watches", "Watches of API servers, by state.", "state", by_state),
            counter(
                "plimsoll_collector_kubernetes_watch_failures",
                "Lists and watches of API servers that failed.",
                "",
                vec![("", read(&watches.failures))],
            ),
            gauge(
                "plimsoll_collector_config_last_reload_successful",
                "Whether the configuration could be read when it was asked for last.",
                "",
                vec![("", u64::from(reload.successful))],
            ),
            gauge(
                "plimsoll_collector_config_last_reload_success_timestamp_seconds",
                "When a configuration came into force last.",
                "",
                vec![("", reloaded_s)],
            ),
            gauge("plimsoll_collector_head_series", "Series in memory.", "", vec![("", stats.series)]),
            gauge("plimsoll_collector_head_bytes", "Bytes of the samples in memory.", "", vec![("", stats.head_bytes)]),
            counter(
                "plimsoll_collector_samples_late",
                "Samples stored although they were out of order.",
                "",
                vec![("", stats.late)],
            ),
            gauge("plimsoll_collector_blocks", "Blocks on disk, by state.", "state", by_block_state),
            gauge("plimsoll_collector_block_bytes", "Bytes of the blocks on disk.", "", vec![("", stats.block_bytes)]),
            counter("plimsoll_collector_blocks_merged", "Blocks made of others.", "", vec![("", stats.blocks_merged)]),
            counter(
                "plimsoll_collector_blocks_outlived",
                "Blocks removed by the retention.",
                "",
                vec![("", stats.blocks_outlived)],
            ),
            counter(
                "plimsoll_collector_block_read_failures",
                "Selections that a damaged block has spoilt.",
                "",
                vec![("", stats.block_failed)],
            ),
            counter(
                "plimsoll_collector_upkeep_failures",
                "Failed attempts to tend the store, by what was tried.",
                "during",
                stats.upkeep_failed.to_vec(),
            ),
            gauge(
                "plimsoll_collector_wal_failing",
                "Whether the write-ahead log cannot be written, so that samples are refused.",
                "",
                vec![("", u64::from(stats.log_failing))],
            ),
            gauge("plimsoll_collector_wal_bytes", "Bytes of the write-ahead log.", "", vec![("", stats.wal_bytes)]),
        ];
        metrics.iter().chain(&self.pushed()).try_for_each(|metric| encode(&mut encoder, metric))
    }
}
