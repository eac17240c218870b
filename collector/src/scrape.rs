//! Fetches targets on their schedule and appends what they print. Finds no targets and evaluates nothing.
//! Start at `run`, which owns a task per source and per target; one scrape's work is in `pass`, its memory in `cache`.

mod cache;
mod fetch;
mod labels;
mod pass;
mod report;
mod target_loop;

use std::collections::BTreeMap;
use std::sync::Arc;

use lifecycle::{CancellationToken, Clock};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::config::ScrapeJob;
use crate::discovery::TargetGroup;
use crate::discovery::target::{Placed, Target, place};
use crate::discovery::watch::{Listed, watch};
use crate::series::Ingest;

pub(crate) use self::fetch::{USER_AGENT, cause};
pub use self::report::{ScrapeCounts, ScrapeReport, TargetReport};
use self::target_loop::TargetLoop;

/// Reports of sources that may wait for the scrape task.
const REPORTS_MAX: usize = 64;

/// A scrape task that ended by panic, and took the collector with it.
#[derive(Debug, thiserror::Error)]
#[error("a task of the scraper panicked: {0}")]
pub struct ScrapeEnded(#[from] JoinError);

/// Scrapes the targets of all jobs until shutdown.
///
/// # Errors
/// If one of its tasks panicked.
pub async fn run(
    jobs: Vec<ScrapeJob>,
    store: Arc<dyn Ingest>,
    report: Arc<ScrapeReport>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<(), ScrapeEnded> {
    let (sender, mut reports) = mpsc::channel(REPORTS_MAX);
    let mut tasks = JoinSet::new();
    let mut pools = Vec::new();
    for (i, job) in jobs.into_iter().enumerate() {
        for (source, discovery) in job.discovery.iter().enumerate() {
            tasks.spawn(watch(i, source, discovery.clone(), sender.clone(), shutdown.child_token()));
        }
        pools.push(Pool::new(job, &store, &report, &clock));
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(listed) = reports.recv() => {
                if let Some(pool) = pools.get_mut(listed.job) {
                    pool.take(listed, &mut tasks, &shutdown);
                }
            }
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => ended?,
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// The targets of one job.
struct Pool {
    job: Arc<ScrapeJob>,
    client: reqwest::Client,
    store: Arc<dyn Ingest>,
    report: Arc<ScrapeReport>,
    clock: Arc<dyn Clock>,
    listed: BTreeMap<usize, Vec<TargetGroup>>,
    running: Vec<Running>,
}

/// A target's task.
struct Running {
    target: Arc<Target>,
    status: Arc<TargetReport>,
    removed: CancellationToken,
}

impl Pool {
    fn new(job: ScrapeJob, store: &Arc<dyn Ingest>, report: &Arc<ScrapeReport>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            client: fetch::client(&job),
            job: Arc::new(job),
            store: store.clone(),
            report: report.clone(),
            clock: clock.clone(),
            listed: BTreeMap::new(),
            running: Vec::new(),
        }
    }

    /// Starts what is new, ends what is gone, leaves alone what is the same.
    fn take(&mut self, listed: Listed, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        self.listed.insert(listed.source, listed.groups);
        let groups: Vec<TargetGroup> = self.listed.values().flatten().cloned().collect();
        let mut wanted: Vec<Target> = Vec::new();
        let mut dropped = Vec::new();
        for placed in place(&self.job, &groups) {
            match placed {
                Placed::Active(target) if !wanted.iter().any(|known| known.is_same(&target)) => wanted.push(*target),
                Placed::Active(_) => {}
                Placed::Dropped(labels) => dropped.push(labels),
                Placed::Invalid(reason) => tracing::warn!(job = self.job.name, reason, "a target cannot be scraped"),
            }
        }
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| wanted.iter().any(|target| target.is_same(&running.target)));
        ended.iter().for_each(|running| running.removed.cancel());
        self.running = kept;
        for target in wanted {
            match self.running.iter_mut().find(|running| running.target.is_same(&target)) {
                Some(running) => running.status.rediscovered(target.discovered),
                None => self.start(target, tasks, shutdown),
            }
        }
        let active = self.running.iter().map(|running| running.status.clone()).collect();
        self.report.set_pool(&self.job.name, active, dropped);
    }

    fn start(&mut self, target: Target, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let target = Arc::new(target);
        let status = Arc::new(TargetReport::new(&self.job.name, &target));
        let removed = CancellationToken::new();
        let target_loop = TargetLoop::new(
            self.job.clone(),
            target.clone(),
            self.client.clone(),
            self.store.clone(),
            self.report.clone(),
            status.clone(),
            self.clock.clone(),
        );
        tasks.spawn(target_loop.run(removed.clone(), shutdown.child_token()));
        self.running.push(Running { target, status, removed });
    }
}
