//! Keeps one kind of object of one namespace (or of all) in the state: lists in pages, then watches from where the list ended, and
//! begins anew when the server has forgotten that place (410). Failures are told to the board once, and retried with back-off
//! and jitter. Written here rather than taken from kube's `watcher` because whoever plans must know when a broken watch has
//! caught up again, which that one does not tell. An object of an unexpected shape is left as it was last known, and named once.
//! Knows nothing about what the objects mean: see `state`.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncBufReadExt;
use kube::Client;
use kube::api::{ListParams, Request, WatchEvent, WatchParams};
use lifecycle::{CancellationToken, words};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::health::{Board, SourceId};
use super::patience::{BackOff, jittered};
use super::state::{Key, State};
use super::wire::Meta;
use super::{Picture, rights};
use reading::{Line, Odd, Page};

mod reading;

/// Objects a page: client-go's own choice. A page of large pods is a few MiB of text.
const PAGE: u32 = 500;

/// Longest time for a page; the API server's own limit for a request is 60 s.
const LIST_PATIENCE: Duration = Duration::from_secs(30);

/// Longest time until a watch begins: its headers come at once.
const BEGIN_PATIENCE: Duration = Duration::from_secs(10);

/// The server ends a watch after this long, so that the load moves between servers: client-go's 5 to 10 minutes, the shorter.
const WATCH_TIME: Duration = Duration::from_secs(300);

/// A watch on which nothing was heard for so long is dead: bookmarks come every minute.
const IDLE_MAX: Duration = Duration::from_secs(150);

/// Everything is listed anew after this long, should an event ever have been lost.
const RESYNC: Duration = Duration::from_secs(30 * 60);

/// A watch that lived this long has forgiven the failures before it.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);

/// An API that is not there is looked for this often: someone may install it.
const ABSENT_RETRY: Duration = Duration::from_secs(300);

/// An optional kind of object that cannot be read for so long, such as one whose conversion webhook is broken, is done without.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// Objects of an unexpected shape that are named, for each watch; with more something is wrong with the kind.
const ODD_NAMED_MAX: usize = 20;

/// A kind of object as the API knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    /// Nothing can be planned without it.
    pub required: bool,
    /// Only metadata is asked for.
    pub metadata_only: bool,
}

impl Resource {
    /// Path of the collection.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural)
            }
            _ => format!("{root}/{}/{}", self.version, self.plural),
        }
    }
}

/// A kind of object that is kept in the state.
pub(super) trait Watched: DeserializeOwned + Clone + Send + Sync + 'static {
    /// Where to find it.
    const RESOURCE: Resource;

    fn meta(&self) -> &Meta;

    /// Takes one in; whether that changed anything.
    fn apply(self, state: &mut State) -> bool;

    /// Forgets one; whether that changed anything.
    fn remove(key: &Key, state: &mut State) -> bool;

    /// Those that are known, of one namespace or of all.
    fn known(state: &State, namespace: Option<&str>) -> Vec<Key>;
}

/// Why a watch, or a list, ended.
#[derive(Debug)]
enum Trouble {
    /// The server has forgotten the place from which to go on.
    Expired,
    /// There is no such API.
    Absent,
    Forbidden {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

/// What a watch is called on the board.
pub(super) fn name<W: Watched>(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if W::RESOURCE.namespaced => format!("{} in {namespace}", W::RESOURCE.plural),
        _ => W::RESOURCE.plural.to_owned(),
    }
}

/// Watches until `shutdown`.
pub(super) async fn keep<W: Watched>(
    client: Client,
    namespace: Option<String>,
    picture: Arc<Picture>,
    source: SourceId,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::<W> {
        request: Request::new(W::RESOURCE.path(namespace.as_deref())),
        client,
        namespace,
        picture,
        source,
        version: None,
        listed: Instant::now(),
        epoch: 0,
        odd: BTreeMap::new(),
        kind: std::marker::PhantomData,
    };
    let mut back_off = BackOff::default();
    let mut epoch = watch.picture.board.epoch();
    loop {
        let began = Instant::now();
        watch.epoch = *epoch.borrow_and_update();
        let ended = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ended = watch.turn() => ended,
            // After a long silence a connection that looks alive may be dead, and what a resumed watch replays comes after its
            // headers: what was missed is listed before anything is believed again.
            _ = epoch.changed() => {
                watch.version = None;
                continue;
            }
        };
        if began.elapsed() > FORGIVEN_AFTER {
            back_off = BackOff::default();
        }
        let wait = watch.take_note(ended, &mut back_off);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(wait) => {}
            _ = epoch.changed() => watch.version = None,
        }
    }
}

