//! `/api/v1/faults/stream`: tells those who listen what is wrong as soon as it is judged anew. Judges nothing, waits for nobody:
//! who reads slowly gets the newest.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{StatusCode, header};
use lifecycle::CancellationToken;
use protocol::faults::Faults;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::DropGuard;

use super::super::Core;

/// Who may listen at a time: more screens than a room has.
const CLIENTS_MAX: usize = 64;

/// How often a silent stream says that it lives: before proxies, which often wait for 30 s or a minute, give it up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A verdict, written once for all who listen.
#[derive(Debug, Default)]
struct Published {
    faults: Arc<Faults>,
    json: OnceLock<Arc<str>>,
}

impl Published {
    fn new(faults: Arc<Faults>) -> Self {
        Self { faults, json: OnceLock::new() }
    }

    fn json(&self) -> Arc<str> {
        let write = || serde_json::to_string(&*self.faults).expect("its keys are texts and its numbers finite or null");
        self.json.get_or_init(|| write().into()).clone()
    }
}

/// The way to those who listen.
#[derive(Debug)]
pub(in crate::traces) struct Channel {
    sender: watch::Sender<Arc<Published>>,
    places: Arc<Semaphore>,
    ended: CancellationToken,
}

impl Default for Channel {
    fn default() -> Self {
        let (sender, _) = watch::channel(Arc::default());
        Self { sender, places: Arc::new(Semaphore::new(CLIENTS_MAX)), ended: CancellationToken::new() }
    }
}

impl Channel {
    /// Tells those who listen, if it is not what they know.
    pub fn tell(&self, faults: &Arc<Faults>) {
        self.sender.send_if_modified(|known| {
            let differs = gist(&known.faults) != gist(faults);
            if differs {
                *known = Arc::new(Published::new(faults.clone()));
            }
            differs
        });
    }

    /// Ends all streams when it is dropped.
    pub fn ends_with(&self) -> DropGuard {
        self.ended.clone().drop_guard()
    }

    /// Who listens now.
    pub fn clients(&self) -> usize {
        CLIENTS_MAX - self.places.available_permits()
    }

    /// What somebody who begins to listen hears, from the newest that is known now; nothing if there is no place.
    fn listen(&self, newest: &ArcSwap<Faults>) -> Option<impl Stream<Item = Arc<str>> + use<>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        // In this order a verdict that comes between the two is heard twice; in the other, never.
        let news = self.sender.subscribe();
        let first = Some(newest.load_full());
        let listener = Listener { first, news, ended: self.ended.clone(), _place: place };
        Some(futures::stream::unfold(listener, Listener::next))
    }
}

struct Listener {
    first: Option<Arc<Faults>>,
    news: watch::Receiver<Arc<Published>>,
    ended: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(mut self) -> Option<(Arc<str>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Published::new(first).json(), self));
        }
        tokio::select! {
            () = self.ended.cancelled() => return None,
            changed = self.news.changed() => changed.ok()?,
        }
        let json = self.news.borrow_and_update().json();
        Some((json, self))
    }
}

/// What of a verdict is news: not the time that passes, nor how many requests go well just now.
fn gist(faults: &Faults) -> Faults {
    let mut gist = Faults { at_ms: 0, watched_seconds: 0.0, verdict: String::new(), ..faults.clone() };
    for journey in &mut gist.journeys {
        (journey.rate, journey.error_ratio) = (0.0, 0.0);
    }
    gist
}

pub(in crate::traces) async fn get(State(core): State<Arc<Core>>) -> Response {
    let Some(stream) = core.watched.channel.listen(&core.watched.faults) else {
        let error = format!("{CLIENTS_MAX} clients listen already; ask /api/v1/faults now and then instead");
        let body = Json(json!({ "status": "error", "errorType": "unavailable", "error": error }));
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], body).into_response();
    };
    let events =
        futures::StreamExt::map(stream, |json| Ok::<_, Infallible>(Event::default().event("faults").data(json)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

#[cfg(test)]
mod tests;
