//! Policies that may be evaluated together: no two of one name, no two that steer one workload. Never changes once made: who
//! holds one sees the same policies at the same positions until the next is handed in.

use std::collections::HashMap;
use std::sync::Arc;

use cluster::WorkloadRef;
use protocol::scaling::ObjectName;
use tokio::sync::watch;

use super::Policy;

/// Checked policies: no two have one name or one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    names: HashMap<ObjectName, usize>,
    targets: HashMap<WorkloadRef, usize>,
}

impl PolicySet {
    /// Adds a policy, unless one of its name or of its target is there already: then that one is handed back.
    ///
    /// # Errors
    /// The policy that is there already.
    pub fn add(&mut self, policy: Arc<Policy>) -> Result<(), Arc<Policy>> {
        let taken = self.names.get(&policy.name).or_else(|| self.targets.get(&policy.target));
        if let Some(place) = taken {
            return Err(Arc::clone(&self.policies[*place]));
        }
        let place = self.policies.len();
        self.names.insert(policy.name.clone(), place);
        self.targets.insert(policy.target.clone(), place);
        self.policies.push(policy);
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policies in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Policy> + Clone {
        self.policies.iter().map(AsRef::as_ref)
    }

    /// The policy with this name.
    pub fn named(&self, name: &ObjectName) -> Option<&Policy> {
        self.names.get(name).map(|place| self.policies[*place].as_ref())
    }

    /// The policy that steers this workload.
    pub fn steering(&self, target: &WorkloadRef) -> Option<&Policy> {
        self.targets.get(target).map(|place| self.policies[*place].as_ref())
    }

    /// A set that never changes, where a changing one is asked for.
    pub fn fixed(self) -> watch::Receiver<Arc<Self>> {
        watch::Sender::new(Arc::new(self)).subscribe()
    }
}

impl std::ops::Index<usize> for PolicySet {
    type Output = Policy;

    fn index(&self, place: usize) -> &Policy {
        &self.policies[place]
    }
}
