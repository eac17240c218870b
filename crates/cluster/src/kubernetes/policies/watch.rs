//! Follows ScalingPolicy objects of one namespace, or of all: lists, watches, lists again when it must, and says why when it
//! cannot. A definition that is missing is asked for again with growing pauses until it is there. An object is taken as it is: what
//! is odd about it is for whoever evaluates it to say.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use lifecycle::{CancellationToken, words};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use self::raw::Raw;
use super::{GROUP, KIND, PAUSED_ANNOTATION, PolicyObject, PolicyObjects, REMEDY, VERSION};

pub(super) mod raw;

/// A watch is begun anew after so many seconds, so that a connection that died in silence is noticed.
const WATCH_SECONDS: u32 = 60;

/// First pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause: who installs the definition waits no longer than this for the first decision.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Events taken together before the set is told anew.
const EVENTS_AT_ONCE: usize = 512;

type Objects = BTreeMap<(String, String), Arc<PolicyObject>>;

/// What one follower knows.
#[derive(Debug, Default)]
struct View {
    objects: Objects,
    /// Objects of a list under way.
    listing: Option<Objects>,
    synced: bool,
    trouble: Option<String>,
}

/// Follows the objects of one namespace, or of all.
pub(super) struct Follower {
    api: Api<Raw>,
    place: usize,
    shared: Arc<Shared>,
}

struct Shared {
    views: Mutex<Vec<View>>,
    told: watch::Sender<PolicyObjects>,
}

impl Follower {
    /// A follower for each API, and what they know together.
    pub(super) fn team(apis: Vec<Api<Raw>>) -> (Vec<Self>, watch::Receiver<PolicyObjects>) {
        let views = Mutex::new(apis.iter().map(|_| View::default()).collect());
        let unread = Some("the scaling policies were not read yet".to_owned());
        let (told, objects) = watch::channel(PolicyObjects { objects: Arc::default(), trouble: unread });
        let shared = Arc::new(Shared { views, told });
        let follower = |(place, api)| Self { api, place, shared: Arc::clone(&shared) };
        (apis.into_iter().enumerate().map(follower).collect(), objects)
    }

    /// Follows until shutdown.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut pause = PAUSE_MIN;
        loop {
            let mut events = watcher(self.api.clone(), watcher::Config::default().timeout(WATCH_SECONDS))
                .boxed()
                .ready_chunks(EVENTS_AT_ONCE);
            loop {
                let chunk = tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    chunk = events.next() => chunk,
                };
                let Some(chunk) = chunk else { break };
                let verdict = self.take(chunk);
                match verdict {
                    Verdict::Well => {
                        pause = PAUSE_MIN;
                        continue;
                    }
                    Verdict::Listing => continue,
                    Verdict::Failed { start_anew } => {
                        let jittered = pause.mul_f64(rand::random_range(0.75..1.25));
                        pause = (pause * 2).min(PAUSE_MAX);
                        tokio::select! {
                            () = shutdown.cancelled() => return Ok(()),
                            () = tokio::time::sleep(jittered) => {}
                        }
                        if start_anew {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Takes in what came, tells the set anew where it changed, and says how to go on.
    fn take(&self, chunk: Vec<Result<Event<Raw>, watcher::Error>>) -> Verdict {
        let mut views = self.shared.views.lock();
        let view = &mut views[self.place];
        let mut verdict = Verdict::Listing;
        for event in chunk {
            match event {
                Ok(event) => {
                    if view.apply(event) {
                        verdict = Verdict::Well;
                    }
                }
                Err(error) => verdict = view.fail(&error),
            }
        }
        if matches!(verdict, Verdict::Listing) {
            return verdict;
        }
        let trouble = views.iter().find_map(|view| match &view.trouble {
            Some(trouble) => Some(trouble.clone()),
            None if !view.synced => Some("the scaling policies were not read yet".to_owned()),
            None => None,
        });
        let mut objects: Vec<Arc<PolicyObject>> =
            views.iter().flat_map(|view| view.objects.values().cloned()).collect();
        drop(views);
        // Each namespace is sorted, and they were named in any order.
        objects.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.shared.told.send_replace(PolicyObjects { objects: Arc::new(objects), trouble });
        verdict
    }
}

/// How to go on after a chunk of events.
enum Verdict {
    /// The set is known.
    Well,
    /// A list is under way.
    Listing,
    /// Something failed; whether the watch is of no use any more.
    Failed { start_anew: bool },
}

impl View {
    /// Whether the set is known and up to date after it.
    fn apply(&mut self, event: Event<Raw>) -> bool {
        match event {
            Event::Init => self.listing = Some(Objects::new()),
            Event::InitApply(object) => {
                let object = policy_object(&object);
                let key = (object.namespace.clone(), object.name.clone());
                self.listing.get_or_insert_default().insert(key, Arc::new(object));
            }
            Event::InitDone => {
                self.objects = self.listing.take().unwrap_or_default();
                self.synced = true;
                self.recover();
            }
            Event::Apply(object) => {
                let object = policy_object(&object);
                self.objects.insert((object.namespace.clone(), object.name.clone()), Arc::new(object));
                self.recover();
            }
            Event::Delete(object) => {
                self.objects.remove(&object.key());
            }
        }
        self.listing.is_none()
    }

    fn recover(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the scaling policies can be read again");
        }
    }

    fn fail(&mut self, error: &watcher::Error) -> Verdict {
        let (code, reason) = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => (status.code, status.message.clone()),
            watcher::Error::WatchError(status) => (status.code, status.message.clone()),
            error => (0, words(error)),
        };
        let start_anew = matches!(code, 401 | 403 | 404);
        // A watch that ends is begun anew at once, and says nothing when that went well: only a list that fails, and what will
        // not pass by itself, is worth telling.
        if !start_anew && !matches!(error, watcher::Error::InitialListFailed(_)) {
            return Verdict::Failed { start_anew };
        }
        let trouble = match code {
            404 => {
                self.objects.clear();
                format!("the API server knows no {KIND} of {GROUP}/{VERSION}; {REMEDY}")
            }
            403 => format!("the scaling policies may not be read: {reason}"),
            _ => format!("the scaling policies cannot be read: {reason}"),
        };
        if self.trouble.is_none() {
            tracing::warn!(reason = trouble, "the scaling policies cannot be read; trying again");
        }
        self.trouble = Some(trouble);
        Verdict::Failed { start_anew }
    }
}

/// The object with no more than is needed: thousands are kept.
fn policy_object(object: &Raw) -> PolicyObject {
    let (namespace, name) = object.key();
    let manifest = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": object.data["spec"],
    });
    let metadata = &object.metadata;
    PolicyObject {
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or(0),
        created_at_ms: metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_millisecond()),
        // Who writes anything else than `false` there means it: a mistyped word must not let writes through.
        paused: object.annotation(PAUSED_ANNOTATION).is_some_and(|said| !said.eq_ignore_ascii_case("false")),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        manifest: manifest.to_string(),
        status: object.data["status"].to_string(),
        namespace,
        name,
    }
}
