//! Follows the configuration: finds Alertmanagers as targets are found, and runs a task for each receiver. A receiver that is
//! the same in a new configuration goes on with its queue.

use std::sync::Arc;

use lifecycle::CancellationToken;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use url::Url;

use super::receiver::{Language, Parts, Receiver};
use super::repeat::Repeat;
use super::{Delivery, Routing};
use crate::config::Config;
use crate::config::alerting::{AlertmanagerJob, Webhook};
use crate::discovery::kubernetes::{WatchCounts, Watches};
use crate::discovery::relabel::{LabelSet, relabel};
use crate::discovery::watch::{Listed, watch as watch_source};
use crate::discovery::{ADDRESS, Group};
use crate::rules::group::millis;
use crate::series::Labels;
use crate::transport::Transport;

/// Reports of sources that may wait.
const REPORTS_MAX: usize = 64;

/// The label with the scheme under which an Alertmanager is called.
const SCHEME: &str = "__scheme__";

/// The label with the path that alerts are posted to.
const ALERTS_PATH: &str = "__alerts_path__";

/// A task of the delivery that ended by panic, and took the collector with it.
#[derive(Debug, thiserror::Error)]
#[error("a task of the alerts' delivery panicked: {0}")]
pub struct DeliveryEnded(#[from] JoinError);

/// Tells the receivers of the newest configuration until shutdown.
///
/// # Errors
/// If one of its tasks panicked.
pub async fn run(
    mut configs: watch::Receiver<Arc<Config>>,
    delivery: Arc<Delivery>,
    watch_counts: Arc<WatchCounts>,
    shutdown: CancellationToken,
) -> Result<(), DeliveryEnded> {
    let (reports, mut listings) = mpsc::channel(REPORTS_MAX);
    let (watches, mut starts) = Watches::new(watch_counts);
    let mut follower = Follower {
        delivery,
        config: Arc::default(),
        watches,
        reports,
        sets: Vec::new(),
        webhooks: Vec::new(),
        sources: 0,
        tasks: JoinSet::new(),
        shutdown,
    };
    let config = configs.borrow_and_update().clone();
    follower.configure(config);
    loop {
        tokio::select! {
            () = follower.shutdown.cancelled() => break,
            Some(listed) = listings.recv() => follower.take(&listed),
            Some(task) = starts.recv() => {
                follower.tasks.spawn(task);
            }
            Ok(()) = configs.changed() => {
                let config = configs.borrow_and_update().clone();
                follower.configure(config);
            }
            Some(ended) = follower.tasks.join_next(), if !follower.tasks.is_empty() => ended?,
        }
    }
    // Watches of API servers end when nobody needs them.
    let Follower { watches, sets, webhooks, mut tasks, .. } = follower;
    drop((watches, sets, webhooks));
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// A receiver that runs.
struct Running {
    receiver: Arc<Receiver>,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The Alertmanagers of one entry of the configuration.
struct Set {
    job: AlertmanagerJob,
    transport: Arc<Transport>,
    /// Each source's number and what it listed last.
    listed: Vec<(u64, Vec<Arc<Group>>)>,
    stop: CancellationToken,
    running: Vec<Running>,
    dropped: Vec<String>,
}

impl Drop for Set {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Follower {
    delivery: Arc<Delivery>,
    config: Arc<Config>,
    watches: Arc<Watches>,
    reports: mpsc::Sender<Listed>,
    sets: Vec<Set>,
    webhooks: Vec<(Webhook, Running)>,
    sources: u64,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Follower {
    fn configure(&mut self, config: Arc<Config>) {
        let mut before = std::mem::take(&mut self.sets);
        for job in &config.alerting.alertmanagers {
            let known = before.iter().position(|set| set.job == *job).map(|i| before.swap_remove(i));
            let set = known.unwrap_or_else(|| self.start_set(job));
            self.sets.push(set);
        }
        let mut hooks = std::mem::take(&mut self.webhooks);
        for (i, webhook) in config.alerting.webhooks.iter().enumerate() {
            let known = hooks.iter().position(|(known, _)| known == webhook).map(|i| hooks.swap_remove(i));
            let running = known.unwrap_or_else(|| (webhook.clone(), self.start_webhook(i, webhook)));
            self.webhooks.push(running);
        }
        self.config = config;
        self.route();
    }

    fn start_set(&mut self, job: &AlertmanagerJob) -> Set {
        let stop = self.shutdown.child_token();
        let mut listed = Vec::new();
        for discovery in &job.discovery {
            self.sources += 1;
            listed.push((self.sources, Vec::new()));
            let (watches, reports) = (self.watches.clone(), self.reports.clone());
            self.tasks.spawn(watch_source(self.sources, discovery.clone(), watches, reports, stop.clone()));
        }
        let transport = Arc::new(Transport::new(job.http.clone()));
        Set { job: job.clone(), transport, listed, stop, running: Vec::new(), dropped: Vec::new() }
    }

    fn start_webhook(&mut self, i: usize, webhook: &Webhook) -> Running {
        let repeat = Repeat::new(millis(webhook.repeat_interval), webhook.send_resolved);
        let parts = Parts {
            name: format!("webhooks[{i}]"),
            url: webhook.url.clone(),
            language: Language::Webhook(repeat.into()),
            transport: Arc::new(Transport::new(webhook.http.clone())),
            timeout: webhook.timeout,
            alert_relabel: webhook.alert_relabel.clone(),
            counts: self.delivery.counts.clone(),
            external_url: self.delivery.external_url.clone(),
        };
        self.start(parts)
    }

    fn start(&mut self, parts: Parts) -> Running {
        let stop = self.shutdown.child_token();
        let receiver = Arc::new(Receiver::new(parts));
        self.tasks.spawn(receiver.clone().run(self.delivery.clock.clone(), stop.clone()));
        Running { receiver, stop }
    }

    /// A source has listed Alertmanagers.
    fn take(&mut self, listed: &Listed) {
        let has = |set: &Set| set.listed.iter().any(|(source, _)| *source == listed.source);
        let Some(place) = self.sets.iter().position(has) else { return };
        let mut set = self.sets.swap_remove(place);
        for (source, groups) in &mut set.listed {
            if *source == listed.source {
                groups.clone_from(&listed.groups);
            }
        }
        self.refresh(&mut set);
        self.sets.push(set);
        self.route();
    }

    fn refresh(&mut self, set: &mut Set) {
        let groups = set.listed.iter().flat_map(|(_, groups)| groups.clone());
        let (active, dropped) = addresses(&set.job, groups);
        let mut before = std::mem::take(&mut set.running);
        for url in active {
            let known = before.iter().position(|running| running.receiver.name() == url.as_str());
            let running = match known {
                Some(i) => before.swap_remove(i),
                None => self.start(Parts {
                    name: url.to_string(),
                    url,
                    language: Language::Alertmanager,
                    transport: set.transport.clone(),
                    timeout: set.job.timeout,
                    alert_relabel: set.job.alert_relabel.clone(),
                    counts: self.delivery.counts.clone(),
                    external_url: self.delivery.external_url.clone(),
                }),
            };
            set.running.push(running);
        }
        set.dropped = dropped;
    }

    fn route(&self) {
        let alertmanagers = self.sets.iter().flat_map(|set| &set.running);
        let all = alertmanagers.chain(self.webhooks.iter().map(|(_, running)| running));
        self.delivery.routing.store(Arc::new(Routing {
            external_labels: self.config.external_labels.clone(),
            relabel: self.config.alerting.relabel.clone(),
            receivers: all.map(|running| running.receiver.clone()).collect(),
            dropped: self.sets.iter().flat_map(|set| set.dropped.clone()).collect(),
        }));
    }
}

/// Where the listed Alertmanagers are posted to, each once, and the addresses that relabelling dropped.
fn addresses(job: &AlertmanagerJob, groups: impl Iterator<Item = Arc<Group>>) -> (Vec<Url>, Vec<String>) {
    let (mut active, mut dropped): (Vec<Url>, Vec<String>) = (Vec::new(), Vec::new());
    for group in groups {
        for own in &group.targets {
            let mut labels = before_relabelling(job, &group.labels, own);
            let listed = address(&labels);
            if !relabel(&job.relabel, &mut labels) {
                dropped.push(listed);
                continue;
            }
            match Url::parse(&address(&labels)) {
                Ok(url) if url.host_str().is_some() && labels.get(ADDRESS).is_some_and(|text| !text.contains('/')) => {
                    if !active.contains(&url) {
                        active.push(url);
                    }
                }
                _ => tracing::error!(address = listed, "an Alertmanager has an address that is none; it is left out"),
            }
        }
    }
    (active, dropped)
}

/// As in Prometheus, a group may set another scheme or path, a target of its own may not.
fn before_relabelling(job: &AlertmanagerJob, group: &Labels, own: &Labels) -> LabelSet {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut labels: LabelSet = own.iter().map(owned).collect();
    labels.insert(SCHEME.to_owned(), job.scheme.clone());
    labels.insert(ALERTS_PATH.to_owned(), job.path.clone());
    labels.extend(group.iter().filter(|(name, _)| own.get(name).is_none()).map(owned));
    labels
}

fn address(labels: &LabelSet) -> String {
    let label = |name: &str| labels.get(name).map_or("", String::as_str);
    let path = label(ALERTS_PATH);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{}{slash}{path}", label(SCHEME), label(ADDRESS))
}

#[cfg(test)]
mod tests;