struct Watch<W> {
    request: Request,
    client: Client,
    namespace: Option<String>,
    picture: Arc<Picture>,
    source: SourceId,
    /// From where to go on; `None` to list first.
    version: Option<String>,
    listed: Instant,
    /// The board's, when this turn began.
    epoch: u64,
    /// Objects of an unexpected shape, and in what.
    odd: BTreeMap<Key, String>,
    kind: std::marker::PhantomData<W>,
}

impl<W: Watched> Watch<W> {
    /// Lists if need be, then watches until that ends.
    async fn turn(&mut self) -> Result<(), Trouble> {
        if self.listed.elapsed() > RESYNC {
            self.version = None;
        }
        let version = match self.version.take() {
            Some(version) => version,
            None => self.list().await?,
        };
        self.version = Some(version.clone());
        self.watch(&version).await
    }

    async fn list(&mut self) -> Result<String, Trouble> {
        let mut seen: HashSet<Key> = HashSet::new();
        let mut odd: HashSet<Key> = HashSet::new();
        let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
        loop {
            let page = self.page(&params).await?;
            for object in page.odd {
                seen.insert(object.key.clone());
                odd.insert(object.key.clone());
                self.name_odd(object);
            }
            {
                let mut state = self.picture.state.lock();
                let mut changed = false;
                for object in page.objects {
                    seen.insert(Key::of(object.meta()));
                    changed |= object.apply(&mut state);
                }
                drop(state);
                self.picture.changed(changed);
            }
            if page.metadata.next.is_empty() {
                self.forget_unseen(&seen);
                self.odd.retain(|key, _| odd.contains(key));
                self.listed = Instant::now();
                return Ok(page.metadata.resource_version);
            }
            params.continue_token = Some(page.metadata.next);
        }
    }

    async fn page(&self, params: &ListParams) -> Result<Page<W>, Trouble> {
        let built =
            if W::RESOURCE.metadata_only { self.request.list_metadata(params) } else { self.request.list(params) };
        let mut request = built.map_err(|error| Trouble::Failed { reason: words(&error) })?;
        request.extensions_mut().insert("list");
        let answer = timeout(LIST_PATIENCE, self.client.request_text(request)).await;
        let late = || Trouble::Failed { reason: format!("no answer within {} s", LIST_PATIENCE.as_secs()) };
        let text = answer.map_err(|_| late())?.map_err(|error| self.trouble(&error, "list"))?;
        reading::page(&text).map_err(|reason| Trouble::Failed { reason })
    }

    /// Says once of each that it cannot be read.
    fn name_odd(&mut self, Odd { key, reason, .. }: Odd) {
        if self.odd.contains_key(&key) {
            return;
        }
        let (kind, count) = (W::RESOURCE.plural, self.odd.len() + 1);
        if count <= ODD_NAMED_MAX {
            let object = format!("{}/{}", key.namespace(), key.name());
            tracing::warn!(
                kind,
                object,
                reason,
                count,
                "an object has an unexpected shape, and is left as it was last known"
            );
        }
        self.odd.insert(key, reason);
    }

    /// One that is read, or went, is odd no more.
    fn forget_odd(&mut self, key: &Key) {
        if !self.odd.is_empty() && self.odd.remove(key).is_some() {
            let (kind, count) = (W::RESOURCE.plural, self.odd.len());
            tracing::info!(kind, object = key.name(), count, "an object of an unexpected shape is so no more");
        }
    }

    /// What was known and is not there any more.
    fn forget_unseen(&self, seen: &HashSet<Key>) {
        let mut state = self.picture.state.lock();
        let mut changed = false;
        for key in W::known(&state, self.namespace.as_deref()) {
            if !seen.contains(&key) {
                changed |= W::remove(&key, &mut state);
            }
        }
        drop(state);
        self.picture.changed(changed);
    }

