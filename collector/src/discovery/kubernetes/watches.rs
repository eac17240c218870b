//! Watches at API servers: one for all jobs that look at the same objects. Each keeps a record of every object, keeps the last
//! ones while the server is away, says once when trouble begins and once when it ends, and never asks in a hot loop.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::connect;
use super::groups::Records;
use super::record::{Record, Recorded};
use super::trouble::Trouble;
use crate::config::kubernetes::{ApiServer, Role, Selector};

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

/// Watches that may wait to be started.
const STARTS_MAX: usize = 64;

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub server: ApiServer,
    pub kind: Kind,
    pub place: Place,
    pub selector: Selector,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pod,
    Node,
    Service,
    EndpointSlice,
    Namespace,
}

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    Cluster,
    Namespace(String),
    OwnNamespace,
}

impl From<Role> for Kind {
    fn from(role: Role) -> Self {
        match role {
            Role::Pod => Self::Pod,
            Role::Node => Self::Node,
            Role::Service => Self::Service,
            Role::EndpointSlice => Self::EndpointSlice,
        }
    }
}

impl fmt::Display for Scope {
    /// As a right is called: `pods in the namespace shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Pod => "pods",
            Kind::Node => "nodes",
            Kind::Service => "services",
            Kind::EndpointSlice => "endpointslices.discovery.k8s.io",
            Kind::Namespace => "namespaces",
        })?;
        match &self.place {
            Place::Cluster => f.write_str(" in the whole cluster")?,
            Place::Namespace(name) => write!(f, " in the namespace {name}")?,
            Place::OwnNamespace => f.write_str(" in the collector's own namespace")?,
        }
        for selector in [&self.selector.label, &self.selector.field].into_iter().filter(|text| !text.is_empty()) {
            write!(f, " where {selector}")?;
        }
        Ok(())
    }
}

/// Counts of all watches.
#[derive(Debug, Default)]
pub struct WatchCounts {
    /// Times that a list or a watch failed.
    pub failures: AtomicU64,
    /// Watches that follow their objects.
    pub following: AtomicU64,
    /// Watches that are in trouble, and keep what they knew.
    pub failing: AtomicU64,
}

/// All watches, each shared by those who need it, ended when nobody does.
pub struct Watches {
    running: Mutex<HashMap<Scope, Weak<Followed>>>,
    starts: mpsc::Sender<BoxFuture<'static, ()>>,
    /// Counts of all of them.
    pub counts: Arc<WatchCounts>,
}

impl Watches {
    /// No watch yet. Their tasks come out of the channel; who holds it runs them.
    pub fn new(counts: Arc<WatchCounts>) -> (Arc<Self>, mpsc::Receiver<BoxFuture<'static, ()>>) {
        let (starts, tasks) = mpsc::channel(STARTS_MAX);
        (Arc::new(Self { running: Mutex::default(), starts, counts }), tasks)
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
                    let new = Arc::new(Followed::new(self.counts.clone()));
                    running.insert(scope.clone(), Arc::downgrade(&new));
                    (new, true)
                }
            }
        };
        if is_new {
            let task = run(scope, Arc::downgrade(&followed), followed.stop.clone());
            // Without a receiver the collector is stopping.
            let _ = self.starts.send(Box::pin(task)).await;
        }
        followed
    }
}

/// Records of the objects of a scope, kept up to date while somebody holds this.
pub(super) struct Followed {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    stop: CancellationToken,
    counts: Arc<WatchCounts>,
}

#[derive(Default)]
struct State {
    /// `None` until they were listed once.
    records: Option<Arc<Records>>,
    /// The list that is coming in.
    coming: Records,
    health: Health,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Health {
    #[default]
    Starting,
    Following,
    Failing,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.cancel();
        self.set_health(Health::Starting);
    }
}

impl Followed {
    fn new(counts: Arc<WatchCounts>) -> Self {
        Self { state: Mutex::default(), version: watch::Sender::new(0), stop: CancellationToken::new(), counts }
    }

    /// The records; `None` until they were listed once.
    pub fn records(&self) -> Option<Arc<Records>> {
        self.state.lock().records.clone()
    }

    /// Whether it has neither been answered nor failed.
    pub fn is_starting(&self) -> bool {
        self.state.lock().health == Health::Starting
    }

    /// A number that grows with every change.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Waits until the version is a later one.
    pub async fn later_than(&self, seen: u64) {
        // The sender lives as long as this does.
        let _ = self.version.subscribe().wait_for(|version| *version > seen).await;
    }

    /// Takes an event in; `true` if the objects are now known to be up to date.
    fn take<K: Recorded>(&self, event: &Event<K>) -> bool {
        let mut state = self.state.lock();
        let (changed, current) = match event {
            Event::Init => {
                state.coming.clear();
                (false, false)
            }
            Event::InitApply(object) => {
                let record = state.same_or(object.record());
                state.coming.insert((record.namespace.clone(), record.name.clone()), record);
                (false, false)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.coming);
                let changed = state.records.as_deref() != Some(&listed);
                state.records = Some(Arc::new(listed));
                (changed, true)
            }
            Event::Apply(object) => (state.apply(object.record()), true),
            Event::Delete(object) => {
                let record = object.record();
                let key = (record.namespace.clone(), record.name.clone());
                (state.records.as_mut().is_some_and(|records| Arc::make_mut(records).remove(&key).is_some()), true)
            }
        };
        drop(state);
        if changed {
            self.version.send_modify(|version| *version += 1);
        }
        current
    }

    /// Notes how it goes; the health before.
    fn set_health(&self, health: Health) -> Health {
        let before = std::mem::replace(&mut self.state.lock().health, health);
        if before != health {
            for (one, gauge) in [(Health::Following, &self.counts.following), (Health::Failing, &self.counts.failing)] {
                if health == one {
                    gauge.fetch_add(1, Ordering::Relaxed);
                } else if before == one {
                    gauge.fetch_sub(1, Ordering::Relaxed);
                }
            }
            self.version.send_modify(|version| *version += 1);
        }
        before
    }
}

impl State {
    fn same_or(&self, record: Record) -> Arc<Record> {
        let key = (record.namespace.clone(), record.name.clone());
        let known = self.records.as_ref().and_then(|records| records.get(&key));
        known.filter(|known| ***known == record).cloned().unwrap_or_else(|| Arc::new(record))
    }

    fn apply(&mut self, record: Record) -> bool {
        let key = (record.namespace.clone(), record.name.clone());
        let Some(records) = &mut self.records else { return false };
        if records.get(&key).is_some_and(|known| **known == record) {
            return false;
        }
        Arc::make_mut(records).insert(key, Arc::new(record));
        true
    }
}

/// Follows a scope until nobody needs it.
async fn run(scope: Scope, followed: Weak<Followed>, stop: CancellationToken) {
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
            tracing::warn!(watch = %scope, reason = %trouble, "targets cannot be followed; the last known ones are kept");
        }
        Health::Starting => {
            tracing::warn!(watch = %scope, reason = %trouble, "targets cannot be found yet; this is tried again and again");
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
