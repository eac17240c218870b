//! What is known of the objects of a scope, and how well. Written by its watch, read by those who need it; asks nobody itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kube::runtime::watcher::Event;
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::groups::Records;
use super::record::{Record, Recorded};
use super::scope::Scope;
use super::texts::Texts;

/// Counts of all watches.
#[derive(Debug, Default)]
pub struct WatchCounts {
    /// Times that a list or a watch failed.
    pub failures: AtomicU64,
    /// Watches that follow their objects.
    pub following: AtomicU64,
    /// Watches that are in trouble, and keep what they knew.
    pub failing: AtomicU64,
    troubles: Mutex<BTreeMap<String, String>>,
}

impl WatchCounts {
    /// What is wrong with the watches, a sentence each with its remedy.
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().values().cloned().collect()
    }

    /// Notes what is wrong with a watch; `None` when it is well, or is no more.
    pub(super) fn note(&self, watch: &Scope, trouble: Option<String>) {
        let mut troubles = self.troubles.lock();
        match trouble {
            Some(words) => troubles.insert(watch.to_string(), words),
            None => troubles.remove(&watch.to_string()),
        };
    }
}

/// Records of the objects of a scope, kept up to date while somebody holds this.
pub(super) struct Followed {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    /// Ends the watch.
    pub stop: CancellationToken,
    texts: Arc<Texts>,
    pub counts: Arc<WatchCounts>,
}

#[derive(Default)]
struct State {
    /// `None` until they were listed once.
    records: Option<Arc<Records>>,
    /// The list that is coming in.
    coming: Records,
    health: Health,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    #[default]
    Starting,
    Following,
    Failing,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.cancel();
        self.set_health(Health::Starting);
    }
}

impl Followed {
    /// Nothing is known yet.
    pub fn new(counts: Arc<WatchCounts>, texts: Arc<Texts>) -> Self {
        let (version, stop) = (watch::Sender::new(0), CancellationToken::new());
        Self { state: Mutex::default(), version, stop, texts, counts }
    }

    /// The records; `None` until they were listed once.
    pub fn records(&self) -> Option<Arc<Records>> {
        self.state.lock().records.clone()
    }

    /// Whether it has neither been answered nor failed.
    pub fn is_starting(&self) -> bool {
        self.state.lock().health == Health::Starting
    }

    /// A number that grows with every change.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Waits until the version is a later one.
    pub async fn later_than(&self, seen: u64) {
        // The sender lives as long as this does.
        let _ = self.version.subscribe().wait_for(|version| *version > seen).await;
    }

    /// Takes an event in; `true` if the objects are now known to be up to date.
    pub fn take<K: Recorded>(&self, event: &Event<K>) -> bool {
        let mut state = self.state.lock();
        let (changed, current) = match event {
            Event::Init => {
                state.coming.clear();
                (false, false)
            }
            Event::InitApply(object) => {
                let record = state.same_or(object.record(&self.texts));
                state.coming.insert((record.namespace.clone(), record.name.clone()), record);
                (false, false)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.coming);
                let changed = state.records.as_deref() != Some(&listed);
                state.records = Some(Arc::new(listed));
                (changed, true)
            }
            Event::Apply(object) => (state.apply(object.record(&self.texts)), true),
            Event::Delete(object) => {
                let record = object.record(&self.texts);
                let key = (record.namespace.clone(), record.name.clone());
                (state.records.as_mut().is_some_and(|records| Arc::make_mut(records).remove(&key).is_some()), true)
            }
        };
        drop(state);
        if changed {
            self.version.send_modify(|version| *version += 1);
        }
        current
    }

    /// Notes how it goes; the health before.
    pub fn set_health(&self, health: Health) -> Health {
        let before = std::mem::replace(&mut self.state.lock().health, health);
        if before != health {
            for (one, gauge) in [(Health::Following, &self.counts.following), (Health::Failing, &self.counts.failing)] {
                if health == one {
                    gauge.fetch_add(1, Ordering::Relaxed);
                } else if before == one {
                    gauge.fetch_sub(1, Ordering::Relaxed);
                }
            }
            self.version.send_modify(|version| *version += 1);
        }
        before
    }
}

impl State {
    fn same_or(&self, record: Record) -> Arc<Record> {
        let key = (record.namespace.clone(), record.name.clone());
        let known = self.records.as_ref().and_then(|records| records.get(&key));
        known.filter(|known| ***known == record).cloned().unwrap_or_else(|| Arc::new(record))
    }

    fn apply(&mut self, record: Record) -> bool {
        let key = (record.namespace.clone(), record.name.clone());
        let Some(records) = &mut self.records else { return false };
        if records.get(&key).is_some_and(|known| **known == record) {
            return false;
        }
        Arc::make_mut(records).insert(key, Arc::new(record));
        true
    }
}
