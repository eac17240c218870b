//! Autoscalers of others, and the workloads that they steer.

use super::watched::VERTICAL;
use super::{Key, State, reference};
use crate::WorkloadRef;
use crate::kubernetes::wire::{Meta, TargetRef};

impl State {
    /// Takes in what an autoscaler steers, or that it steers nothing; whether that is news.
    pub(super) fn steers(&mut self, kind: &'static str, meta: &Meta, target: Option<&TargetRef>) -> bool {
        let key = Key::of(meta);
        let reference = target.filter(|target| target.api_version.split('/').next() == Some("apps"));
        let reference = reference.and_then(|target| reference_of(target, &meta.namespace));
        if self.steerers.get(&(kind, key.clone())) == reference.as_ref() {
            return false;
        }
        self.stops_steering(kind, &key);
        if let Some(reference) = reference {
            self.conflicts.entry(reference.clone()).or_default().insert(title(kind, &key));
            self.steerers.insert((kind, key), reference);
        }
        true
    }

    /// Whether an autoscaler of others decides the sizes of a workload's pods.
    pub(super) fn is_sized_by_another(&self, workload: &WorkloadRef) -> bool {
        self.conflicts.get(workload).is_some_and(|names| names.iter().any(|name| name.starts_with(VERTICAL)))
    }

    /// Forgets an autoscaler; whether it was known.
    pub(super) fn stops_steering(&mut self, kind: &'static str, key: &Key) -> bool {
        let Some(reference) = self.steerers.remove(&(kind, key.clone())) else { return false };
        if let Some(names) = self.conflicts.get_mut(&reference) {
            names.remove(&title(kind, key));
            if names.is_empty() {
                self.conflicts.remove(&reference);
            }
        }
        true
    }
}

fn reference_of(target: &TargetRef, namespace: &str) -> Option<WorkloadRef> {
    reference(&target.kind, namespace, &target.name)
}

fn title(kind: &str, key: &Key) -> String {
    format!("{kind} {}/{}", key.namespace(), key.name())
}
