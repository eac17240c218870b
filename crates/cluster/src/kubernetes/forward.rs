//! Ways to a pod's port from outside the cluster: a port of this machine whose connections go through the API server, as those of
//! `kubectl port-forward` do, but which finds another pod when the one it used is gone. Reads nothing of what passes.
//! Start at `Forward::bind`.

mod pick;
mod trouble;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Fuse, FusedFuture};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Portforwarder};
use kube::{Api, Client};
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kubernetes::access::Connection;
use crate::kubernetes::forward::pick::Chosen;
use crate::kubernetes::forward::trouble::{Asked, Speaker};

/// Connections at once: twice what a screen opens when it asks everything anew; each is a connection to the API server.
pub const CONNECTIONS_MAX: usize = 32;

/// How long a connection may take to reach its pod. Shorter than our clients' patience (5 s), so that what is wrong is known before
/// they give up.
const OPEN_PATIENCE: Duration = Duration::from_secs(4);

/// How long one pod may take of that: what it leaves is enough for another one. A pod whose node is gone is told of by the API server
/// only after half a minute, and listed as ready for longer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// An answer that is due for so long has the forward look whether its pod is still to be reached; twice as long until the next look.
/// With [`CONNECT_PATIENCE`] less than our clients' patience (5 s): they need not give up to be helped.
const STALL: Duration = Duration::from_secs(2);

/// For so long a pod that failed is taken only where all have: the time after which a cluster lists the pods of a lost node as not
/// ready (40 s and a little), so that the list knows better than we do then.
const FAILURE_HOLDS: Duration = Duration::from_secs(45);

/// For how long a pod is taken again without asking whether there is a better one.
const PICK_HOLDS: Duration = Duration::from_secs(10);

/// Pods that one look considers: a workload that is forwarded to has one or a few.
const PODS_MAX: u32 = 50;

/// How long the API server may take to say farewell before the connection is dropped.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// Between two tries to accept a connection when this machine cannot (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Bytes carried at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What is to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// Where its pods are.
    pub namespace: String,
    /// Which pods, as a label selector such as `app=web,tier=front`.
    pub selector: String,
    /// The name of the container's port.
    pub port: String,
}

/// A way to one of several like pods.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Where it listens on this machine; whoever may connect to it reaches the pod.
    pub address: SocketAddr,
    /// Why the last try did not reach a pod, in words with their remedy; empty when one did.
    pub trouble: watch::Receiver<String>,
}

/// The task behind a `Forward`.
pub struct Forwarding {
    listener: TcpListener,
    way: Arc<Way>,
}

impl Forward {
    /// Takes a port of this machine. Nothing is asked of the cluster before somebody connects; the second value must run for that.
    ///
    /// # Errors
    /// If this machine has no free port.
    pub async fn bind(connection: &Connection, goal: Goal) -> io::Result<(Self, Forwarding)> {
        let speaker = Speaker { server: connection.server.clone(), user: connection.user.clone() };
        Self::through(connection.client().clone(), speaker, goal).await
    }

    async fn through(client: Client, speaker: Speaker, goal: Goal) -> io::Result<(Self, Forwarding)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, trouble) = watch::channel(String::new());
        let pods = Api::namespaced(client, &goal.namespace);
        let (held, failed, lost) = (Mutex::default(), Mutex::default(), watch::Sender::default());
        let way = Arc::new(Way { pods, speaker, goal, state, held, failed, lost });
        Ok((Self { address, trouble }, Forwarding { listener, way }))
    }
}

impl Forwarding {
    /// Carries connections until `shutdown` is cancelled; those that are open end then.
    ///
    /// # Errors
    /// None: what goes wrong is told by `Forward::trouble`, and the next connection tries anew.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next() => if let Err(error) = ended
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((local, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(Arc::clone(&self.way).serve(local));
                    }
                    Ok(_) => self.way.tell(format!("more than {CONNECTIONS_MAX} connections at once are not forwarded")),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        connections.shutdown().await;
        Ok(())
    }
}

/// All that connections share.
struct Way {
    pods: Api<Pod>,
    speaker: Speaker,
    goal: Goal,
    state: watch::Sender<String>,
    held: Mutex<Option<Held>>,
    /// Pods that failed lately, by uid.
    failed: Mutex<HashMap<String, Instant>>,
    /// The uid of the pod that was found to be out of reach last: its connections end.
    lost: watch::Sender<String>,
}

/// The pod of the last connection.
#[derive(Clone)]
struct Held {
    pod: Chosen,
    found_at: Instant,
}

/// A connection to a pod.
struct Opened {
    forwarder: Ending,
    stream: DuplexStream,
    /// Resolves with the node's words when the port cannot be used, and with `None` when the connection is over.
    refusal: Fuse<BoxFuture<'static, Option<String>>>,
    pod: Chosen,
}

/// kube keeps a task behind a forwarder; it ends with this.
struct Ending(Portforwarder);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Which side of a connection ended it.
enum End {
    Local,
    Pod,
    Refused(String),
    Lost,
}

impl Way {
    /// Says what is wrong, or by an empty text that nothing is.
    fn tell(&self, words: String) {
        self.state.send_if_modified(|state| {
            let is_new = *state != words;
            *state = words;
            is_new
        });
    }

    async fn serve(self: Arc<Self>, mut local: TcpStream) {
        let opened = tokio::time::timeout(OPEN_PATIENCE, self.open()).await;
        match opened.unwrap_or_else(|_| Err(self.speaker.silent(OPEN_PATIENCE))) {
            Ok(opened) => self.carry(&mut local, opened).await,
            Err(words) => self.tell(words),
        }
    }

