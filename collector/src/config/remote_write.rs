//! Where samples are sent: Prometheus' `remote_write`, checked. Names and defaults are Prometheus'.

use std::path::Path;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use url::Url;

use super::http::{self, HttpOptions, Wrong};
use super::raw::remote_write as raw;
use crate::discovery::relabel::RelabelRule;

/// Which of the two messages is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RemoteMessage {
    /// `prometheus.WriteRequest`, of 1.0.
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`, of 2.0.
    V2,
}

/// One of `remote_write`.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteWrite {
    /// Where to.
    pub url: Url,
    /// Unique; a digest of the URL where none is given. The queue's folder is called so.
    pub name: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Applied to series, after external labels are added.
    pub relabel: Vec<RelabelRule>,
    /// Credentials, and whom to believe.
    pub http: HttpOptions,
    /// Which message.
    pub message: RemoteMessage,
    /// Whether exemplars are sent.
    pub send_exemplars: bool,
    /// Whether native histograms are sent.
    pub send_native_histograms: bool,
    /// How the queue is emptied.
    pub queue: QueueOptions,
    /// How metadata is sent.
    pub metadata: MetadataOptions,
}

/// `queue_config`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOptions {
    /// Samples a shard may hold in memory. The queue is on disk, so this only bounds `samples_per_send`.
    pub capacity: usize,
    /// Most requests at once.
    pub shards_max: usize,
    /// Fewest requests at once.
    pub shards_min: usize,
    /// Most samples of a request.
    pub samples_per_send: usize,
    /// How long a sample waits for others to be sent with.
    pub send_deadline: Duration,
    /// Wait before the first retry.
    pub backoff_min: Duration,
    /// Longest wait before a retry.
    pub backoff_max: Duration,
    /// Whether a receiver that answers 429 is asked again; else the samples are dropped.
    pub retry_on_429: bool,
    /// Samples older than this are dropped.
    pub sample_age_max: Option<Duration>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            shards_max: 50,
            shards_min: 1,
            samples_per_send: 2000,
            send_deadline: Duration::from_secs(5),
            backoff_min: Duration::from_millis(30),
            backoff_max: Duration::from_secs(5),
            retry_on_429: false,
            sample_age_max: None,
        }
    }
}

/// `metadata_config`; of 1.0 only, as 2.0 sends metadata with the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataOptions {
    /// Whether it is sent.
    pub send: bool,
    /// How often.
    pub interval: Duration,
    /// Most metrics of a request.
    pub per_send: usize,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { send: true, interval: Duration::from_secs(60), per_send: 2000 }
    }
}

/// Prometheus' default for `remote_timeout`.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Headers that are ours to set, as in Prometheus.
const RESERVED: [&str; 13] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
];

/// Checks an entry; files are named relative to `folder`.
pub(super) fn check(
    mut raw: raw::RemoteWriteConfig,
    relabel: Vec<RelabelRule>,
    folder: &Path,
) -> Result<RemoteWrite, Wrong> {
    let url = Url::parse(&raw.url).map_err(|error| ("url", format!("{:?} is not a URL: {error}", raw.url)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(("url", format!("{:?} is not a scheme; there are http and https", url.scheme())));
    }
    let message = match raw.protobuf_message.as_deref() {
        None | Some("prometheus.WriteRequest") => RemoteMessage::V1,
        Some("io.prometheus.write.v2.Request") => RemoteMessage::V2,
        Some(other) => {
            let known = "there are prometheus.WriteRequest and io.prometheus.write.v2.Request";
            return Err(("protobuf_message", format!("{other:?} is not a message; {known}")));
        }
    };
    let name = if raw.name.is_empty() { digest(&url) } else { std::mem::take(&mut raw.name) };
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) || name.starts_with('.') {
        return Err(("name", format!("{name:?} names a folder too: write letters, digits, _ and - only")));
    }
    let headers = raw.headers.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>()?;
    Ok(RemoteWrite {
        url,
        name,
        timeout: raw.remote_timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT_DEFAULT),
        headers,
        relabel,
        message,
        send_exemplars: raw.send_exemplars,
        send_native_histograms: raw.send_native_histograms,
        queue: queue(&raw.queue_config)?,
        metadata: metadata(&raw.metadata_config)?,
        http: http::check(raw.take_http(), folder)?,
    })
}

/// Eight digits that stand for a URL, much as Prometheus names what has no name.
fn digest(url: &Url) -> String {
    format!("{:08x}", crc32fast::hash(url.as_str().as_bytes()))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Wrong> {
    let parsed = HeaderName::try_from(name).map_err(|_| ("headers", format!("{name:?} cannot be a header")))?;
    if RESERVED.contains(&parsed.as_str()) {
        let remedy = if parsed == "authorization" { "write basic_auth or authorization" } else { "remove it" };
        return Err(("headers", format!("{name:?} is set by this collector; {remedy}")));
    }
    let value = HeaderValue::try_from(value);
    let value = value.map_err(|_| ("headers", format!("{name:?} has a value that no header may have")))?;
    Ok((parsed, value))
}

fn queue(raw: &raw::QueueConfig) -> Result<QueueOptions, Wrong> {
    let default = QueueOptions::default();
    let positive = |given: Option<usize>, default: usize, field| match given {
        Some(0) => Err((field, "must be more than 0".to_owned())),
        given => Ok(given.unwrap_or(default)),
    };
    let backoff_min = raw.min_backoff.filter(|wait| !wait.is_zero()).unwrap_or(default.backoff_min);
    let shards_max = positive(raw.max_shards, default.shards_max, "queue_config.max_shards")?;
    Ok(QueueOptions {
        capacity: positive(raw.capacity, default.capacity, "queue_config.capacity")?,
        shards_max,
        shards_min: positive(raw.min_shards, default.shards_min, "queue_config.min_shards")?.min(shards_max),
        samples_per_send: positive(
            raw.max_samples_per_send,
            default.samples_per_send,
            "queue_config.max_samples_per_send",
        )?,
        send_deadline: raw.batch_send_deadline.unwrap_or(default.send_deadline),
        backoff_min,
        backoff_max: raw.max_backoff.unwrap_or(default.backoff_max).max(backoff_min),
        retry_on_429: raw.retry_on_http_429,
        sample_age_max: raw.sample_age_limit.filter(|age| !age.is_zero()),
    })
}

fn metadata(raw: &raw::MetadataConfig) -> Result<MetadataOptions, Wrong> {
    let default = MetadataOptions::default();
    let per_send = raw.max_samples_per_send.unwrap_or(default.per_send);
    if per_send == 0 {
        return Err(("metadata_config.max_samples_per_send", "must be more than 0".to_owned()));
    }
    Ok(MetadataOptions {
        send: raw.send.unwrap_or(default.send),
        interval: raw.send_interval.filter(|every| !every.is_zero()).unwrap_or(default.interval),
        per_send,
    })
}
