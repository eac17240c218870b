//! The targets of one job: which of those that its sources list are scraped, and the tasks that scrape them. What has not
//! changed is not touched: neither a target's task, nor the placing of a group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::task::JoinSet;
use url::Url;

use super::Scraping;
use super::legacy::Legacy;
use super::report::{DroppedTargets, Reason, TargetReport};
use super::target_loop::{Assignment, TargetLoop};
use crate::config::{Discovery, ScrapeJob};
use crate::discovery::Group;
use crate::discovery::target::{Placed, Target, place};
use crate::discovery::watch::Listed;
use crate::series::Labels;
use crate::transport::Transport;

/// What makes scraping one target the same as scraping another.
type Identity = (Labels, Url, Duration, Duration);

/// The targets of one job.
pub(super) struct Pool {
    job: Arc<ScrapeJob>,
    transport: Arc<Transport>,
    scraping: Scraping,
    sources: Vec<Source>,
    /// Groups by their place in memory, which is theirs as long as they are held here.
    placed: HashMap<usize, (Arc<Group>, Vec<Placed>)>,
    running: HashMap<Identity, Running>,
    /// How many targets there are, for the tasks: with too many of them, all fail.
    targets: Arc<AtomicUsize>,
    /// Whether there are too many.
    is_full: bool,
}

/// One of the job's sources.
struct Source {
    number: u64,
    discovery: Discovery,
    stop: CancellationToken,
    /// `None` until it reported.
    groups: Option<Vec<Arc<Group>>>,
    /// No longer in the configuration; its targets stay until the others have reported.
    retired: bool,
}

/// A target's task.
struct Running {
    status: Arc<TargetReport>,
    /// Ends the task, and its series with it.
    removed: CancellationToken,
    /// Ends the task; another goes on with its series.
    replaced: CancellationToken,
    job: Arc<ScrapeJob>,
    series_max: Option<usize>,
    /// What the task leaves when it is replaced.
    legacy: Legacy,
}

impl Pool {
    pub fn new(job: ScrapeJob, scraping: Scraping) -> Self {
        Self {
            transport: Arc::new(Transport::new(job.http.clone())),
            job: Arc::new(job),
            scraping,
            sources: Vec::new(),
            placed: HashMap::new(),
            running: HashMap::new(),
            targets: Arc::default(),
            is_full: false,
        }
    }

    /// The same targets under another configuration.
    pub fn with_job(mut self, job: ScrapeJob) -> Self {
        if job.http != self.job.http {
            self.transport = Arc::new(Transport::new(job.http.clone()));
        }
        self.job = Arc::new(job);
        self.placed.clear();
        self
    }

    pub fn job(&self) -> &ScrapeJob {
        &self.job
    }

    pub fn has_source(&self, number: u64) -> bool {
        self.sources.iter().any(|source| source.number == number)
    }

    /// Keeps sources that there were before, starts new ones, retires the others.
    pub fn set_sources(&mut self, wanted: &[Discovery], mut start: impl FnMut(&Discovery) -> (u64, CancellationToken)) {
        self.sources.iter_mut().for_each(|source| source.retired = true);
        for discovery in wanted {
            let known = self.sources.iter_mut().find(|source| source.retired && source.discovery == *discovery);
            match known {
                Some(known) => known.retired = false,
                None => {
                    let (number, stop) = start(discovery);
                    let discovery = discovery.clone();
                    self.sources.push(Source { number, discovery, stop, groups: None, retired: false });
                }
            }
        }
    }

