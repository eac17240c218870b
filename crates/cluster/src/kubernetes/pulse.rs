//! Asks the API server a small question every few seconds: a watch on which nothing happens proves nothing. Answers go to the
//! board.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{ListParams, Request};
use lifecycle::{CancellationToken, words};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Picture;
use super::watching::Watched;
use super::wire::Pod;

/// Five questions before the picture counts as old.
const PERIOD: Duration = Duration::from_secs(3);

/// Longest time for an answer, so that no two questions overlap for long.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks until `shutdown`.
pub(super) async fn keep(
    client: Client,
    namespace: Option<String>,
    picture: Arc<Picture>,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let request = Request::new(Pod::RESOURCE.path(namespace.as_deref()));
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            answer = ask(&client, &request) => match answer {
                Ok(()) => picture.board.answered(),
                Err(reason) => picture.board.unanswered(&reason),
            },
        }
    }
}

/// One pod's metadata: it proves that the server answers, knows us, and reaches its store.
async fn ask(client: &Client, request: &Request) -> Result<(), String> {
    let params = ListParams { limit: Some(1), ..ListParams::default() };
    let mut request = request.list_metadata(&params).map_err(|error| words(&error))?;
    request.extensions_mut().insert("pulse");
    match timeout(PATIENCE, client.request_text(request)).await {
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Ok(_)) => Ok(()),
        // That we may not read pods is the watch's to tell; it did answer.
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Ok(()),
        Ok(Err(error)) => Err(words(&error)),
    }
}
