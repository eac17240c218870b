//! Runs the groups of the newest configuration: a task each, which evaluates it when it is due. What is the same in a new
//! configuration runs on untouched; what has changed goes on where it was.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use super::Ruling;
use super::file::{RuleGroup, Texts, texts};
use super::group::{Group, millis};
use super::report::GroupReport;
use super::schedule::{Schedule, Turn};
use crate::config::Config;
use crate::promql::Stop;

/// Groups that are evaluated at once: Prometheus' limit of concurrent queries, which its rules share.
const EVALUATIONS_MAX: usize = 20;

/// How many intervals the series of a removed group live on, so that a group with another name can take them over:
/// Prometheus' number.
const INTERVALS_AFTER_END: u32 = 2;

/// A task of the rules that ended by panic, and took the collector with it.
#[derive(Debug, thiserror::Error)]
#[error("a task of the rules panicked: {0}")]
pub struct RulesEnded(#[from] JoinError);

/// File and name.
type Key = (String, String);

/// What a group's task runs.
struct Running {
    spec: Arc<RuleGroup>,
    external_labels: Arc<Texts>,
    report: Arc<GroupReport>,
    stop: CancellationToken,
}

/// Evaluates the rules of the newest configuration until shutdown.
///
/// # Errors
/// If one of its tasks panicked.
pub async fn run(
    mut configs: watch::Receiver<Arc<Config>>,
    ruling: Arc<Ruling>,
    shutdown: CancellationToken,
) -> Result<(), RulesEnded> {
    let permits = Arc::new(Semaphore::new(EVALUATIONS_MAX));
    let mut manager =
        Manager { ruling, permits, running: HashMap::new(), stopped: HashMap::new(), tasks: JoinSet::new(), shutdown };
    let config = configs.borrow_and_update().clone();
    manager.configure(&config, true).await?;
    loop {
        tokio::select! {
            () = manager.shutdown.cancelled() => break,
            Ok(()) = configs.changed() => {
                let config = configs.borrow_and_update().clone();
                manager.configure(&config, false).await?;
            }
            Some(ended) = manager.tasks.join_next(), if !manager.tasks.is_empty() => manager.take(ended?),
        }
    }
    while let Some(ended) = manager.tasks.join_next().await {
        ended?;
    }
    Ok(())
}

struct Manager {
    ruling: Arc<Ruling>,
    permits: Arc<Semaphore>,
    running: HashMap<Key, Running>,
    /// Groups whose tasks have ended.
    stopped: HashMap<Key, Group>,
    tasks: JoinSet<Option<(Key, Group)>>,
    shutdown: CancellationToken,
}

impl Manager {
    async fn configure(&mut self, config: &Config, is_first: bool) -> Result<(), RulesEnded> {
        let external_labels = Arc::new(texts(&config.external_labels));
        let mut wanted: HashMap<Key, RuleGroup> =
            config.rule_groups.iter().map(|group| ((group.file.clone(), group.name.clone()), group.clone())).collect();
        self.stop_others(&mut wanted, &external_labels).await?;
        for (key, spec) in wanted {
            let before = self.stopped.remove(&key);
            let needs_restore = is_first || before.as_ref().is_some_and(Group::needs_restore);
            let mut group = Group::new(Arc::new(spec), external_labels.clone(), needs_restore);
            if let Some(before) = before {
                group.go_on_from(before);
            }
            self.start(key, group, external_labels.clone());
        }
        for (_, group) in self.stopped.drain() {
            let (ruling, shutdown) = (self.ruling.clone(), self.shutdown.clone());
            self.tasks.spawn(end_later(group, ruling, shutdown));
        }
        self.ruling.report.set_groups(self.running.values().map(|running| running.report.clone()).collect());
        Ok(())
    }

    /// Stops what is not wanted as it is and takes what is from `wanted`.
    async fn stop_others(
        &mut self,
        wanted: &mut HashMap<Key, RuleGroup>,
        external_labels: &Arc<Texts>,
    ) -> Result<(), RulesEnded> {
        let is_same = |key: &Key, running: &Running, wanted: &HashMap<Key, RuleGroup>| {
            wanted.get(key) == Some(&*running.spec) && running.external_labels == *external_labels
        };
        let (same, others): (HashMap<_, _>, HashMap<_, _>) =
            self.running.drain().partition(|(key, running)| is_same(key, running, wanted));
        wanted.retain(|key, _| !same.contains_key(key));
        self.running = same;
        others.values().for_each(|running| running.stop.cancel());
        while !others.keys().all(|key| self.stopped.contains_key(key)) {
            match self.tasks.join_next().await {
                Some(ended) => {
                    let ended = ended?;
                    self.take(ended);
                }
                None => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, ended: Option<(Key, Group)>) {
        if let Some((key, group)) = ended {
            self.stopped.insert(key, group);
        }
    }

    fn start(&mut self, key: Key, group: Group, external_labels: Arc<Texts>) {
        let stop = self.shutdown.child_token();
        let report = group.report();
        let spec = report.group.clone();
        self.running.insert(key.clone(), Running { spec, external_labels, report, stop: stop.clone() });
        let evaluated = follow(group, self.ruling.clone(), self.permits.clone(), stop);
        self.tasks.spawn(async move { evaluated.await.map(|group| (key, group)) });
    }
}

/// Evaluates a group when it is due until it is stopped; then it is handed back.
async fn follow(
    mut group: Group,
    ruling: Arc<Ruling>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) -> Option<Group> {
    let spec = group.spec();
    let schedule = Schedule::new(&spec.file, &spec.name, millis(spec.interval));
    let mut last_ms = schedule.slot_before(ruling.clock.now_ms());
    let mut evaluations = 0u64;
    loop {
        let now_ms = ruling.clock.now_ms();
        last_ms = schedule.after_clock(last_ms, now_ms);
        match schedule.turn(last_ms, now_ms) {
            Turn::Wait(ms) => {
                let wait = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
                tokio::select! {
                    () = stop.cancelled() => return Some(group),
                    () = tokio::time::sleep(wait) => {}
                }
            }
            Turn::Evaluate { slot_ms, missed } => {
                last_ms = slot_ms;
                evaluations += 1;
                let permit = tokio::select! {
                    () = stop.cancelled() => return Some(group),
                    permit = permits.clone().acquire_owned() => permit.ok()?,
                };
                // As in Prometheus, the second evaluation has seen what other rules make, and comes before what was
                // pending is looked for.
                let restores = evaluations == 2 && group.needs_restore();
                let ruling = ruling.clone();
                let work = move |evaluation_stop: &Stop| {
                    let _one_of_many = permit;
                    group.evaluate(slot_ms, missed, &ruling, evaluation_stop);
                    if restores {
                        group.restore(ruling.clock.now_ms(), &ruling);
                    }
                    group
                };
                group = blocking(work, &stop).await?;
            }
        }
    }
}

/// Does work on a thread where it may block; when the group is stopped, its queries end early. None if there are no threads
/// any more.
async fn blocking(work: impl FnOnce(&Stop) -> Group + Send + 'static, stop: &CancellationToken) -> Option<Group> {
    let evaluation_stop = Stop::when_dropped();
    let guard = evaluation_stop.guard();
    let mut task = tokio::task::spawn_blocking(move || work(&evaluation_stop));
    let ended = tokio::select! {
        ended = &mut task => ended,
        () = stop.cancelled() => {
            drop(guard);
            task.await
        }
    };
    match ended.map_err(JoinError::try_into_panic) {
        Ok(group) => Some(group),
        // The task that waits for it ends the same way, and with it the collector.
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

/// Marks the series of a group that is gone as gone, unless somebody has taken them over.
async fn end_later(group: Group, ruling: Arc<Ruling>, shutdown: CancellationToken) -> Option<(Key, Group)> {
    let ended_ms = ruling.clock.now_ms();
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(group.spec().interval * INTERVALS_AFTER_END) => {
            let work = move || group.end_all(ended_ms, &ruling);
            if let Err(error) = tokio::task::spawn_blocking(work).await {
                tracing::error!(%error, "the series of a removed rule group are not marked as gone");
            }
        }
    }
    None
}
