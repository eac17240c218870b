//! One replica behind a Service port: its kept connections, and how many requests are with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Idle connections kept to a replica; more at once are made and then closed. Small replicas rarely work on more.
const IDLE_MAX: usize = 32;

/// Loopback connects in microseconds; only a replica whose accept queue is full takes longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A request's body on its way to a replica: the client's, or none when it is sent again.
pub(super) type Outgoing = Either<Incoming, Empty<Bytes>>;

/// Requests that are with one replica, over all Service ports that lead to it.
#[derive(Debug, Default)]
pub(in crate::local) struct InFlight {
    count: AtomicUsize,
    leaving: AtomicBool,
    idle: Notify,
}

impl InFlight {
    /// From now on the replica gets no new request.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// Waits until the last request is done. Call `leave` before.
    pub async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }

    fn enter(&self) -> bool {
        // Counted before looking: whoever waits in `drained` then sees either this request or `leaving` seen here.
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.leaving.load(Ordering::SeqCst) {
            self.exit();
            return false;
        }
        true
    }

    fn exit(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.idle.notify_waiters();
        }
    }
}

/// A replica's port with its connections.
#[derive(Debug)]
pub(in crate::local) struct Backend {
    /// Name of the replica.
    pub pod: String,
    address: SocketAddr,
    in_flight: Arc<InFlight>,
    idle: Mutex<Vec<SendRequest<Outgoing>>>,
    /// Owns the tasks that drive connections; they end when their connection is dropped.
    connections: TaskTracker,
}

/// Why a replica gave no answer.
pub(super) enum SendError {
    /// Nothing reached it: the request can go elsewhere.
    NothingSent { request: Box<Request<Outgoing>>, reason: String },
    /// Something did.
    Lost { reason: String },
}

impl Backend {
    pub fn new(pod: &str, address: SocketAddr, in_flight: Arc<InFlight>) -> Arc<Self> {
        let (idle, connections) = (Mutex::default(), TaskTracker::new());
        Arc::new(Self { pod: pod.to_owned(), address, in_flight, idle, connections })
    }

    /// Requests that are with the replica now.
    pub fn load(&self) -> usize {
        self.in_flight.count.load(Ordering::Relaxed)
    }

    /// A place for one request, unless the replica is leaving.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.in_flight.enter().then(|| Lease { backend: self.clone(), connection: None })
    }

    async fn connect(&self) -> Result<SendRequest<Outgoing>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{} at {}: {error}", self.pod, self.address);
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .map_err(|_| failed(&"no connection in time"))?
            .map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        self.connections.spawn(connection);
        Ok(sender)
    }

    async fn connection(&self) -> Result<SendRequest<Outgoing>, String> {
        loop {
            let Some(mut kept) = self.idle.lock().pop() else { return self.connect().await };
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
    }

    fn keep(&self, connection: SendRequest<Outgoing>) {
        let leaving = self.in_flight.leaving.load(Ordering::Relaxed);
        let mut idle = self.idle.lock();
        if !leaving && !connection.is_closed() && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}

/// A request's place at a replica, held until the last byte of the answer has passed.
#[derive(Debug)]
pub(super) struct Lease {
    backend: Arc<Backend>,
    connection: Option<SendRequest<Outgoing>>,
}

impl Lease {
    /// Sends the request and waits for the head of the answer.
    pub async fn send(mut self, mut request: Request<Outgoing>) -> Result<(Response<Incoming>, Self), SendError> {
        loop {
            let mut connection = match self.backend.connection().await {
                Ok(connection) => connection,
                Err(reason) => return Err(SendError::NothingSent { request: Box::new(request), reason }),
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    self.connection = Some(connection);
                    return Ok((response, self));
                }
                // A kept connection that the replica closed in the meantime gives the request back: the next one, or
                // a new one, may still take it.
                Err(mut error) => match error.take_message() {
                    Some(same) => request = same,
                    None => return Err(SendError::Lost { reason: error.into_error().to_string() }),
                },
            }
        }
    }

    /// The whole answer has passed, so the connection can take another request.
    pub fn complete(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.backend.keep(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.in_flight.exit();
    }
}
