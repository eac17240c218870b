//! Asks a router as a client would, without a socket between them.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_all().build().expect("a runtime without threads needs nothing but memory")
});

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Waits for something on the same runtime.
pub fn wait<T>(what: impl Future<Output = T>) -> T {
    RUNTIME.block_on(what)
}

/// Sends a request to a router and reads all of the answer.
pub fn ask(router: Router, request: Request<Body>) -> Answer {
    RUNTIME.block_on(async {
        let Ok(response) = router.oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("an answer that was begun is finished").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    })
}
