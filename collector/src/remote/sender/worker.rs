//! Empties a queue into requests. Worker `i` of `n` has the lanes whose number modulo `n` is `i`, and one request under way, so a series
//! is never in two requests at once.
//!
//! The fast lane: a request is filled from the lanes where least waits first. After an outage lanes catch up one after another, and
//! what has caught up stays fresh while the others follow; in one queue nothing would be fresh before all is. But no lane runs ahead
//! of another by more than [`AHEAD_MAX_MS`], because receivers refuse what is far behind the newest they have. Within a series the
//! order always holds, for a series never changes its lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use lifecycle::{CancellationToken, Clock};
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::batch::{Batch, Metadata, Tally};
use super::client::{Answer, Client};
use super::counts::{Counts, add};
use super::queue::{LANES, Queue, Reach, Read, Reader};
use crate::config::remote_write::{RemoteMessage, RemoteWrite};

/// How far lanes may be apart: Prometheus refuses samples that are an hour older than its newest; half of that leaves room for clocks.
pub const AHEAD_MAX_MS: i64 = 1_800_000;

/// How long a request under way may go on when the collector stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the workers of one sender share.
pub struct Outlet {
    pub config: RemoteWrite,
    pub queue: Arc<Queue>,
    pub counts: Arc<Counts>,
    pub clock: Arc<dyn Clock>,
    /// How many workers there are now.
    pub shards: watch::Receiver<usize>,
    /// Changes whenever something is put into the queue.
    pub news: watch::Receiver<()>,
    pub metadata: watch::Receiver<Arc<Metadata>>,
}

/// A request, and where its things come from.
struct Prepared {
    readers: Vec<(usize, Reader)>,
    read: Vec<Read>,
    body: Bytes,
    tally: Tally,
    newest_ms: i64,
    is_doubtful: bool,
}

/// Gives readers back, whatever happens.
struct Held<'q> {
    queue: &'q Queue,
    readers: Vec<(usize, Reader)>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for (lane, mut reader) in self.readers.drain(..) {
            reader.back();
            self.queue.give_back(lane, reader);
        }
    }
}

/// Works until shutdown, and then sends what is left.
pub async fn run(outlet: Arc<Outlet>, index: usize, shutdown: CancellationToken) {
    let client = Client::new(&outlet.config);
    work(&outlet, &client, index, &shutdown).await;
    let count = *outlet.shards.borrow();
    if index < count && !outlet.counts.is_failing.load(Ordering::Relaxed) {
        // What cannot be sent by then is sent at the next start.
        let _ = tokio::time::timeout(FAREWELL, outlet.send_all(&client, index, count)).await;
    }
}

async fn work(outlet: &Arc<Outlet>, client: &Client, index: usize, shutdown: &CancellationToken) {
    let (mut shards, mut news) = (outlet.shards.clone(), outlet.news.clone());
    let mut waiting_since: Option<Instant> = None;
    while !shutdown.is_cancelled() {
        let count = *shards.borrow_and_update();
        if index >= count {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = shards.changed() => if changed.is_err() { return },
            }
            continue;
        }
        news.borrow_and_update();
        let lanes = (0..LANES).filter(|lane| lane % count == index);
        let pending: u64 = lanes.clone().map(|lane| outlet.queue.pending(lane).0).sum();
        let since = (pending > 0).then(|| waiting_since.unwrap_or_else(Instant::now));
        waiting_since = since;
        let due = since.map(|since| since + outlet.config.queue.send_deadline);
        let is_due = pending >= outlet.per_send() as u64 || due.is_some_and(|due| due <= Instant::now());
        if is_due {
            match outlet.clone().prepare(lanes.collect()).await {
                Some(prepared) => {
                    outlet.deliver(client, prepared, shutdown).await;
                    waiting_since = None;
                    // There may be more, and then nobody needs to wake us.
                    continue;
                }
                // Somebody else has the lanes, or they must wait for others.
                None => waiting_since = Some(Instant::now()),
            }
        }
        let deadline = async {
            match waiting_since.map(|since| since + outlet.config.queue.send_deadline) {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = news.changed() => if changed.is_err() { return },
            _ = shards.changed() => {}
            () = deadline => {}
        }
    }
}

impl Outlet {
    fn per_send(&self) -> usize {
        self.config.queue.samples_per_send.min(self.config.queue.capacity)
    }

    /// Sends until nothing is left.
    async fn send_all(self: &Arc<Self>, client: &Client, index: usize, count: usize) {
        let never = CancellationToken::new();
        let lanes: Vec<usize> = (0..LANES).filter(|lane| lane % count == index).collect();
        while let Some(prepared) = self.clone().prepare(lanes.clone()).await {
            self.deliver(client, prepared, &never).await;
        }
    }

    /// Reads and writes a request; none if there is nothing that may be sent.
    async fn prepare(self: Arc<Self>, lanes: Vec<usize>) -> Option<Prepared> {
        let preparing = tokio::task::spawn_blocking(move || {
            let mut held = Held { readers: self.queue.take(lanes.into_iter()), queue: &self.queue };
            self.fill(&mut held)
        });
        preparing.await.ok().flatten()
    }

