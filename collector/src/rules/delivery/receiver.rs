//! One receiver: its queue, and the loop that empties it. What fails for now is tried again with growing pauses; what the
//! receiver will never take is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use lifecycle::{CancellationToken, Clock};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::payload;
use super::queue::Queue;
use super::repeat::Repeat;
use super::{DeliveryCounts, Dropped, ReceiverLabels, ReceiverStatus, relabelled};
use crate::discovery::relabel::RelabelRule;
use crate::rules::notice::Notice;
use crate::series::Labels;
use crate::transport::Transport;

/// The first pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause: half the usual delay after which an alert is said again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long the last notices may take when the collector ends: half of what all its tasks have.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// Bytes of a refusal that are read, for its reason.
const REASON_BYTES_MAX: usize = 1024;

/// What a receiver understands.
pub(super) enum Language {
    /// Alertmanager's API.
    Alertmanager,
    /// What Alertmanager posts to webhooks.
    Webhook(Mutex<Repeat>),
}

/// What a receiver is made of.
pub(super) struct Parts {
    pub name: String,
    pub url: Url,
    pub language: Language,
    pub transport: Arc<Transport>,
    pub timeout: Duration,
    pub alert_relabel: Vec<RelabelRule>,
    pub counts: Arc<DeliveryCounts>,
    pub external_url: Arc<Url>,
}

/// One receiver.
pub(super) struct Receiver {
    parts: Parts,
    queue: Mutex<Queue>,
    more: Notify,
    sent: AtomicU64,
    errors: AtomicU64,
    is_failing: AtomicBool,
}

/// Why a post failed.
enum Failure {
    /// It may go well later.
    Now(String),
    /// It never will.
    Ever(String),
}

impl Receiver {
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            queue: Mutex::default(),
            more: Notify::new(),
            sent: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    pub fn name(&self) -> &str {
        &self.parts.name
    }

    fn labels(&self) -> ReceiverLabels {
        vec![("alertmanager", self.parts.name.clone())]
    }

    pub fn is_alertmanager(&self) -> bool {
        matches!(self.parts.language, Language::Alertmanager)
    }

    pub fn status(&self) -> ReceiverStatus {
        ReceiverStatus {
            name: self.parts.name.clone(),
            sent: self.sent.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            queued: self.queue.lock().len(),
        }
    }

    /// Queues what concerns this receiver.
    pub fn take(&self, notices: &[Notice], now_ms: i64) {
        let mut dropped = 0;
        for notice in notices {
            let Some(notice) = relabelled(notice.clone(), &Labels::default(), &self.parts.alert_relabel) else {
                continue;
            };
            if let Language::Webhook(repeat) = &self.parts.language
                && !repeat.lock().admits(&notice, now_ms)
            {
                // Saying it again keeps one that still waits from expiring.
                self.queue.lock().renew(notice);
                continue;
            }
            dropped += self.queue.lock().push(notice);
        }
        self.parts.counts.lose(Dropped::QueueFull, dropped);
        self.more.notify_one();
    }

