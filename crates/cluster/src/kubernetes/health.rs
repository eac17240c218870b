//! Whether what is known of the cluster may be acted upon. Nothing is planned on a picture that may be old: every watch tells
//! this board when it began, broke or caught up, and the pulse tells when the API server last answered. Reads nothing itself.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// A silence longer than this makes the picture too old to plan on: the autoscaler's default interval, so that at most one tick
/// is planned on what was true before the silence.
pub(super) const BLIND_AFTER: Duration = Duration::from_secs(15);

/// What can be said of the picture of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not everything has been read yet.
    NotSynced {
        /// What is missing, and why if it is known.
        reason: String,
    },
    /// Read, and kept up to date.
    Well,
    /// It was read, and may be old by now.
    Blind {
        /// Milliseconds since the epoch.
        since_ms: i64,
        /// Why.
        reason: String,
    },
}

impl Health {
    /// Why nothing should be planned; `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::NotSynced { reason } => Some(format!("the cluster is being read: {reason}")),
            Self::Well => None,
            Self::Blind { reason, .. } => Some(reason.clone()),
        }
    }
}

/// Names a watch on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SourceId(usize);

/// One watch.
#[derive(Debug)]
struct Source {
    /// Such as `pods` or `pods in shop`.
    name: String,
    /// Whether nothing can be planned without it.
    required: bool,
    /// Whether it was read in full, or is known not to be had.
    settled: bool,
    /// Whether it must be watched anew before it is believed again.
    doubted: bool,
    broken: Option<(Instant, String)>,
}

#[derive(Debug)]
struct Pulse {
    answered: Instant,
    answered_ms: i64,
    trouble: String,
}

/// What all watches and the pulse have told.
pub(super) struct Board {
    sources: Mutex<Vec<Source>>,
    pulse: Mutex<Pulse>,
    health: watch::Sender<Health>,
    /// Raised when the API server answers again after a long silence: all watch anew.
    epoch: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

impl Board {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let pulse = Pulse { answered: Instant::now(), answered_ms: clock.now_ms(), trouble: String::new() };
        let health = Health::NotSynced { reason: "nothing was read yet".to_owned() };
        Self {
            sources: Mutex::default(),
            pulse: Mutex::new(pulse),
            health: watch::Sender::new(health),
            epoch: watch::Sender::new(0),
            clock,
        }
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Changes when all are to watch anew.
    pub fn epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    pub fn register(&self, name: String, required: bool) -> SourceId {
        let mut sources = self.sources.lock();
        sources.push(Source { name, required, settled: false, doubted: false, broken: None });
        SourceId(sources.len() - 1)
    }

    /// It is watched, after it was read in full: in that epoch, before which nothing that it knows is believed.
    pub fn connected(&self, id: SourceId, epoch: u64) {
        let mut sources = self.sources.lock();
        let source = &mut sources[id.0];
        if let Some((since, reason)) = source.broken.take() {
            let (source, seconds) = (source.name.as_str(), since.elapsed().as_secs());
            tracing::info!(source, seconds, reason, "a watch works again");
        }
        source.settled = true;
        source.doubted &= epoch != *self.epoch.borrow();
        drop(sources);
        self.publish();
    }

    /// It cannot be had, and is done without.
    pub fn absent(&self, id: SourceId) {
        let mut sources = self.sources.lock();
        let source = &mut sources[id.0];
        (source.settled, source.doubted, source.broken) = (true, false, None);
        drop(sources);
        self.publish();
    }

    /// It failed, since when is answered. Said once, when it begins.
    pub fn broken(&self, id: SourceId, reason: &str) -> Instant {
        let mut sources = self.sources.lock();
        let source = &mut sources[id.0];
        if source.broken.as_ref().is_none_or(|(_, known)| known != reason) {
            tracing::warn!(source = source.name, reason, "a watch failed, and is tried again");
        }
        let since = source.broken.take().map_or_else(Instant::now, |(since, _)| since);
        source.broken = Some((since, reason.to_owned()));
        drop(sources);
        self.publish();
        since
    }