    fn fill(&self, held: &mut Held<'_>) -> Option<Prepared> {
        let doubtful = held.readers.iter().position(|(_, reader)| reader.doubtful.is_some());
        let mut chosen: Vec<(usize, Reader)> = match doubtful {
            // Alone, and in one piece: it may have arrived, and must not take others down if it is refused.
            Some(at) => vec![held.readers.swap_remove(at)],
            None => std::mem::take(&mut held.readers),
        };
        chosen.sort_by_cached_key(|(lane, _)| self.queue.pending(*lane).0);
        let now_ms = self.clock.now_ms();
        let oldest_ms = self.queue.oldest_ms().unwrap_or(now_ms);
        let is_behind = oldest_ms < now_ms - AHEAD_MAX_MS;
        let until_ms = if is_behind { oldest_ms + AHEAD_MAX_MS } else { i64::MAX };
        let (mut batch, mut reads, mut count) = (Batch::default(), Vec::new(), 0);
        for (lane, reader) in &mut chosen {
            let (entries, until) = match reader.doubtful {
                Some(until) => (usize::MAX, Some(until)),
                None => (self.per_send() - count, None),
            };
            let read = self.queue.read(*lane, reader, &Reach { entries, until_ms, until }, &mut batch);
            let read = read.unwrap_or_else(|error| {
                tracing::error!(receiver = self.config.name, %error, "a segment of the queue cannot be read");
                Read::default()
            });
            count += read.count();
            reads.push(read);
        }
        let is_damaged = reads.iter().any(|read| !read.damaged.is_empty());
        if count == 0 && !is_damaged {
            held.readers.append(&mut chosen);
            return None;
        }
        if let Some(age) = self.config.queue.sample_age_max {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            self.counts.too_old.add(batch.drop_before(now_ms.saturating_sub(age_ms)));
        }
        let plain = match self.config.message {
            RemoteMessage::V1 => batch.encode_v1(),
            RemoteMessage::V2 => batch.encode_v2(&self.metadata.borrow().clone()),
        };
        Some(Prepared {
            readers: chosen,
            read: reads,
            body: compress(&plain),
            tally: batch.tally(),
            newest_ms: batch.newest_ms(),
            is_doubtful: doubtful.is_some(),
        })
    }

    /// Sends a request until it has arrived or is refused; what is not finished at shutdown is sent at the next start.
    async fn deliver(&self, client: &Client, prepared: Prepared, shutdown: &CancellationToken) {
        let Prepared { readers, read, body, tally, newest_ms, mut is_doubtful } = prepared;
        let mut held = Held { queue: &self.queue, readers };
        let has_things = tally != Tally::default();
        if has_things {
            if let Err(error) = self.queue.sending(&mut held.readers) {
                tracing::warn!(receiver = self.config.name, %error, "what is being sent cannot be remembered");
            }
            self.counts.sent.add(tally);
            let mut attempt = 0;
            let mut backoff = self.config.queue.backoff_min;
            loop {
                let Some(answer) = self.attempt(client, &body, attempt, tally, shutdown).await else { return };
                match answer {
                    Answer::Written => {
                        self.recovered();
                        self.counts.newest_sent_ms.fetch_max(newest_ms, Ordering::Relaxed);
                        break;
                    }
                    Answer::Refused(reason) => {
                        self.refused(&reason, tally, is_doubtful);
                        break;
                    }
                    Answer::Again(reason, wait) => {
                        is_doubtful = true;
                        self.failed(&reason, tally);
                        let wait = wait.unwrap_or_else(|| jittered(backoff));
                        backoff = (backoff * 2).min(self.config.queue.backoff_max);
                        attempt += 1;
                        tokio::select! {
                            () = shutdown.cancelled() => return,
                            () = tokio::time::sleep(wait) => {}
                        }
                    }
                }
            }
        }
        match self.queue.acknowledge(&mut held.readers, &read) {
            Ok(damaged) => add(&self.counts.dropped_damaged, damaged),
            Err(error) => tracing::warn!(receiver = self.config.name, %error, "what arrived cannot be remembered"),
        }
    }

    /// None if the collector stops before there is an answer.
    async fn attempt(
        &self,
        client: &Client,
        body: &Bytes,
        attempt: u32,
        tally: Tally,
        shutdown: &CancellationToken,
    ) -> Option<Answer> {
        let farewell = async {
            shutdown.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let started = Instant::now();
        let has_samples = tally.samples + tally.histograms > 0;
        let answer = tokio::select! {
            answer = client.send(&self.config, body.clone(), attempt, has_samples) => answer,
            () = farewell => return None,
        };
        self.counts.took(started.elapsed());
        add(&self.counts.bytes, body.len() as u64);
        Some(answer)
    }

    fn recovered(&self) {
        let name = &self.config.name;
        if self.counts.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!(receiver = name, "samples can be sent again");
        }
        if self.counts.is_refused.swap(false, Ordering::Relaxed) {
            tracing::info!(receiver = name, "samples are taken again");
        }
        if self.queue.oldest_ms().is_none() {
            self.counts.is_losing.store(false, Ordering::Relaxed);
        }
    }

    fn refused(&self, reason: &str, tally: Tally, is_doubtful: bool) {
        if is_doubtful {
            self.counts.doubtful.add(tally);
            tracing::debug!(receiver = self.config.name, reason, "what may have arrived before is refused");
            return;
        }
        self.counts.failed.add(tally);
        if !self.counts.is_refused.swap(true, Ordering::Relaxed) {
            tracing::error!(receiver = self.config.name, url = %shown(&self.config), reason, "samples are refused, and not sent again");
        }
    }

    fn failed(&self, reason: &str, tally: Tally) {
        self.counts.retried.add(tally);
        if !self.counts.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(receiver = self.config.name, url = %shown(&self.config), reason, "samples cannot be sent; they wait");
        }
    }
}

/// The URL without a password.
pub fn shown(config: &RemoteWrite) -> String {
    let mut url = config.url.clone();
    if url.password().is_some() {
        let _ = url.set_password(Some("xxxxx"));
    }
    url.to_string()
}

pub fn compress(plain: &[u8]) -> Bytes {
    snap::raw::Encoder::new().compress_vec(plain).map(Bytes::from).expect("a request is far shorter than 4 GiB")
}

/// Half to all of a wait, so that many senders do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests;
