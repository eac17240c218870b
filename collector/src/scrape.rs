//! Fetches targets on their schedule and appends what they print. Finds no targets and evaluates nothing.
//! Start at `run`, which owns a task per source and per target, in a `pool` a job; one scrape's work is in `pass`, its memory in
//! `cache`, its connection in `crate::transport`.

mod apart;
mod automatic;
mod buffers;
mod cache;
mod fetch;
mod gunzip;
mod labels;
mod legacy;
mod pass;
mod pool;
mod rehearsal;
mod report;
mod target_loop;

use std::sync::Arc;

use lifecycle::{CancellationToken, Clock};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::config::{Config, Discovery};
use crate::discovery::kubernetes::Watches;
use crate::discovery::shard::Shard;
use crate::discovery::watch::{Listed, watch as watch_source};
use crate::series::Ingest;

use self::apart::Places;
use self::buffers::Buffers;
pub(crate) use self::fetch::{USER_AGENT, cause};
use self::pool::Pool;
pub use self::rehearsal::{Rehearsal, Rehearsed};
pub use self::report::{ScrapeCounts, ScrapeReport, TargetReport};

/// Reports of sources that may wait for the scrape task.
const REPORTS_MAX: usize = 64;

/// A scrape task that ended by panic, and took the collector with it.
#[derive(Debug, thiserror::Error)]
#[error("a task of the scraper panicked: {0}")]
pub struct ScrapeEnded(#[from] JoinError);

/// What every target is scraped with.
#[derive(Clone)]
pub struct Scraping {
    store: Arc<dyn Ingest>,
    report: Arc<ScrapeReport>,
    clock: Arc<dyn Clock>,
    shard: Option<Shard>,
    buffers: Arc<Buffers>,
    places: Arc<Places>,
}

impl Scraping {
    /// Samples go to `store`; `report` is told how it goes; of all targets those of `shard` are ours, `None` is all.
    pub fn new(store: Arc<dyn Ingest>, report: Arc<ScrapeReport>, clock: Arc<dyn Clock>, shard: Option<Shard>) -> Self {
        Self { store, report, clock, shard, buffers: Arc::default(), places: Arc::default() }
    }
}

/// Scrapes the targets of the newest configuration until shutdown.
///
/// # Errors
/// If one of its tasks panicked.
pub async fn run(
    mut configs: watch::Receiver<Arc<Config>>,
    scraping: Scraping,
    shutdown: CancellationToken,
) -> Result<(), ScrapeEnded> {
    let (reports, mut listings) = mpsc::channel(REPORTS_MAX);
    let (watches, mut starts) = Watches::new(scraping.report.watch_counts.clone());
    let mut scraper =
        Scraper { scraping, watches, reports, pools: Vec::new(), sources: 0, tasks: JoinSet::new(), shutdown };
    let config = configs.borrow_and_update().clone();
    scraper.configure(&config);
    loop {
        tokio::select! {
            () = scraper.shutdown.cancelled() => break,
            Some(listed) = listings.recv() => scraper.take(listed),
            Some(task) = starts.recv() => {
                scraper.tasks.spawn(task);
            }
            Ok(()) = configs.changed() => {
                let config = configs.borrow_and_update().clone();
                scraper.configure(&config);
            }
            Some(ended) = scraper.tasks.join_next(), if !scraper.tasks.is_empty() => ended?,
        }
    }
    // Watches of the API server end when nobody needs them.
    scraper.pools.clear();
    while let Some(ended) = scraper.tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// All pools, and the tasks that find their targets.
struct Scraper {
    scraping: Scraping,
    watches: Arc<Watches>,
    reports: mpsc::Sender<Listed>,
    pools: Vec<Pool>,
    /// Numbers given to sources so far.
    sources: u64,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Scraper {
    /// Jobs that are as before are left alone, others are begun, changed or ended.
    fn configure(&mut self, config: &Config) {
        let mut before = std::mem::take(&mut self.pools);
        for job in &config.jobs {
            let known = before.iter().position(|pool| pool.job().name == job.name);
            let mut pool = match known.map(|known| before.swap_remove(known)) {
                Some(pool) if pool.job() == job => {
                    self.pools.push(pool);
                    continue;
                }
                Some(pool) => pool.with_job(job.clone()),
                None => Pool::new(job.clone(), self.scraping.clone()),
            };
            pool.set_sources(&job.discovery, |discovery| self.start_source(discovery));
            pool.refresh(&mut self.tasks, &self.shutdown);
            self.pools.push(pool);
        }
        before.into_iter().for_each(Pool::end);
    }

    fn start_source(&mut self, discovery: &Discovery) -> (u64, CancellationToken) {
        self.sources += 1;
        let stop = self.shutdown.child_token();
        let (watches, reports) = (self.watches.clone(), self.reports.clone());
        self.tasks.spawn(watch_source(self.sources, discovery.clone(), watches, reports, stop.clone()));
        (self.sources, stop)
    }

    fn take(&mut self, listed: Listed) {
        if let Some(pool) = self.pools.iter_mut().find(|pool| pool.has_source(listed.source)) {
            pool.take(listed);
            pool.refresh(&mut self.tasks, &self.shutdown);
        }
    }
}
