//! One HTTP/1.1 reverse proxy a Service port: each request goes to the less busy of two ready replicas, connections to
//! both sides are kept, bodies stream. Decides nothing about which replicas are ready: the reconciler says so.
//!
//! A replica that leaves gets no new request; its `InFlight` tells when the last one is done. When a connection cannot
//! be made, or ended before anything of the request was sent, another ready replica is tried. A request that a replica
//! may have seen is sent to a second one only if HTTP calls its method idempotent and it has no body, and only once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lifecycle::CancellationToken;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

mod backend;
mod body;

pub(super) use backend::{Backend, InFlight};
use backend::{Lease, Outgoing, SendError};
use body::LeasedBody;

/// Open client connections of one Service port; more wait to be accepted. Far above what ten services pool, and with
/// one connection to a replica each still well below the file limit that `raise_file_limit` asks for.
const CONNECTIONS_MAX: usize = 2048;

/// Headers that concern one connection and are not passed on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Answer = Response<Either<LeasedBody, Full<Bytes>>>;

/// The replicas behind one Service port, and what was answered.
#[derive(Debug)]
pub(super) struct Route {
    /// Name of the Service.
    pub service: String,
    backends: ArcSwap<Vec<Arc<Backend>>>,
    codes: Box<[AtomicU64]>,
    repeated: AtomicU64,
}

/// Status codes that HTTP knows: 100 to 599.
const CODES: std::ops::Range<u16> = 100..600;

impl Route {
    /// A route without replicas.
    pub fn new(service: &str) -> Arc<Self> {
        let codes = CODES.map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { service: service.to_owned(), backends: ArcSwap::default(), codes, repeated: AtomicU64::new(0) })
    }

    /// The replicas of now.
    pub fn backends(&self) -> Arc<Vec<Arc<Backend>>> {
        self.backends.load_full()
    }

    /// Sends requests to these replicas from now on.
    pub fn set_backends(&self, backends: Vec<Arc<Backend>>) {
        self.backends.store(Arc::new(backends));
    }

    /// Codes answered so far with their number, codes never answered left out.
    pub fn answered(&self) -> impl Iterator<Item = (u16, u64)> {
        CODES
            .zip(&self.codes)
            .map(|(code, count)| (code, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// Requests sent to a second replica because the first broke off before it answered.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Answer {
        remove_hop_by_hop(request.headers_mut());
        *request.version_mut() = Version::HTTP_11;
        let answer = self.forward(request).await;
        if let Some(count) = self.codes.get(usize::from(answer.status().as_u16().saturating_sub(CODES.start))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn forward(&self, request: Request<Incoming>) -> Answer {
        let backends = self.backends.load_full();
        let mut copy = repeatable(&request);
        let mut request = request.map(Either::Left);
        let mut tried: Vec<usize> = Vec::new();
        let mut reason = String::new();
        while let Some((position, lease)) = pick(&backends, &tried) {
            match lease.send(request).await {
                Ok((response, lease)) => return pass_on(response, lease),
                Err(SendError::NothingSent { request: same, reason: why }) => {
                    request = *same;
                    reason = why;
                    tried.push(position);
                }
                Err(SendError::Lost { reason: why }) => {
                    tried.push(position);
                    let others = tried.len() < backends.len();
                    let Some(same) = copy.take().filter(|_| others) else {
                        let text = format!("a replica of Service {} broke off: {why}\n", self.service);
                        return refuse(StatusCode::BAD_GATEWAY, text);
                    };
                    self.repeated.fetch_add(1, Ordering::Relaxed);
                    (request, reason) = (same, why);
                }
            }
        }
        let text = match reason.as_str() {
            "" => format!("no replica of Service {} is ready\n", self.service),
            _ => format!("no replica of Service {} can be reached: {reason}\n", self.service),
        };
        refuse(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// A copy to send when a replica broke off before it answered (RFC 9110, 9.2.2); none of a request that may not be
/// repeated, or whose body would be used up.
fn repeatable(request: &Request<Incoming>) -> Option<Request<Outgoing>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Either::Right(Empty::new()));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// The less busy of two replicas drawn at random: nearly as even as the least busy of all, without looking at all
/// (Mitzenmacher, "The Power of Two Choices"). Those that are leaving or were tried already are not drawn.
fn pick(backends: &[Arc<Backend>], tried: &[usize]) -> Option<(usize, Lease)> {
    if tried.is_empty()
        && let Some(position) = draw(backends.len(), |position| backends[position].load())
        && let Some(lease) = backends[position].lease()
    {
        return Some((position, lease));
    }
    let mut free: Vec<usize> = (0..backends.len()).filter(|position| !tried.contains(position)).collect();
    while let Some(drawn) = draw(free.len(), |position| backends[free[position]].load()) {
        let position = free.swap_remove(drawn);
        if let Some(lease) = backends[position].lease() {
            return Some((position, lease));
        }
    }
    None
}

fn draw(count: usize, load: impl Fn(usize) -> usize) -> Option<usize> {
    match count {
        0 => None,
        1 => Some(0),
        _ => {
            let first = rand::random_range(0..count);
            let second = (first + rand::random_range(1..count)) % count;
            Some(if load(second) < load(first) { second } else { first })
        }
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

fn pass_on(response: Response<Incoming>, lease: Lease) -> Answer {
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Either::Left(LeasedBody::new(body, lease)))
}

fn refuse(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response
}

/// Serves one listener until `shutdown`; requests in flight are then finished.
pub(super) async fn serve(
    listener: TcpListener,
    route: Arc<Route>,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, route.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(service = route.service, %error, "a connection to a Service could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// After a failed accept, which mostly means too many open files: time for some to be closed.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

async fn serve_connection(stream: TcpStream, route: Arc<Route>, shutdown: CancellationToken) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let route = &route;
        async move { Ok::<_, Infallible>(route.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(service = route.service, %error, "a client's connection broke off");
    }
}

#[cfg(test)]
mod tests;
