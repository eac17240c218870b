//! The task that has traces decided upon when they rest, writes those that are kept to disk, and tends what is there. Decides
//! nothing itself, but when to try again after the disk has failed.

mod retry;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::{Instant, MissedTickBehavior};

use self::retry::Retry;
use super::Core;
use super::disk::SpanFolder;

/// How often it is looked what rests.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks between two of what is too old or too much.
const RETIRE_EVERY: u64 = 60;

/// Decides, writes and tends.
pub struct Keeper {
    core: Arc<Core>,
    disk: Arc<SpanFolder>,
}

impl Keeper {
    pub(super) fn new(core: Arc<Core>, disk: Arc<SpanFolder>) -> Self {
        Self { core, disk }
    }

    /// Keeps until shutdown, and writes then what was decided. What was not is in the journal, for the next start.
    ///
    /// # Errors
    /// If writing ends in a panic.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), String> {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = Retry::default();
        for turn in 0_u64.. {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
                // While the disk fails much waits all the time.
                () = self.core.waiting.notified(), if !retry.is_failing() => {}
            }
            let writes = retry.is_due(Instant::now());
            let is_written = self.keep_in_background(writes, turn.is_multiple_of(RETIRE_EVERY)).await?;
            if writes {
                retry.tried(is_written, Instant::now());
            }
        }
        self.keep_in_background(true, false).await?;
        Ok(())
    }

    /// Says whether all that was to be written is, if it was tried.
    async fn keep_in_background(&self, writes: bool, retire: bool) -> Result<bool, String> {
        let own = Self::new(Arc::clone(&self.core), Arc::clone(&self.disk));
        let keeping = move || {
            let is_written = if writes { own.keep() } else { own.put_off() };
            if retire {
                own.disk.retire(own.core.clock.now_ms());
            }
            is_written
        };
        tokio::task::spawn_blocking(keeping).await.map_err(|error| error.to_string())
    }

    /// Decides what rests, and writes what is kept. Says whether all of it is written.
    pub(super) fn keep(&self) -> bool {
        let now_ms = self.core.clock.now_ms();
        let mut store = self.core.store.lock();
        store.settle(now_ms);
        let waiting = store.take_waiting();
        let open_ms = store.oldest_open_ms().unwrap_or(now_ms);
        drop(store);
        let left = self.disk.append(waiting, now_ms);
        let is_written = left.is_empty();
        // What could not be written stays in the journal, as far as that has room.
        self.disk.forget_requests(if is_written { open_ms } else { i64::MIN });
        let mut store = self.core.store.lock();
        store.give_back(left);
        // Under the lock, as two that count at once would count twice.
        self.core.telemetry.lost(store.lost());
        is_written
    }

    /// Decides what rests; what is kept waits as far as there is room, and what finds none is counted.
    fn put_off(&self) -> bool {
        self.disk.forget_requests(i64::MIN);
        let mut store = self.core.store.lock();
        store.settle(self.core.clock.now_ms());
        self.core.telemetry.lost(store.lost());
        false
    }
}

/// The metrics of the disk, read when they are asked for.
pub(super) struct DiskMetrics(pub Arc<Core>);

impl fmt::Debug for DiskMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskMetrics")
    }
}

impl Collector for DiskMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(disk) = &self.0.disk else { return Ok(()) };
        let stats = disk.stats();
        let gauges = [
            ("segments", "Segments of spans on disk", stats.segments),
            ("segment_bytes", "Bytes of the segments of spans on disk", stats.bytes),
            ("journal_bytes", "Bytes of spans received and not decided upon", stats.journal_bytes),
        ];
        for (name, help, value) in gauges {
            let name = format!("plimsoll_collector_span_{name}");
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?)?;
        }
        let probability = ConstGauge::new(self.0.store.lock().probability());
        let name = "plimsoll_collector_span_sampling_probability";
        let help = "How probable it is now that a trace without error, and not slow, is kept on disk";
        probability.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        let counters = [
            ("spans_written", "Spans written to disk", stats.spans_written),
            ("span_segments_outlived", "Segments of spans removed by the retention", stats.segments_outlived),
            ("span_segments_damaged", "Places in segments of spans that were found damaged", stats.damaged),
            ("span_write_failures", "Failed attempts to write spans to disk", stats.write_failures),
            ("span_segments_opened", "Segments of spans opened for searches and lookups", stats.files_opened),
            ("span_blocks_read", "Blocks of spans read for searches and lookups", stats.blocks_read),
            (
                "span_requests_unlogged",
                "Requests taken in that could not be written down first",
                stats.unwritten_requests,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("plimsoll_collector_{name}");
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