    async fn watch(&mut self, version: &str) -> Result<(), Trouble> {
        let seconds = u32::try_from(jittered(WATCH_TIME).as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams { timeout: Some(seconds), ..WatchParams::default() };
        let built = if W::RESOURCE.metadata_only {
            self.request.watch_metadata(&params, version)
        } else {
            self.request.watch(&params, version)
        };
        let mut request = built.map_err(|error| Trouble::Failed { reason: words(&error) })?;
        request.extensions_mut().insert("watch");
        // As kube asks for watches of its own: a compressed one is not read line by line.
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
        let answer = timeout(BEGIN_PATIENCE, self.client.request_stream(request)).await;
        let late = || Trouble::Failed { reason: format!("no answer within {} s", BEGIN_PATIENCE.as_secs()) };
        let stream = answer.map_err(|_| late())?.map_err(|error| self.trouble(&error, "watch"))?;
        self.picture.board.connected(self.source, self.epoch);
        let (mut stream, mut text) = (std::pin::pin!(stream), Vec::new());
        loop {
            text.clear();
            match timeout(IDLE_MAX, stream.read_until(b'\n', &mut text)).await {
                // A connection that breaks is a watch that ended: the next one tells whether the server is there.
                Err(_) | Ok(Ok(0) | Err(_)) => return Ok(()),
                Ok(Ok(_)) => {}
            }
            match reading::line(&text).map_err(|reason| Trouble::Failed { reason })? {
                None => return Ok(()),
                Some(Line::Event(event)) => self.take(event)?,
                Some(Line::Odd(odd)) => {
                    self.version = Some(odd.version.clone());
                    self.name_odd(odd);
                }
                Some(Line::OddGone(odd)) => {
                    self.version = Some(odd.version);
                    self.forget_odd(&odd.key);
                    let changed = W::remove(&odd.key, &mut self.picture.state.lock());
                    self.picture.changed(changed);
                }
            }
        }
    }

    fn take(&mut self, event: WatchEvent<W>) -> Result<(), Trouble> {
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) = &event {
            self.forget_odd(&Key::of(object.meta()));
        }
        let mut state = self.picture.state.lock();
        let changed = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.version = Some(object.meta().resource_version.clone());
                object.apply(&mut state)
            }
            WatchEvent::Deleted(object) => {
                self.version = Some(object.meta().resource_version.clone());
                W::remove(&Key::of(object.meta()), &mut state)
            }
            WatchEvent::Bookmark(bookmark) => {
                self.version = Some(bookmark.metadata.resource_version);
                false
            }
            WatchEvent::Error(status) if status.code == 410 => return Err(Trouble::Expired),
            WatchEvent::Error(status) => return Err(Trouble::Failed { reason: status.message.clone() }),
        };
        drop(state);
        self.picture.changed(changed);
        Ok(())
    }

    fn trouble(&self, error: &kube::Error, verb: &str) -> Trouble {
        match error {
            kube::Error::Api(status) if status.code == 410 => Trouble::Expired,
            kube::Error::Api(status) if status.code == 404 => Trouble::Absent,
            kube::Error::Api(status) if status.code == 403 => Trouble::Forbidden {
                reason: rights::missing(&W::RESOURCE, self.namespace.as_deref(), verb, &self.picture.user),
            },
            kube::Error::Api(status) if status.code == 401 => Trouble::Failed {
                reason: format!("the API server does not accept our credentials any more: {}", status.message),
            },
            error => Trouble::Failed { reason: words(error) },
        }
    }

    /// Tells the board what happened; answers how long to wait.
    fn take_note(&mut self, ended: Result<(), Trouble>, back_off: &mut BackOff) -> Duration {
        let board: &Board = &self.picture.board;
        match ended {
            // The server ends watches now and then.
            Ok(()) => back_off.gentle(),
            Err(Trouble::Expired) => {
                self.version = None;
                back_off.gentle()
            }
            Err(Trouble::Absent) if !W::RESOURCE.required => {
                self.version = None;
                self.forget_unseen(&HashSet::new());
                board.absent(self.source);
                jittered(ABSENT_RETRY)
            }
            Err(Trouble::Absent) => {
                self.version = None;
                board.broken(self.source, "the API server does not know this kind of object");
                back_off.slow()
            }
            Err(Trouble::Forbidden { reason }) => {
                board.broken(self.source, &reason);
                if !W::RESOURCE.required {
                    board.settle(self.source);
                }
                back_off.slow()
            }
            Err(Trouble::Failed { reason }) => {
                let since = board.broken(self.source, &reason);
                if !W::RESOURCE.required && since.elapsed() > SETTLED_AFTER {
                    board.settle(self.source);
                }
                back_off.next()
            }
        }
    }
}
