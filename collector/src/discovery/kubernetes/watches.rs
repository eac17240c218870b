//! Watches at API servers: one for all jobs that look at the same objects. Each keeps a record of every object, keeps the last
//! ones while the server is away, says once when trouble begins and once when it ends, and never asks in a hot loop.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::connect;
use super::followed::{Followed, Health, WatchCounts};
use super::record::Recorded;
use super::scope::{Kind, Place, Scope};
use super::texts::Texts;
use super::trouble::Trouble;

/// How long a watch is open before it is opened anew from where it was: so a connection that is dead without a word is
/// noticed after this long, as client-go notices it by pings after 45 s.
const WATCH_SECONDS: u32 = 40;

/// How long an answer may stand still: longer than a watch is open, so that only a dead connection does.
const READ_PATIENCE: Duration = Duration::from_secs(50);

/// Objects of one page of a list: client-go's size.
const PAGE: u32 = 500;

/// The pause after a first failure; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// The longest pause while a server is away: new pods should not wait long when it is back, and a request every few seconds
/// burdens no server.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pause when only an engineer can mend what is wrong.
const PAUSE_LASTING: Duration = Duration::from_secs(30);

/// What is said of a watch in trouble.
const LAST_KNOWN: &str = "targets cannot be followed; the last known ones are kept";
const NONE_YET: &str = "targets cannot be found yet; this is tried again and again";

/// Watches that may wait to be started.
const STARTS_MAX: usize = 64;

/// All watches, each shared by those who need it, ended when nobody does.
pub struct Watches {
    running: Mutex<HashMap<Scope, Weak<Followed>>>,
    starts: mpsc::Sender<BoxFuture<'static, ()>>,
    texts: Arc<Texts>,
    /// Counts of all of them.
    pub counts: Arc<WatchCounts>,
}

impl Watches {
    /// No watch yet. Their tasks come out of the channel; who holds it runs them.
    pub fn new(counts: Arc<WatchCounts>) -> (Arc<Self>, mpsc::Receiver<BoxFuture<'static, ()>>) {
        let (starts, tasks) = mpsc::channel(STARTS_MAX);
        (Arc::new(Self { running: Mutex::default(), starts, texts: Arc::default(), counts }), tasks)
    }

    /// Follows each of the scopes.
    pub(super) async fn follow_all(&self, scopes: Vec<Scope>) -> Vec<Arc<Followed>> {
        let mut all = Vec::new();
        for scope in scopes {
            all.push(self.follow(scope).await);
        }
        all
    }

    async fn follow(&self, scope: Scope) -> Arc<Followed> {
        let (followed, is_new) = {
            let mut running = self.running.lock();
            running.retain(|_, known| known.strong_count() > 0);
            match running.get(&scope).and_then(Weak::upgrade) {
                Some(known) => (known, false),
                None => {
                    let new = Arc::new(Followed::new(self.counts.clone(), self.texts.clone()));
                    running.insert(scope.clone(), Arc::downgrade(&new));
                    (new, true)
                }
            }
        };
        if is_new {
            let task = run(scope, Arc::downgrade(&followed), followed.stop.clone(), self.counts.clone());
            // Without a receiver the collector is stopping.
            let _ = self.starts.send(Box::pin(task)).await;
        }
        followed
    }
}

/// Follows a scope until nobody needs it.
async fn run(scope: Scope, followed: Weak<Followed>, stop: CancellationToken, counts: Arc<WatchCounts>) {
    let following = async {
        match scope.kind {
            Kind::Pod => follow::<Pod>(&scope, &followed, within).await,
            Kind::Service => follow::<Service>(&scope, &followed, within).await,
            Kind::EndpointSlice => follow::<EndpointSlice>(&scope, &followed, within).await,
            Kind::Node => follow::<Node>(&scope, &followed, |client, _| Api::all(client)).await,
            Kind::Namespace => follow::<Namespace>(&scope, &followed, |client, _| Api::all(client)).await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = following => {}
    }
    counts.note(&scope, None);
}

/// The objects of a namespace, or of all.
fn within<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
    client: Client,
    namespace: Option<&str>,
) -> Api<K> {
    match namespace {
        Some(name) => Api::namespaced(client, name),
        None => Api::all(client),
    }
}

/// A client, and a namespace if only one is looked at.
type ApiOf<K> = fn(Client, Option<&str>) -> Api<K>;

async fn follow<K>(scope: &Scope, followed: &Weak<Followed>, api: ApiOf<K>)
where
    K: Resource + Recorded + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    let mut failures = 0u32;
    loop {
        let (trouble, was_current) = until_trouble(scope, followed, api).await;
        let Some(followed) = followed.upgrade() else { return };
        failures = if was_current { 1 } else { failures.saturating_add(1) };
        if !matches!(trouble, Trouble::Behind { .. }) {
            followed.counts.failures.fetch_add(1, Ordering::Relaxed);
            let known = if followed.records().is_some() { LAST_KNOWN } else { NONE_YET };
            followed.counts.note(scope, Some(format!("{scope}: {known}: {trouble}")));
            begin_trouble(scope, followed.set_health(Health::Failing), &trouble);
        }
        drop(followed);
        sleep(pause(&trouble, failures)).await;
    }
}

/// Connects, lists and watches until something goes wrong. Also whether all went well in between.
async fn until_trouble<K>(scope: &Scope, followed: &Weak<Followed>, api: ApiOf<K>) -> (Trouble, bool)
where
    K: Resource + Recorded + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    let api = match open(scope, api).await {
        Ok(api) => api,
        Err(trouble) => return (trouble, false),
    };
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    if !scope.selector.label.is_empty() {
        config = config.labels(&scope.selector.label);
    }
    if !scope.selector.field.is_empty() {
        config = config.fields(&scope.selector.field);
    }
    let mut was_current = false;
    let mut events = std::pin::pin!(watcher(api, config));
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                let Some(followed) = followed.upgrade() else { return std::future::pending().await };
                if followed.take(&event) && !was_current {
                    was_current = true;
                    followed.counts.note(scope, None);
                    if followed.set_health(Health::Following) == Health::Failing {
                        tracing::info!(watch = %scope, "targets are followed again");
                    }
                }
            }
            Some(Err(error)) => return (Trouble::of(&error, scope), was_current),
            None => return (Trouble::Unreachable { reason: "the watch ended".to_owned() }, was_current),
        }
    }
}

async fn open<K>(scope: &Scope, api: ApiOf<K>) -> Result<Api<K>, Trouble> {
    let client = connect::client(&scope.server, READ_PATIENCE).await?;
    Ok(match &scope.place {
        Place::Cluster => api(client, None),
        Place::Namespace(name) => api(client, Some(name)),
        Place::OwnNamespace => api(client, Some(&connect::own_namespace()?)),
    })
}

/// Says what is wrong, if it was well before.
fn begin_trouble(scope: &Scope, before: Health, trouble: &Trouble) {
    match before {
        Health::Failing => {}
        Health::Following => {
            tracing::warn!(watch = %scope, reason = %trouble, "{LAST_KNOWN}");
        }
        Health::Starting => {
            tracing::warn!(watch = %scope, reason = %trouble, "{NONE_YET}");
        }
    }
}

/// How long to wait before the next try: longer each time, and never in step with other collectors.
fn pause(trouble: &Trouble, failures: u32) -> Duration {
    let longest = if trouble.is_lasting() {
        PAUSE_LASTING
    } else {
        PAUSE_MAX.min(PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)))
    };
    longest.mul_f64(rand::random_range(0.5..1.0))
}
