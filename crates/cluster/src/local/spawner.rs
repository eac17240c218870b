//! One operating-system thread that starts all children. The kernel sends a child's parent-death signal when the
//! *thread* that started it ends, so this must be neither a worker nor a blocking thread of the async runtime: it lives
//! exactly as long as some `Spawner` does.

use std::io;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Starts in flight at once; callers wait beyond that.
const QUEUE: usize = 64;

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts children from the one thread. When the last clone is dropped the thread ends, and the kernel kills every
/// child that called `die_with_parent`.
#[derive(Debug, Clone)]
pub(super) struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    /// Starts the thread. Must be called inside the async runtime, which reaps the children.
    pub fn start() -> io::Result<Self> {
        let (requests, mut queue) = mpsc::channel::<Request>(QUEUE);
        let runtime = Handle::current();
        std::thread::Builder::new().name("replica-spawner".to_owned()).spawn(move || {
            let _guard = runtime.enter();
            while let Some(mut request) = queue.blocking_recv() {
                // A caller that no longer waits has dropped its end; the child is then killed on drop.
                drop(request.reply.send(request.command.spawn()));
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a child.
    pub async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let ended = || io::Error::other("the thread that starts processes has ended");
        self.requests.send(Request { command, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}