    /// Tells what is queued until stopped, then once more what is left.
    pub async fn run(self: Arc<Self>, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        loop {
            let told = async {
                loop {
                    match self.tell(clock.now_ms()).await {
                        Told::Nothing => self.more.notified().await,
                        Told::All => pause = PAUSE_MIN,
                        Told::Failed => {
                            // Those that failed together do not come back together.
                            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                            pause = (pause * 2).min(PAUSE_MAX);
                        }
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = told => {}
            }
        }
        let last_words = async { while matches!(self.tell(clock.now_ms()).await, Told::All) {} };
        // What does not go out now is counted below.
        let _ = timeout(LAST_WORDS_MAX, last_words).await;
        let left = self.queue.lock().len();
        self.parts.counts.lose(Dropped::Ended, left);
        self.parts.counts.latency.remove(&self.labels());
    }

    async fn tell(&self, now_ms: i64) -> Told {
        let batch = self.queue.lock().take(now_ms);
        self.parts.counts.lose(Dropped::Expired, batch.expired);
        if batch.notices.is_empty() {
            return if batch.expired > 0 { Told::All } else { Told::Nothing };
        }
        // Whatever happens to this task, what was not told is in the queue.
        let mut unfinished = Unfinished { receiver: self, notices: batch.notices };
        while !unfinished.notices.is_empty() {
            let count = self.group_len(&unfinished.notices);
            let body = self.body(&unfinished.notices[..count]);
            let began = Instant::now();
            let result = self.post(body).await;
            self.parts.counts.latency.get_or_create(&self.labels()).observe(began.elapsed().as_secs_f64());
            self.say_change(result.as_ref().err());
            match result {
                Ok(()) => {
                    self.sent.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(failure) => {
                    self.errors.fetch_add(count as u64, Ordering::Relaxed);
                    if matches!(failure, Failure::Now(_)) {
                        return Told::Failed;
                    }
                    self.parts.counts.lose(Dropped::Refused, count);
                }
            }
            unfinished.notices.drain(..count);
        }
        Told::All
    }

    /// How many of the first go out together: an Alertmanager takes all, a webhook one alert's at a time.
    fn group_len(&self, notices: &[Notice]) -> usize {
        match self.parts.language {
            Language::Alertmanager => notices.len(),
            Language::Webhook(_) => {
                let first = payload::name(&notices[0]);
                notices.iter().take_while(|notice| payload::name(notice) == first).count()
            }
        }
    }

    fn body(&self, notices: &[Notice]) -> Vec<u8> {
        match self.parts.language {
            Language::Alertmanager => payload::for_alertmanager(notices),
            Language::Webhook(_) => {
                payload::for_webhook(notices, &self.parts.name, crate::rules::template::shown(&self.parts.external_url))
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), Failure> {
        let request = Request::post(self.parts.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, crate::scrape::USER_AGENT)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::Ever(error.to_string()))?;
        let answered = async {
            let response = self.parts.transport.send(&request).await.map_err(Failure::Now)?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            let text = Limited::new(response.into_body(), REASON_BYTES_MAX).collect().await;
            let text = text.map(|text| String::from_utf8_lossy(&text.to_bytes()).trim().to_owned()).unwrap_or_default();
            let reason = format!("it answered {status}: {text}");
            let is_busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
            // Credentials and addresses are mended while alerts wait.
            let is_mendable =
                [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&status);
            let is_for_now = !status.is_client_error() || is_busy || is_mendable;
            Err(if is_for_now { Failure::Now(reason) } else { Failure::Ever(reason) })
        };
        match timeout(self.parts.timeout, answered).await {
            Ok(result) => result,
            Err(_) => {
                let limit = protocol::duration::Display(self.parts.timeout);
                Err(Failure::Now(format!("no answer within {limit}")))
            }
        }
    }

    /// Says when telling begins to fail and when it ends.
    fn say_change(&self, failure: Option<&Failure>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        let receiver = &self.parts.name;
        match failure {
            Some(Failure::Now(reason)) if !was_failing => {
                tracing::error!(receiver, reason, "a receiver of alerts cannot be told; it is tried again");
            }
            Some(Failure::Ever(reason)) => {
                tracing::error!(receiver, reason, "a receiver of alerts refuses some, which are dropped");
            }
            None if was_failing => tracing::info!(receiver, "a receiver of alerts can be told again"),
            _ => {}
        }
    }
}

/// What came of an attempt.
enum Told {
    /// There was nothing to tell.
    Nothing,
    /// It is told, or never will be.
    All,
    /// It is to be tried again.
    Failed,
}

/// Notices that are on their way; they are queued again if they do not arrive.
struct Unfinished<'a> {
    receiver: &'a Receiver,
    notices: Vec<Notice>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let dropped = self.receiver.queue.lock().put_back(std::mem::take(&mut self.notices));
        self.receiver.parts.counts.lose(Dropped::QueueFull, dropped);
    }
}
