//! What is told of senders in `/metrics`, under Prometheus' names.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::batch::Tally;
use super::counts::PerKind;
use super::queue::LANES;
use super::{View, Views, worker};

/// Asks the senders.
#[derive(Clone)]
pub struct SenderMetrics(pub(super) Views);

impl fmt::Debug for SenderMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SenderMetrics")
    }
}

/// A metric's name after `prometheus_remote_storage_`, without `_total`; its help; and what it is of one sender, by reason.
type Read = fn(&View) -> Vec<(&'static str, f64)>;

fn one(value: u64) -> Vec<(&'static str, f64)> {
    vec![("", value as f64)]
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn samples(of: &PerKind) -> Vec<(&'static str, f64)> {
    one(of.tally().samples)
}

fn histograms(of: &PerKind) -> Vec<(&'static str, f64)> {
    one(of.tally().histograms)
}

fn exemplars(of: &PerKind) -> Vec<(&'static str, f64)> {
    one(of.tally().exemplars)
}

const COUNTERS: [(&str, &str, Read); 17] = [
    ("samples", "Samples sent.", |v| samples(&v.counts.sent)),
    ("histograms", "Native histograms sent.", |v| histograms(&v.counts.sent)),
    ("exemplars", "Exemplars sent.", |v| exemplars(&v.counts.sent)),
    ("samples_failed", "Samples that the receiver refused.", |v| samples(&v.counts.failed)),
    ("histograms_failed", "Native histograms that the receiver refused.", |v| histograms(&v.counts.failed)),
    ("exemplars_failed", "Exemplars that the receiver refused.", |v| exemplars(&v.counts.failed)),
    ("samples_retried", "Samples sent once more.", |v| samples(&v.counts.retried)),
    ("histograms_retried", "Native histograms sent once more.", |v| histograms(&v.counts.retried)),
    ("exemplars_retried", "Exemplars sent once more.", |v| exemplars(&v.counts.retried)),
    ("samples_doubtful", "Samples refused that may have arrived before.", |v| samples(&v.counts.doubtful)),
    ("samples_dropped", "Samples not sent, by reason.", dropped),
    ("samples_in", "Samples, histograms and exemplars put into the queue.", |v| {
        let Tally { samples, histograms, exemplars } = v.counts.enqueued.tally();
        one(samples + histograms + exemplars)
    }),
    ("metadata", "Metrics of which metadata was sent.", |v| one(read(&v.counts.metadata_sent))),
    ("metadata_failed", "Metrics of which metadata was refused.", |v| one(read(&v.counts.metadata_failed))),
    ("metadata_retried", "Metrics of which metadata was sent once more.", |v| one(read(&v.counts.metadata_retried))),
    ("bytes", "Bytes of samples sent, compressed.", |v| one(read(&v.counts.bytes))),
    ("metadata_bytes", "Bytes of metadata sent, compressed.", |v| one(read(&v.counts.metadata_bytes))),
];

fn dropped(view: &View) -> Vec<(&'static str, f64)> {
    let counts = &view.counts;
    let old = counts.too_old.tally();
    vec![
        ("dropped_series", read(&counts.dropped_by_relabelling) as f64),
        ("too_old", (old.samples + old.histograms + old.exemplars) as f64),
        ("out_of_order", read(&counts.dropped_out_of_order) as f64),
        ("queue_full", read(&counts.dropped_too_long) as f64),
        ("queue_unwritable", read(&counts.dropped_unwritten) as f64),
        ("queue_damaged", read(&counts.dropped_damaged) as f64),
    ]
}

const GAUGES: [(&str, &str, Read); 10] = [
    ("samples_pending", "Samples, histograms and exemplars that wait to be sent.", |v| {
        one((0..LANES).map(|lane| v.queue.pending(lane).0).sum())
    }),
    ("queue_bytes", "Bytes of the queue on disk.", |v| one(v.queue.bytes())),
    ("shards", "Requests that may be under way at once.", |v| one(read(&v.counts.shards))),
    ("shards_min", "Fewest of them.", |v| one(v.config.queue.shards_min.min(LANES) as u64)),
    ("shards_max", "Most of them.", |v| one(v.config.queue.shards_max.min(LANES) as u64)),
    ("shards_desired", "How many would keep up and catch up.", |v| {
        vec![("", read(&v.counts.shards_desired) as f64 / 1000.0)]
    }),
    ("shard_capacity", "Most samples that one of them may hold.", |v| one(v.config.queue.capacity as u64)),
    ("max_samples_per_send", "Most samples of a request.", |v| one(v.config.queue.samples_per_send as u64)),
    ("highest_timestamp_in_seconds", "Newest time put into the queue, in seconds since the epoch.", |v| {
        vec![("", v.counts.newest_enqueued_ms.load(Ordering::Relaxed) as f64 / 1000.0)]
    }),
    ("queue_highest_sent_timestamp_seconds", "Newest time sent, in seconds since the epoch.", |v| {
        vec![("", v.counts.newest_sent_ms.load(Ordering::Relaxed) as f64 / 1000.0)]
    }),
];

impl Collector for SenderMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let views = self.0.load();
        if views.is_empty() {
            return Ok(());
        }
        let counters = COUNTERS.iter().map(|metric| (metric, MetricType::Counter));
        for ((name, help, read), kind) in counters.chain(GAUGES.iter().map(|metric| (metric, MetricType::Gauge))) {
            let name = format!("prometheus_remote_storage_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
            for view in views.iter() {
                let url = worker::shown(&view.config);
                for (reason, value) in read(view) {
                    let all = [("remote_name", view.config.name.as_str()), ("url", url.as_str()), ("reason", reason)];
                    let labels = if reason.is_empty() { &all[..2] } else { &all[..] };
                    let encoder = family.encode_family(&labels)?;
                    match kind {
                        MetricType::Counter => ConstCounter::new(value).encode(encoder)?,
                        _ => ConstGauge::new(value).encode(encoder)?,
                    }
                }
            }
        }
        let help = "How long requests took.";
        let name = "prometheus_remote_storage_sent_batch_duration_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for view in views.iter() {
            let url = worker::shown(&view.config);
            let labels = [("remote_name", view.config.name.as_str()), ("url", url.as_str())];
            let (sum, count, buckets) = view.counts.durations();
            family.encode_family(&labels)?.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
