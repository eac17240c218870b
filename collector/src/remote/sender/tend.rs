//! What a sender needs from time to time: the right number of workers, a queue within its bounds, and what is known of metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::batch::{Metadata, encode_metadata};
use super::client::{Answer, Client};
use super::counts::add;
use super::intake::Intake;
use super::queue::LANES;
use super::shards::{INTERVAL_S, Shards, Totals};
use super::worker::{Outlet, compress};
use crate::api::views::TargetsView;
use crate::config::remote_write::RemoteMessage;

/// Behind by so much, a sender is not left with fewer workers: as in Prometheus.
const BEHIND_MS: i64 = 10_000;

/// How old what is known of metrics may be where it goes with the series.
const METADATA_AGE_MAX: Duration = Duration::from_secs(10);

/// How often metadata is tried before it waits for the next time.
const METADATA_ATTEMPTS: u32 = 3;

/// Tends one sender.
pub struct Tending {
    pub outlet: Arc<Outlet>,
    pub intake: Arc<Intake>,
    pub shards: watch::Sender<usize>,
    pub metadata: watch::Sender<Arc<Metadata>>,
    pub targets: Arc<dyn TargetsView>,
}

impl Tending {
    /// Tends until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut shards = Shards::new(&self.outlet.config.queue);
        let counts = self.outlet.counts.clone();
        counts.shards.store(shards.current() as u64, Ordering::Relaxed);
        let client = Client::new(&self.outlet.config);
        let every = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut reckoning = every(Duration::from_secs(INTERVAL_S));
        let mut metadata = every(self.metadata_interval());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = reckoning.tick() => self.reckon(&mut shards),
                _ = metadata.tick() => {
                    let known: Metadata = self.targets.metadata().into_iter().collect();
                    self.metadata.send_replace(Arc::new(known));
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = self.send_metadata(&client) => {}
                    }
                }
            }
        }
    }

    /// In 2.0 it goes with the series, and only has to be known.
    fn metadata_interval(&self) -> Duration {
        let Outlet { config, .. } = &*self.outlet;
        match config.message {
            RemoteMessage::V1 => config.metadata.interval,
            RemoteMessage::V2 => config.metadata.interval.min(METADATA_AGE_MAX),
        }
    }

    fn reckon(&self, shards: &mut Shards) {
        let Outlet { queue, counts, clock, .. } = &*self.outlet;
        let now_ms = clock.now_ms();
        self.intake.shrink(now_ms);
        self.intake.forget_idle(now_ms);
        let all = |tally: super::batch::Tally| (tally.samples + tally.histograms + tally.exemplars) as f64;
        let totals = Totals {
            incoming: all(counts.enqueued.tally()),
            outgoing: all(counts.sent.tally()),
            busy_s: counts.durations().0,
        };
        let pending: u64 = (0..LANES).map(|lane| queue.pending(lane).0).sum();
        let is_behind = queue.oldest_ms().is_some_and(|oldest| oldest < now_ms - BEHIND_MS);
        let current = shards.update(totals, pending as f64, is_behind);
        counts.shards.store(current as u64, Ordering::Relaxed);
        counts.shards_desired.store((shards.desired * 1000.0) as u64, Ordering::Relaxed);
        self.shards.send_if_modified(|count| std::mem::replace(count, current) != current);
    }

    /// In 1.0 metadata stands apart from samples. It is said again at the next turn, so none is kept.
    async fn send_metadata(&self, client: &Client) {
        let Outlet { config, counts, .. } = &*self.outlet;
        if config.message != RemoteMessage::V1 || !config.metadata.send {
            return;
        }
        let known = self.metadata.borrow().clone();
        let mut all: Vec<_> = known.iter().collect();
        all.sort_by_key(|(name, _)| *name);
        for some in all.chunks(config.metadata.per_send) {
            let body = compress(&encode_metadata(some.iter().copied()));
            let count = some.len() as u64;
            let mut backoff = config.queue.backoff_min;
            for attempt in 0..METADATA_ATTEMPTS {
                add(&counts.metadata_bytes, body.len() as u64);
                match client.send(config, body.clone(), attempt, false).await {
                    Answer::Written => {
                        add(&counts.metadata_sent, count);
                        break;
                    }
                    Answer::Refused(reason) => {
                        tracing::debug!(receiver = config.name, reason, "metadata is refused");
                        add(&counts.metadata_failed, count);
                        break;
                    }
                    Answer::Again(_, _) if attempt + 1 == METADATA_ATTEMPTS => add(&counts.metadata_failed, count),
                    Answer::Again(_, wait) => {
                        add(&counts.metadata_retried, count);
                        tokio::time::sleep(wait.unwrap_or(backoff)).await;
                        backoff = (backoff * 2).min(config.queue.backoff_max);
                    }
                }
            }
        }
    }
}
