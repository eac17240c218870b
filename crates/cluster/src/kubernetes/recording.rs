//! Records events about workloads with the cluster (events.k8s.io/v1), the same one again as a count of the first. Not kube's
//! `Recorder`: that one takes two events with the same reason and different words for one, and shows the words of the first.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Event, EventKind, WorkloadRef};

/// The same event again within this time is counted: kube's and client-go's window.
const SAME_WITHIN: Duration = Duration::from_secs(6 * 60);

/// A count is written at least this often while it grows, so that the cluster does not forget the event after an hour.
const WRITE_COUNT_AFTER: Duration = Duration::from_secs(5 * 60);

/// Events remembered for being counted; the longest unseen goes first.
const REMEMBERED_MAX: usize = 2000;

/// Longest note and reason that the API server takes.
const NOTE_MAX: usize = 1024;
const REASON_MAX: usize = 128;

/// So much of the workload's name that a number fits into the 253 bytes of a name.
const NAME_MAX: usize = 230;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sameness {
    workload: WorkloadRef,
    warning: bool,
    reason: String,
    message: String,
}

#[derive(Debug, Clone)]
struct Remembered {
    name: String,
    count: u32,
    seen: Instant,
    written: Instant,
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A new one.
    Create { name: String, body: Value },
    /// A count for one that is there.
    Count { name: String, body: Value },
    /// It is counted here, and written later.
    Nothing,
}

/// What was recorded lately.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    remembered: Mutex<HashMap<Sameness, Remembered>>,
}

impl Recorder {
    /// What to write for an event. `uid` is the workload's.
    pub fn entry(&self, event: &Event, uid: &str, reporter: &str) -> Entry {
        let now = Instant::now();
        let mut remembered = self.remembered.lock();
        remembered.retain(|_, known| now.duration_since(known.seen) < SAME_WITHIN);
        if let Some(known) = remembered.get_mut(&sameness(event)) {
            known.count = known.count.saturating_add(1);
            known.seen = now;
            // 2, 4, 8, and every few minutes: what comes with every tick does not write with every tick.
            if !known.count.is_power_of_two() && now.duration_since(known.written) < WRITE_COUNT_AFTER {
                return Entry::Nothing;
            }
            known.written = now;
            let body = json!({ "series": { "count": known.count, "lastObservedTime": micro_time(event.at_ms) } });
            return Entry::Count { name: known.name.clone(), body };
        }
        if remembered.len() >= REMEMBERED_MAX
            && let Some(oldest) = remembered.iter().min_by_key(|(_, known)| known.seen).map(|(key, _)| key.clone())
        {
            remembered.remove(&oldest);
        }
        let name = format!("{}.{:x}", cut(&event.workload.name, NAME_MAX), rand::random::<u64>());
        let known = Remembered { name: name.clone(), count: 1, seen: now, written: now };
        remembered.insert(sameness(event), known);
        Entry::Create { body: body(event, &name, uid, reporter), name }
    }

    /// An entry could not be written: the next of its kind is a new one.
    pub fn forget(&self, event: &Event) {
        self.remembered.lock().remove(&sameness(event));
    }
}

fn sameness(event: &Event) -> Sameness {
    Sameness {
        workload: event.workload.clone(),
        warning: event.kind == EventKind::Warning,
        reason: event.reason.clone(),
        message: event.message.clone(),
    }
}

fn body(event: &Event, name: &str, uid: &str, reporter: &str) -> Value {
    let WorkloadRef { kind, namespace, name: workload } = &event.workload;
    let kind = kind.to_string();
    let mut regarding = json!({ "apiVersion": "apps/v1", "kind": kind, "namespace": namespace, "name": workload });
    if !uid.is_empty() {
        regarding["uid"] = json!(uid);
    }
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": name, "namespace": namespace },
        "eventTime": micro_time(event.at_ms),
        "type": match event.kind { EventKind::Normal => "Normal", EventKind::Warning => "Warning" },
        "reason": cut(&event.reason, REASON_MAX),
        "action": "Scaling",
        "note": cut(&event.message, NOTE_MAX),
        "regarding": regarding,
        "reportingController": "plimsoll.dev/autoscaler",
        "reportingInstance": cut(reporter, REASON_MAX),
    })
}

/// At most so many bytes, at a character's end.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// RFC 3339 with microseconds, as MicroTime is written.
fn micro_time(at_ms: i64) -> String {
    let time = k8s_openapi::jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorkloadKind;

    fn event(message: &str) -> Event {
        let (namespace, name) = ("shop".to_owned(), "order".to_owned());
        Event {
            at_ms: 1_795_406_400_123,
            workload: WorkloadRef { kind: WorkloadKind::Deployment, namespace, name },
            kind: EventKind::Normal,
            reason: "SuccessfulRescale".to_owned(),
            message: message.to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_again_is_counted_and_seldom_written() {
        let recorder = Recorder::default();
        let Entry::Create { name: first, body } = recorder.entry(&event("1 to 3"), "u", "me") else { panic!() };
        assert_eq!(body["eventTime"], "2026-11-23T04:00:00.123000Z");
        assert_eq!((&body["note"], &body["regarding"]["uid"]), (&json!("1 to 3"), &json!("u")));
        assert!(
            matches!(recorder.entry(&event("3 to 5"), "u", "me"), Entry::Create { .. }),
            "other words, another event"
        );
        let mut written = Vec::new();
        for _ in 2..=100 {
            tokio::time::advance(Duration::from_millis(100)).await;
            if let Entry::Count { name, body } = recorder.entry(&event("1 to 3"), "u", "me") {
                assert_eq!(name, first);
                written.push(body["series"]["count"].as_u64().unwrap());
            }
        }
        assert_eq!(written, [2, 4, 8, 16, 32, 64]);
        tokio::time::advance(WRITE_COUNT_AFTER).await;
        assert!(matches!(recorder.entry(&event("1 to 3"), "u", "me"), Entry::Count { .. }));
        tokio::time::advance(SAME_WITHIN).await;
        assert!(matches!(recorder.entry(&event("1 to 3"), "u", "me"), Entry::Create { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn remembers_no_more_than_its_limit_and_cuts_long_notes() {
        let recorder = Recorder::default();
        for number in 0..REMEMBERED_MAX + 10 {
            recorder.entry(&event(&number.to_string()), "", "me");
        }
        assert_eq!(recorder.remembered.lock().len(), REMEMBERED_MAX);
        let Entry::Create { body, .. } = recorder.entry(&event(&"ü".repeat(2000)), "", "me") else { panic!() };
        assert_eq!(body["note"].as_str().unwrap().len(), NOTE_MAX);
        assert!(body["regarding"].get("uid").is_none());
    }
}
