//! Ends connections politely: a replica that leaves says so with every answer, and one that stays lets none live for ever.
//! Callers behind a balancer of connections (a Kubernetes Service) thus find new replicas, and none is left holding a
//! connection that breaks. Never breaks one itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;

use super::ready::Ready;

/// Every so many answers one ends its connection. A caller that keeps one busy at 20 requests a second meets another replica
/// every five seconds, for a handshake in a hundred requests.
const ANSWERS_PER_CONNECTION: u64 = 100;

/// Says which answers are the last on their connection.
#[derive(Debug, Clone)]
pub(super) struct Farewell {
    ready: Ready,
    answers: Arc<AtomicU64>,
}

impl Farewell {
    pub fn new(ready: Ready) -> Self {
        Self { ready, answers: Arc::default() }
    }

    fn is_due(&self) -> bool {
        let turn = self.answers.fetch_add(1, Ordering::Relaxed) % ANSWERS_PER_CONNECTION;
        turn == ANSWERS_PER_CONNECTION - 1 || !self.ready.is_serving()
    }
}

/// Around every request: HTTP/1.1's way of saying that the next one needs another connection.
pub(super) async fn say(State(farewell): State<Farewell>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if farewell.is_due() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_ends_now_and_then_and_with_every_answer_once_the_replica_leaves() {
        let ready = Ready::default();
        ready.set(true);
        let farewell = Farewell::new(ready.clone());
        let last = (0..ANSWERS_PER_CONNECTION * 3).filter(|_| farewell.is_due()).count();
        assert_eq!(last, 3);
        ready.set(false);
        assert!((0..10).all(|_| farewell.is_due()));
    }
}
