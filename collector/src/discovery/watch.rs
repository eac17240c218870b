//! The sources of targets: each is watched by a task that reports its groups when they change. A source that fails keeps
//! what it listed last, as in Prometheus.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lifecycle::CancellationToken;
use protocol::yaml;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use url::Url;

use super::kubernetes::{self, Watches};
use super::{Group, TargetGroup};
use crate::config::Discovery;

/// How often files are looked at for a new modification time.
const FILE_POLL: Duration = Duration::from_secs(1);

/// The longest that a source may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer of a source that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What a source lists now.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Number of the source, as it was given to [`watch`].
    pub source: u64,
    /// All its groups. One that is the same as before is the same `Arc`.
    pub groups: Vec<Arc<Group>>,
}

/// Watches one source until shutdown, or until nobody listens.
pub async fn watch(
    source: u64,
    discovery: Discovery,
    watches: Arc<Watches>,
    reports: mpsc::Sender<Listed>,
    shutdown: CancellationToken,
) {
    let watcher = Watcher { source, reports, last: None };
    let watching = async {
        match discovery {
            Discovery::Static(groups) => watcher.once(groups).await,
            Discovery::Files { patterns, refresh } => watcher.files(&patterns, refresh).await,
            Discovery::Http { url, refresh } => watcher.http(&url, refresh).await,
            Discovery::Kubernetes(config) => kubernetes::follow(source, &config, &watches, &watcher.reports).await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = watching => {}
    }
}

struct Watcher {
    source: u64,
    reports: mpsc::Sender<Listed>,
    last: Option<Vec<TargetGroup>>,
}

impl Watcher {
    async fn once(mut self, groups: Vec<TargetGroup>) {
        self.report(groups).await;
        std::future::pending::<()>().await;
    }

    async fn http(mut self, url: &Url, refresh: Duration) {
        let client = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT.min(refresh.max(Duration::from_secs(1))))
            .build()
            .expect("a client without TLS and proxies has nothing to fail on");
        let mut ticks = interval(refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_failing = false;
        loop {
            ticks.tick().await;
            match ask(&client, url, refresh).await {
                Ok(groups) => {
                    was_failing = false;
                    self.report(groups).await;
                }
                Err(reason) if !was_failing => {
                    was_failing = true;
                    tracing::warn!(%url, reason, "a source of targets does not answer; its last targets are kept");
                }
                Err(_) => {}
            }
        }
    }

    async fn files(mut self, patterns: &[PathBuf], refresh: Duration) {
        let mut seen: Vec<(PathBuf, Option<SystemTime>)> = Vec::new();
        let mut good: Vec<(PathBuf, Vec<TargetGroup>)> = Vec::new();
        let mut read_at: Option<Instant> = None;
        let mut ticks = interval(FILE_POLL.min(refresh));
        loop {
            ticks.tick().await;
            let found = listed_files(patterns);
            let is_due = read_at.is_none_or(|at| at.elapsed() >= refresh);
            if found == seen && !is_due {
                continue;
            }
            read_at = Some(Instant::now());
            let mut next = Vec::new();
            for (path, _) in &found {
                match read_groups(path) {
                    Ok(groups) => next.push((path.clone(), groups)),
                    Err(reason) => {
                        tracing::warn!(reason, "a file of targets cannot be read; its last targets are kept");
                        next.extend(good.iter().find(|(known, _)| known == path).cloned());
                    }
                }
            }
            (seen, good) = (found, next);
            self.report(good.iter().flat_map(|(_, groups)| groups.clone()).collect()).await;
        }
    }

    async fn report(&mut self, groups: Vec<TargetGroup>) {
        if self.last.as_ref() == Some(&groups) {
            return;
        }
        self.last = Some(groups.clone());
        let groups = groups.into_iter().map(|group| Arc::new(group.into())).collect();
        let listed = Listed { source: self.source, groups };
        if self.reports.send(listed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn ask(client: &reqwest::Client, url: &Url, refresh: Duration) -> Result<Vec<TargetGroup>, String> {
    let request = client
        .get(url.clone())
        .header("Accept", "application/json")
        .header("User-Agent", crate::scrape::USER_AGENT)
        .header("X-Prometheus-Refresh-Interval-Seconds", refresh.as_secs_f64().to_string());
    let mut response = request.send().await.map_err(|error| crate::scrape::cause(&error))?;
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| crate::scrape::cause(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    let mut groups: Vec<TargetGroup> =
        serde_json::from_slice(&body).map_err(|error| format!("its answer is not a list of target groups: {error}"))?;
    for group in &mut groups {
        group.labels.insert("__meta_url".to_owned(), url.to_string());
    }
    Ok(groups)
}

/// Files that fit the patterns, with their modification times, in order of name.
fn listed_files(patterns: &[PathBuf]) -> Vec<(PathBuf, Option<SystemTime>)> {
    let mut found: Vec<PathBuf> = patterns.iter().flat_map(|pattern| matching_files(pattern)).collect();
    found.sort();
    found.dedup();
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    found.into_iter().map(|path| (modified(&path), path)).map(|(at, path)| (path, at)).collect()
}

/// A pattern without `*` is its own file, whether it is there or not.
fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains('*') {
        return vec![pattern.to_owned()];
    }
    let pieces: Vec<String> = name.split('*').map(regex::escape).collect();
    let Ok(regex) = regex::Regex::new(&format!("^{}$", pieces.join(".*"))) else { return Vec::new() };
    let entries = pattern.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = entries.into_iter().flatten().filter_map(|entry| entry.ok().map(|e| e.path()));
    paths.filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| regex.is_match(n))).collect()
}

fn read_groups(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut groups: Vec<TargetGroup> = if path.extension().is_some_and(|e| e == "json") {
        let content = std::fs::read(path).map_err(|error| in_file(&error))?;
        serde_json::from_slice(&content).map_err(|error| in_file(&error))?
    } else {
        let documents = yaml::read_file(path).map_err(|error| error.to_string())?;
        let mut groups = Vec::new();
        for document in documents {
            groups.extend(document.parse::<Vec<TargetGroup>>().map_err(|error| error.to_string())?);
        }
        groups
    };
    for group in &mut groups {
        group.labels.insert("__meta_filepath".to_owned(), path.display().to_string());
    }
    Ok(groups)
}