    /// Optional ones that failed are done without from now on; the failure was said.
    pub fn settle(&self, id: SourceId) {
        self.sources.lock()[id.0].settled = true;
        self.publish();
    }

    /// Whether everything that plans need was read once.
    pub fn has_read_required(&self) -> bool {
        self.sources.lock().iter().filter(|source| source.required).all(|source| source.settled)
    }

    /// The API server answered.
    pub fn answered(&self) {
        let silence = {
            let mut pulse = self.pulse.lock();
            let silence = pulse.answered.elapsed();
            *pulse = Pulse { answered: Instant::now(), answered_ms: self.clock.now_ms(), trouble: String::new() };
            silence
        };
        if silence > BLIND_AFTER {
            let mut sources = self.sources.lock();
            sources.iter_mut().filter(|source| source.settled).for_each(|source| source.doubted = true);
            self.epoch.send_modify(|epoch| *epoch += 1);
        }
        self.publish();
    }

    /// The API server did not answer.
    pub fn unanswered(&self, reason: &str) {
        reason.clone_into(&mut self.pulse.lock().trouble);
        self.publish();
    }

    /// What can be said now.
    pub fn judge(&self) -> Health {
        let (silence, silent_since_ms, trouble) = {
            let pulse = self.pulse.lock();
            (pulse.answered.elapsed(), pulse.answered_ms, pulse.trouble.clone())
        };
        let sources = self.sources.lock();
        if let Some(reason) = missing(&sources) {
            let why =
                if silence > BLIND_AFTER && !trouble.is_empty() { format!(" ({trouble})") } else { String::new() };
            return Health::NotSynced { reason: format!("{reason}{why}") };
        }
        if silence > BLIND_AFTER {
            let reason = format!("the API server has not answered for {} s: {trouble}", silence.as_secs());
            return Health::Blind { since_ms: silent_since_ms, reason };
        }
        let required = sources.iter().filter(|source| source.required);
        for source in required {
            match &source.broken {
                Some((since, reason)) if source.doubted || since.elapsed() > BLIND_AFTER => {
                    let elapsed_ms = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
                    let reason = format!("{} cannot be watched: {reason}", source.name);
                    return Health::Blind { since_ms: self.clock.now_ms().saturating_sub(elapsed_ms), reason };
                }
                _ if source.doubted => {
                    let reason = format!("{}: what happened during a silence is being read", source.name);
                    return Health::Blind { since_ms: self.clock.now_ms(), reason };
                }
                _ => {}
            }
        }
        Health::Well
    }

    /// Tells everybody who waits for a change; the time that passes alone changes the judgement too.
    pub fn publish(&self) {
        let now = self.judge();
        self.health.send_if_modified(|known| {
            let same_kind = std::mem::discriminant(known) == std::mem::discriminant(&now);
            if !same_kind {
                announce(known, &now);
            }
            let changed = *known != now;
            *known = now.clone();
            changed
        });
    }
}

fn missing(sources: &[Source]) -> Option<String> {
    let unsettled: Vec<&Source> = sources.iter().filter(|source| !source.settled).collect();
    if unsettled.is_empty() && !sources.is_empty() {
        return None;
    }
    let names: Vec<&str> = unsettled.iter().map(|source| source.name.as_str()).collect();
    let why = unsettled.iter().find_map(|source| source.broken.as_ref());
    let why = why.map_or_else(String::new, |(_, reason)| format!(": {reason}"));
    Some(format!(
        "waiting for {}{why}",
        if names.is_empty() { "the first answer".to_owned() } else { names.join(", ") }
    ))
}

fn announce(before: &Health, now: &Health) {
    match (before, now) {
        (Health::NotSynced { .. }, Health::Well) => tracing::info!("the cluster has been read"),
        (_, Health::Well) => tracing::info!("the cluster is seen again"),
        (_, Health::Blind { reason, .. }) => tracing::warn!(reason, "the cluster is not seen; nothing is planned"),
        (_, Health::NotSynced { .. }) => {}
    }
}

#[cfg(test)]
mod tests;