    /// The pod of the last connection, or another one when it is not to be had. The last try takes whatever time is left.
    async fn open(&self) -> Result<Opened, String> {
        let held = self.held.lock().clone();
        let held = held.filter(|held| held.found_at.elapsed() < PICK_HOLDS && !self.has_failed(&held.pod));
        let first = match held {
            Some(held) => held.pod,
            None => self.pick().await?,
        };
        if let Ok(opened) = self.reach(&first).await {
            return Ok(opened);
        }
        let pod = self.pick().await?;
        self.connect(&pod).await.map_err(|error| {
            self.mark_failed(&pod);
            self.speaker.words(&error, Asked::Forward, &self.goal)
        })
    }

    /// Connects within a pod's patience. One that takes longer is out of reach, and what is still open to it is of no use.
    async fn reach(&self, pod: &Chosen) -> Result<Opened, ()> {
        match tokio::time::timeout(CONNECT_PATIENCE, self.connect(pod)).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(_)) => self.mark_failed(pod),
            Err(_) => {
                self.mark_failed(pod);
                self.lost.send_replace(pod.uid.clone());
            }
        }
        Err(())
    }

    async fn pick(&self) -> Result<Chosen, String> {
        let params = ListParams::default().labels(&self.goal.selector).limit(PODS_MAX);
        let listed = self.pods.list(&params).await;
        let pods = listed.map_err(|error| self.speaker.words(&error, Asked::List, &self.goal))?.items;
        let last = self.held.lock().clone();
        let pod = {
            let mut failed = self.failed.lock();
            failed.retain(|_, at| at.elapsed() < FAILURE_HOLDS);
            pick::choose(&pods, &self.goal, last.as_ref().map(|held| &held.pod), &failed)?
        };
        *self.held.lock() = Some(Held { pod: pod.clone(), found_at: Instant::now() });
        Ok(pod)
    }

    async fn connect(&self, pod: &Chosen) -> Result<Opened, kube::Error> {
        let mut forwarder = self.pods.portforward(&pod.name, &[pod.port]).await?;
        let stream = forwarder.take_stream(pod.port).expect("the stream of the one port asked for is taken once");
        let refusal = forwarder.take_error(pod.port).expect("the errors of the one port asked for are taken once");
        Ok(Opened { forwarder: Ending(forwarder), stream, refusal: refusal.boxed().fuse(), pod: pod.clone() })
    }

    /// The next connection looks for another pod than this one.
    fn mark_failed(&self, pod: &Chosen) {
        self.failed.lock().insert(pod.uid.clone(), Instant::now());
    }

    fn has_failed(&self, pod: &Chosen) -> bool {
        self.failed.lock().get(&pod.uid).is_some_and(|at| at.elapsed() < FAILURE_HOLDS)
    }

    /// Ends when the pod is out of reach: found so by this connection, whose answer is due for too long, or by another one.
    async fn until_lost(&self, pod: &Chosen, waiting: watch::Receiver<bool>) {
        let mut lost = self.lost.subscribe();
        let told = async {
            while lost.changed().await.is_ok() {
                if *lost.borrow_and_update() == pod.uid {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = told => {}
            () = self.until_out_of_reach(pod, waiting) => {}
        }
    }

    async fn until_out_of_reach(&self, pod: &Chosen, mut waiting: watch::Receiver<bool>) {
        let mut patience = STALL;
        loop {
            if waiting.wait_for(|waits| *waits).await.is_err() {
                return std::future::pending().await;
            }
            let answered = tokio::time::timeout(patience, waiting.wait_for(|waits| !*waits)).await.is_ok();
            if answered {
                patience = STALL;
            } else if self.reach(pod).await.is_ok() {
                // The pod is there, and slow.
                patience *= 2;
            } else {
                return;
            }
        }
    }

    /// Carries bytes both ways until one side ends. A half-closed connection is over: kube's forwarder loses what a pod answers
    /// after that.
    async fn carry(&self, local: &mut TcpStream, opened: Opened) {
        let Opened { forwarder, stream, mut refusal, pod } = opened;
        let (waits, waiting) = watch::channel(false);
        let asked = || {
            waits.send_replace(true);
        };
        let answered = || {
            waits.send_replace(false);
            self.tell(String::new());
        };
        let end = {
            let (mut from_local, mut to_local) = local.split();
            let (mut from_pod, mut to_pod) = tokio::io::split(stream);
            tokio::select! {
                Some(words) = &mut refusal => End::Refused(words),
                () = copy(&mut from_local, &mut to_pod, asked) => End::Local,
                () = copy(&mut from_pod, &mut to_local, answered) => End::Pod,
                () = self.until_lost(&pod, waiting.clone()) => End::Lost,
            }
        };
        // The stream is dropped: the forwarder takes leave of the API server, and `refusal` resolves when it is done.
        let end = match end {
            end @ (End::Refused(_) | End::Lost) => end,
            end if refusal.is_terminated() => end,
            end => match tokio::time::timeout(FAREWELL_PATIENCE, refusal).await {
                Ok(Some(words)) => End::Refused(words),
                Ok(None) | Err(_) => end,
            },
        };
        drop(forwarder);
        let is_waiting = *waiting.borrow();
        let words = match end {
            End::Refused(words) => trouble::of_port(&words, &pod.name, &self.goal),
            End::Lost | End::Local if is_waiting => self.speaker.unanswered(&pod.name),
            End::Pod if is_waiting => self.speaker.cut(&pod.name),
            End::Local | End::Pod | End::Lost => return,
        };
        self.mark_failed(&pod);
        self.tell(words);
    }
}

/// Carries bytes one way until either side ends it, and says of every piece that it came.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), came: impl Fn()) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        came();
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
