//! What is posted: Alertmanager's API for alerts, and what Alertmanager posts to webhooks. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::rules::ALERT_NAME;
use crate::rules::file::{Texts, texts};
use crate::rules::notice::Notice;
use crate::series::Labels;

/// What Go writes for no time at all: a firing alert has no end.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'a> {
    labels: Texts,
    annotations: &'a Texts,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

/// The body of a post to Alertmanager's `/api/v2/alerts`.
pub(super) fn for_alertmanager(notices: &[Notice]) -> Vec<u8> {
    let alert = |notice| {
        let Notice { labels, annotations, starts_at_ms, ends_at_ms, generator_url, .. }: &Notice = notice;
        PostableAlert {
            labels: texts(labels),
            annotations,
            starts_at: time(*starts_at_ms),
            ends_at: time(*ends_at_ms),
            generator_url,
        }
    };
    json(&notices.iter().map(alert).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookMessage<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
    status: &'static str,
    receiver: &'a str,
    group_labels: Texts,
    common_labels: Texts,
    common_annotations: Texts,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<WebhookAlert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookAlert<'a> {
    status: &'static str,
    labels: Texts,
    annotations: &'a Texts,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

/// The body of a post to a webhook: alerts of one name, as Alertmanager posts them when it groups by `alertname`.
pub(super) fn for_webhook(notices: &[Notice], receiver: &str, external_url: &str) -> Vec<u8> {
    let status = |is_resolved| if is_resolved { "resolved" } else { "firing" };
    let name = notices.first().map_or("", |notice| name(notice));
    let alerts = notices.iter().map(|notice| WebhookAlert {
        status: status(notice.is_resolved),
        labels: texts(&notice.labels),
        annotations: &notice.annotations,
        starts_at: time(notice.starts_at_ms),
        ends_at: if notice.is_resolved { time(notice.ends_at_ms) } else { NEVER.to_owned() },
        generator_url: &notice.generator_url,
        fingerprint: fingerprint(&notice.labels),
    });
    json(&WebhookMessage {
        version: "4",
        group_key: format!("{{}}:{{{ALERT_NAME}={name:?}}}"),
        truncated_alerts: 0,
        status: status(notices.iter().all(|notice| notice.is_resolved)),
        receiver,
        group_labels: Texts::from([(ALERT_NAME.to_owned(), name.to_owned())]),
        common_labels: common(notices.iter().map(|notice| texts(&notice.labels))),
        common_annotations: common(notices.iter().map(|notice| notice.annotations.clone())),
        external_url,
        alerts: alerts.collect(),
    })
}

/// The alert's name.
pub(super) fn name(notice: &Notice) -> &str {
    notice.labels.get(ALERT_NAME).unwrap_or_default()
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("texts by name and lists of them are JSON")
}

fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
}

/// What all have.
fn common(mut all: impl Iterator<Item = Texts>) -> Texts {
    let first = all.next().unwrap_or_default();
    all.fold(first, |common, texts| {
        let same = common.into_iter().filter(|(name, text)| texts.get(name) == Some(text));
        same.collect::<BTreeMap<_, _>>()
    })
}

/// How Alertmanager names a set of labels: FNV-1a of names and values, each followed by 255.
fn fingerprint(labels: &Labels) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in labels.iter().flat_map(|(name, value)| [name, value]) {
        for byte in part.bytes().chain([255]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}
