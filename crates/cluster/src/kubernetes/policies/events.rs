//! Events about policies, as events.k8s.io keeps them. The same one again within minutes becomes one more of a series.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::{GROUP, KIND, PolicyEvent, VERSION};
use crate::EventKind;

/// Kubernetes' own window for a series: six minutes.
const SERIES: Duration = Duration::from_secs(360);

/// Events remembered for their series; more are recorded anew, which is correct and merely longer.
const REMEMBERED_MAX: usize = 4_096;

/// The API server's limit for a note, in bytes.
const NOTE_MAX: usize = 1_024;

/// The component that speaks.
const CONTROLLER: &str = "plimsoll.dev/autoscaler";

/// Records events.
pub(super) struct Recorder {
    client: Client,
    reporter: String,
    recorded: Mutex<HashMap<(String, String, String), Recorded>>,
}

#[derive(Clone)]
struct Recorded {
    name: String,
    count: i32,
    at: Instant,
}

impl Recorder {
    /// Speaks as `reporter`, an instance of the autoscaler.
    pub(super) fn new(client: Client, reporter: String) -> Self {
        let reporter = if reporter.is_empty() { "plimsoll-autoscaler".to_owned() } else { reporter };
        Self { client, reporter, recorded: Mutex::default() }
    }

    /// Records an event, or counts it.
    pub(super) async fn record(&self, event: &PolicyEvent) -> Result<(), kube::Error> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &event.namespace);
        let key = (event.uid.clone(), event.reason.clone(), event.message.clone());
        let now = Instant::now();
        let known = self.recorded.lock().get(&key).filter(|known| now - known.at < SERIES).cloned();
        if let Some(known) = known {
            let count = known.count + 1;
            let series = json!({"count": count, "lastObservedTime": MicroTime(Timestamp::now())});
            let patch = json!({"series": series});
            match api.patch(&known.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => {
                    self.remember(key, Recorded { count, at: now, ..known });
                    return Ok(());
                }
                // It has outlived its hour, or was deleted: then it is told anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let object = self.object(event);
        let name = object.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &object).await?;
        self.remember(key, Recorded { name, count: 1, at: now });
        Ok(())
    }

    fn remember(&self, key: (String, String, String), event: Recorded) {
        let now = event.at;
        let mut recorded = self.recorded.lock();
        if recorded.len() >= REMEMBERED_MAX {
            recorded.retain(|_, known| now - known.at < SERIES);
        }
        if recorded.len() < REMEMBERED_MAX {
            recorded.insert(key, event);
        }
    }

    fn object(&self, event: &PolicyEvent) -> Event {
        let now = Timestamp::now();
        let suffix = u64::try_from(now.as_nanosecond()).unwrap_or(0) ^ u64::from(rand::random::<u16>());
        let text = |text: &str| Some(text.to_owned());
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{suffix:x}", shortened(&event.name, 200))),
                namespace: Some(event.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: text(event.action),
            event_time: Some(MicroTime(now)),
            note: Some(shortened(&event.message, NOTE_MAX).to_owned()),
            reason: Some(event.reason.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(format!("{GROUP}/{VERSION}")),
                kind: text(KIND),
                name: Some(event.name.clone()),
                namespace: Some(event.namespace.clone()),
                uid: Some(event.uid.clone()),
                ..ObjectReference::default()
            }),
            related: event.workload.as_ref().map(|workload| ObjectReference {
                api_version: text("apps/v1"),
                kind: Some(workload.kind.to_string()),
                name: Some(workload.name.clone()),
                namespace: Some(workload.namespace.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: text(CONTROLLER),
            reporting_instance: Some(shortened(&self.reporter, 128).to_owned()),
            series: None::<EventSeries>,
            type_: text(match event.kind {
                EventKind::Normal => "Normal",
                EventKind::Warning => "Warning",
            }),
            ..Event::default()
        }
    }
}

/// The text, or as much of its beginning as fits.
fn shortened(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
