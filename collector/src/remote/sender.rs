//! Sends what the store takes in to receivers of remote write: `remote_write` of the configuration. `Forwarding` stands before the store
//! and fills a queue on disk for each receiver, workers empty them. Start at `Senders`.
//!
//! What is promised: what was put into a queue is sent until the receiver has taken or refused it, also after `kill -9` of either side;
//! the samples of a series arrive in order, each once, or again in the same pieces where it is not known whether they arrived. What is
//! lost is counted: what the receiver refuses, what outlives the bounds of the queue, and what the store had taken in in the very
//! moment before `kill -9`, before it was put into the queue.

mod batch;
mod client;
mod counts;
mod forwarding;
mod intake;
mod own_metrics;
mod queue;
mod shards;
mod tend;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lifecycle::{CancellationToken, Clock};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::batch::Metadata;
use self::counts::Counts;
pub use self::forwarding::Forwarding;
use self::forwarding::Receiver;
use self::intake::Intake;
pub use self::own_metrics::SenderMetrics;
use self::queue::{BYTES_MAX, LANES, Queue};
use self::tend::Tending;
use self::worker::Outlet;
use crate::api::views::TargetsView;
use crate::config::Config;
use crate::config::remote_write::RemoteWrite;
use crate::series::Labels;

/// A queue that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the queue of remote_write in {} cannot be opened: {source}", path.display())]
pub struct OpenQueueError {
    path: PathBuf,
    source: io::Error,
}

/// What is told of one sender.
#[derive(Clone)]
struct View {
    config: RemoteWrite,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
}

/// All senders, to be told of.
type Views = Arc<ArcSwap<Vec<View>>>;

/// One receiver and everything that serves it.
struct Sender {
    view: View,
    external: Labels,
    receiver: Receiver,
    /// What its tasks need, until they are started.
    parts: Option<Parts>,
    stop: CancellationToken,
}

struct Parts {
    shards: watch::Sender<usize>,
    metadata: watch::Sender<Arc<Metadata>>,
    outlet: Arc<Outlet>,
}

/// The senders of a configuration.
pub struct Senders {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    targets: Arc<dyn TargetsView>,
    forwarding: Arc<Forwarding>,
    views: Views,
    senders: Vec<Sender>,
}

impl Senders {
    /// Keeps queues in a folder, and says of metrics what `targets` knows.
    pub fn new(
        folder: PathBuf,
        clock: Arc<dyn Clock>,
        targets: Arc<dyn TargetsView>,
        forwarding: Arc<Forwarding>,
    ) -> Self {
        Self { folder, clock, targets, forwarding, views: Views::default(), senders: Vec::new() }
    }

    /// What is told of the senders in `/metrics`.
    pub fn metrics(&self) -> SenderMetrics {
        SenderMetrics(self.views.clone())
    }

    /// From now on what the store takes in goes to the receivers of this configuration. Those that stay as they are go on; of those that
    /// are no longer there the queue stays on disk.
    ///
    /// # Errors
    /// If a queue cannot be opened: then nothing changes.
    pub fn apply(&mut self, config: &Config) -> Result<(), OpenQueueError> {
        let mut queues = Vec::new();
        for one in &config.remote_write {
            queues.push(match self.senders.iter().find(|known| known.view.config.name == one.name) {
                Some(known) => (known.view.queue.clone(), known.view.counts.clone()),
                None => (Arc::new(self.open(one)?), Arc::default()),
            });
        }
        let forwarding = self.forwarding.clone();
        // Nothing is put in meanwhile, so no queue is filled from two sides.
        forwarding.replace(|| {
            let mut old = std::mem::take(&mut self.senders);
            for (one, (queue, counts)) in config.remote_write.iter().zip(queues) {
                let same = |known: &Sender| known.view.config == *one && known.external == config.external_labels;
                let sender = match old.iter().position(same) {
                    Some(at) => old.swap_remove(at),
                    None => self.sender(one.clone(), config.external_labels.clone(), queue, counts),
                };
                self.senders.push(sender);
            }
            old.iter().for_each(|gone| gone.stop.cancel());
            self.senders.iter().map(|sender| sender.receiver.clone()).collect()
        });
        self.views.store(Arc::new(self.senders.iter().map(|sender| sender.view.clone()).collect()));
        Ok(())
    }

    fn open(&self, config: &RemoteWrite) -> Result<Queue, OpenQueueError> {
        let path = self.folder.join(&config.name);
        Queue::open(&path, BYTES_MAX).map_err(|source| OpenQueueError { path, source })
    }

    fn sender(&self, config: RemoteWrite, external: Labels, queue: Arc<Queue>, counts: Arc<Counts>) -> Sender {
        let intake = Intake::new(config.clone(), external.clone(), queue.clone(), counts.clone());
        let (shards, shards_seen) = watch::channel(config.queue.shards_min.min(LANES));
        let (news, news_seen) = watch::channel(());
        let (metadata, metadata_seen) = watch::channel(Arc::default());
        let outlet = Arc::new(Outlet {
            config: config.clone(),
            queue: queue.clone(),
            counts: counts.clone(),
            clock: self.clock.clone(),
            shards: shards_seen,
            news: news_seen,
            metadata: metadata_seen,
        });
        Sender {
            view: View { config, queue, counts },
            external,
            receiver: Receiver { intake: Arc::new(intake), news },
            parts: Some(Parts { shards, metadata, outlet }),
            stop: CancellationToken::new(),
        }
    }

    /// Sends until shutdown, to whom the newest configuration says.
    ///
    /// # Errors
    /// If a task panics.
    pub async fn run(
        mut self,
        mut configs: watch::Receiver<Arc<Config>>,
        shutdown: CancellationToken,
    ) -> Result<(), String> {
        let mut tasks = JoinSet::new();
        loop {
            self.start(&mut tasks, &shutdown);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = tasks.join_next() => ended.map_err(|error| error.to_string())?,
                Ok(()) = configs.changed() => {
                    let config = configs.borrow_and_update().clone();
                    if let Err(error) = self.apply(&config) {
                        tracing::error!(%error, "samples are sent as before");
                    }
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn start(&mut self, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        for sender in &mut self.senders {
            let Some(Parts { shards, metadata, outlet }) = sender.parts.take() else { continue };
            let stop = shutdown.child_token();
            let (theirs, ours) = (sender.stop.clone(), stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = theirs.cancelled() => ours.cancel(),
                    () = ours.cancelled() => {}
                }
            });
            for index in 0..outlet.config.queue.shards_max.min(LANES) {
                tasks.spawn(worker::run(outlet.clone(), index, stop.clone()));
            }
            let intake = sender.receiver.intake.clone();
            let tending = Tending { outlet, intake, shards, metadata, targets: self.targets.clone() };
            tasks.spawn(tending.run(stop));
        }
    }
}
