//! ScalingPolicy objects as the policies to evaluate: each is checked as a file is, and of several that want one workload the
//! oldest has it. One that is wrong takes nobody else with it. Reads and writes nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use cluster::kubernetes::policies::{PolicyObject, PolicyObjects};
use lifecycle::CancellationToken;
use protocol::scaling::ObjectName;
use tokio::sync::watch;

use crate::health::{Health, Part};
use crate::policy::{Policy, PolicySet, check};
use crate::state::State;
use crate::status::Standing;

/// What becomes of a set of objects.
#[derive(Debug, Clone, Default)]
pub struct Sorted {
    /// Those that steer their targets.
    pub set: Arc<PolicySet>,
    /// Where the others stand.
    others: HashMap<ObjectName, Standing>,
}

impl Sorted {
    /// Where an object stands.
    pub fn standing(&self, name: &ObjectName) -> &Standing {
        self.others.get(name).unwrap_or(&Standing::Steers)
    }
}

/// Sorts objects, and checks again only those whose spec has changed.
#[derive(Debug, Default)]
pub struct Sorter {
    checked: HashMap<String, Checked>,
}

#[derive(Debug)]
struct Checked {
    generation: i64,
    result: Result<Arc<Policy>, String>,
}

impl Sorter {
    /// Whether these objects hold the specs that were sorted last.
    fn has_sorted(&self, objects: &[Arc<PolicyObject>]) -> bool {
        let is_known = |object: &Arc<PolicyObject>| {
            self.checked.get(&object.uid).is_some_and(|checked| checked.generation == object.generation)
        };
        objects.len() == self.checked.len() && objects.iter().all(is_known)
    }

    /// Sorts objects, which come sorted by namespace and name.
    pub fn sort(&mut self, objects: &[Arc<PolicyObject>]) -> Sorted {
        let mut before = std::mem::take(&mut self.checked);
        for object in objects {
            let known = before.remove(&object.uid).filter(|known| known.generation == object.generation);
            let checked =
                known.unwrap_or_else(|| Checked { generation: object.generation, result: check_object(object) });
            self.checked.insert(object.uid.clone(), checked);
        }
        let policy = |object: &Arc<PolicyObject>| self.checked[&object.uid].result.clone();
        let mut by_age: Vec<&Arc<PolicyObject>> = objects.iter().collect();
        by_age.sort_by_key(|object| object.created_at_ms);
        let mut owners = HashMap::new();
        for policy in by_age.into_iter().filter_map(|object| policy(object).ok()) {
            owners.entry(policy.target.clone()).or_insert_with(|| policy.name.clone());
        }
        let (mut set, mut others) = (PolicySet::default(), HashMap::new());
        for object in objects {
            let name = ObjectName { namespace: object.namespace.clone(), name: object.name.clone() };
            let policy = match policy(object) {
                Ok(policy) => policy,
                Err(message) => {
                    others.insert(name, Standing::Refused { message });
                    continue;
                }
            };
            let owner = &owners[&policy.target];
            if *owner != name || set.add(Arc::clone(&policy)).is_err() {
                let message = format!(
                    "{} is steered by the policy {}/{} already, which is older",
                    policy.target, owner.namespace, owner.name
                );
                others.insert(name, Standing::Rival { message });
            }
        }
        Sorted { set: Arc::new(set), others }
    }
}

/// Reads an object as a file with one document.
fn check_object(object: &PolicyObject) -> Result<Arc<Policy>, String> {
    let documents = protocol::yaml::split(Path::new(&object.name), &object.manifest);
    let Some(document) = documents.first() else { return Err("the object is empty".to_owned()) };
    check(document).map(Arc::new).map_err(|error| {
        // An object has no lines.
        let message = error.message.split(" (line ").next().unwrap_or_default();
        if error.field.is_empty() { message.to_owned() } else { format!("{}: {message}", error.field) }
    })
}

/// Follows the objects: sorts them whenever they change, and takes over who is paused.
pub struct Follower {
    /// The objects as they are now.
    pub objects: watch::Receiver<PolicyObjects>,
    /// How they stand.
    pub sorted: watch::Sender<Arc<Sorted>>,
    /// Those that are evaluated.
    pub policies: watch::Sender<Arc<PolicySet>>,
    /// What the API and the loop know of them.
    pub state: Arc<State>,
    /// Who is told how it is.
    pub health: Health,
}

impl Follower {
    /// Follows until shutdown.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut sorter = Sorter::default();
        loop {
            let PolicyObjects { objects, trouble } = self.objects.borrow_and_update().clone();
            self.health.set(Part::Policies, trouble);
            self.take_pauses(&objects);
            if !sorter.has_sorted(&objects) {
                let result = Arc::new(sorter.sort(&objects));
                let (policies, others) = (result.set.len(), result.others.len());
                tracing::info!(policies, others, "the scaling policies have changed");
                self.policies.send_replace(Arc::clone(&result.set));
                self.sorted.send_replace(result);
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                changed = self.objects.changed() => if changed.is_err() {
                    shutdown.cancelled().await;
                    return Ok(());
                },
            }
        }
    }

    /// Who is paused is what the objects say, whoever leads and whoever said so.
    fn take_pauses(&self, objects: &[Arc<PolicyObject>]) {
        for object in objects {
            let name = ObjectName { namespace: object.namespace.clone(), name: object.name.clone() };
            self.state.pause_seen(&name, object.paused, &object.resource_version);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