    /// Notes what a source lists.
    pub fn take(&mut self, listed: Listed) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.number == listed.source) {
            source.groups = Some(listed.groups);
        }
    }

    /// Starts what is new, ends what is gone, leaves alone what is the same.
    pub fn refresh(&mut self, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        if self.sources.iter().all(|source| source.retired || source.groups.is_some()) {
            self.sources.retain(|source| {
                if source.retired {
                    source.stop.cancel();
                }
                !source.retired
            });
        }
        self.place_all();
        let mut dropped = DroppedTargets::new(self.job.limits.dropped_targets);
        let mut wanted: HashMap<Identity, &Target> = HashMap::new();
        for group in self.sources.iter().flat_map(|source| source.groups.iter().flatten()) {
            let Some((_, placed)) = self.placed.get(&address_of(group)) else { continue };
            for one in placed {
                match one {
                    Placed::Dropped(origin) => dropped.add(origin, Reason::Relabelled),
                    Placed::Invalid(origin, _) => dropped.add(origin, Reason::Invalid),
                    Placed::Active(target) if self.scraping.shard.is_some_and(|shard| !shard.has(target)) => {
                        dropped.add(&target.origin, Reason::OtherShard);
                    }
                    // Of several that come to the same, the last is shown, as in Prometheus.
                    Placed::Active(target) => _ = wanted.insert(identity(target), target),
                }
            }
        }
        note_count(&self.job, wanted.len(), &self.targets, &mut self.is_full);
        self.running.retain(|identity, running| {
            let is_wanted = wanted.contains_key(identity);
            if !is_wanted {
                running.removed.cancel();
            }
            is_wanted
        });
        let mut started = Vec::new();
        for (identity, target) in wanted {
            match self.running.get(&identity) {
                Some(running) if Arc::ptr_eq(&running.job, &self.job) && running.series_max == target.series_max => {
                    running.status.rediscovered(target.origin.clone());
                }
                known => {
                    let before = known.map(|known| {
                        known.replaced.cancel();
                        known.legacy.clone()
                    });
                    let running = self.start(target.clone(), before.unwrap_or_default(), tasks, shutdown);
                    started.push((identity, running));
                }
            }
        }
        self.running.extend(started);
        let active = self.running.values().map(|running| running.status.clone()).collect();
        self.scraping.report.set_pool(&self.job, active, dropped);
    }

    /// Places groups that are new, forgets those that are gone.
    fn place_all(&mut self) {
        let mut placed = HashMap::with_capacity(self.placed.len());
        for group in self.sources.iter().flat_map(|source| source.groups.iter().flatten()) {
            let key = address_of(group);
            let known = self.placed.remove(&key).unwrap_or_else(|| {
                let new = place(&self.job, group);
                for one in &new {
                    if let Placed::Invalid(_, reason) = one {
                        tracing::warn!(job = self.job.name, reason, "a target cannot be scraped");
                    }
                }
                (group.clone(), new)
            });
            placed.insert(key, known);
        }
        self.placed = placed;
    }

    fn start(&self, target: Target, before: Legacy, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) -> Running {
        let (job, series_max, legacy) = (self.job.clone(), target.series_max, Legacy::default());
        let status = Arc::new(TargetReport::new(job.clone(), &target));
        let (removed, replaced) = (CancellationToken::new(), shutdown.child_token());
        let own = Assignment {
            job: job.clone(),
            target: Arc::new(target),
            transport: self.transport.clone(),
            status: status.clone(),
            targets: self.targets.clone(),
            before,
            after: legacy.clone(),
        };
        tasks.spawn(TargetLoop::new(own, self.scraping.clone()).run(removed.clone(), replaced.clone()));
        Running { status, removed, replaced, job, series_max, legacy }
    }

    /// The job is gone: so are its targets, and their series.
    pub fn end(self) {
        self.sources.iter().for_each(|source| source.stop.cancel());
        self.running.values().for_each(|running| running.removed.cancel());
        self.scraping.report.remove_pool(&self.job.name);
    }
}

/// Tells the tasks how many targets there are, and the log when that is too many and when it no longer is.
fn note_count(job: &ScrapeJob, count: usize, targets: &AtomicUsize, is_full: &mut bool) {
    targets.store(count, Ordering::Relaxed);
    let was_full = std::mem::replace(is_full, job.limits.targets.is_some_and(|max| count > max));
    let (job, limit) = (&job.name, job.limits.targets.unwrap_or(0));
    match (was_full, *is_full) {
        (false, true) => {
            tracing::warn!(job, count, limit, "a job has more targets than its target_limit: none is scraped");
        }
        (true, false) => tracing::info!(job, count, limit, "a job's targets are within its target_limit again"),
        _ => {}
    }
}

fn identity(target: &Target) -> Identity {
    (target.labels.clone(), target.url.clone(), target.interval, target.timeout)
}

fn address_of(group: &Arc<Group>) -> usize {
    Arc::as_ptr(group).addr()
}
