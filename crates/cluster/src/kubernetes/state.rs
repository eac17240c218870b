//! What is known of the cluster, kept small: of each object only what is asked for later. Pods find their workload by the owner
//! references that controllers write, never by labels. Reads nothing and writes nothing: see `watching`, `writing`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use protocol::quantity::Quantity;

use super::resize::annotation::Plan;
use super::resize::plan::{Nodes, Part, Role, Room, Shape, Step, step};
use super::resize::quota::Quota;
use super::wire::{self, Meta};
use crate::{Container, Replica, ReplicaState, Replicas, Resources, Rollout, Workload, WorkloadKind, WorkloadRef};

mod events;
mod key;
mod pod;
mod rollout;
mod steerers;
mod watched;

use key::is_older;
pub(super) use key::{Key, Uid};
pub(super) use watched::{Deployment, ReplicaSet, StatefulSet};

/// A pod.
#[derive(Debug)]
pub(super) struct PodRecord {
    uid: Uid,
    uid_text: Box<str>,
    version: Box<str>,
    generation: i64,
    owner: Option<Uid>,
    replica: Replica,
    shape: Arc<Shape>,
    deletion_cost: i32,
}

impl PodRecord {
    fn target(&self, key: &Key, room: Option<Room>) -> PodTarget {
        PodTarget {
            room,
            key: key.clone(),
            uid: self.uid_text.to_string(),
            version: self.version.to_string(),
            generation: self.generation,
            shape: Arc::clone(&self.shape),
            deletion_cost: self.deletion_cost,
        }
    }
}

/// A ReplicaSet.
#[derive(Debug)]
struct SetRecord {
    uid: Uid,
    owner: Option<Uid>,
}

/// A Deployment or StatefulSet.
#[derive(Debug)]
struct WorkloadRecord {
    uid: Uid,
    uid_text: Box<str>,
    current: Version,
    /// As of the latest listing of all workloads, on which plans are made.
    listed: Option<Version>,
    desired: u32,
    rollout: Rollout,
    template: Arc<Shape>,
    plan: Plan,
}

/// Which state of a workload something was planned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub resource: Box<str>,
    /// Changes with the specification, not with the status.
    pub generation: i64,
}

/// What a write needs to know of a workload.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub uid: String,
    /// What the plan saw.
    pub version: Version,
    pub desired: u32,
    pub template: Arc<Shape>,
    pub plan: Plan,
}

/// A pod that is not of the size planned for it.
#[derive(Debug)]
pub(super) struct Missized {
    pub workload: WorkloadRef,
    pub pod: PodTarget,
    /// What it takes.
    pub step: Step,
    /// Its planned containers are not as the template says that is known: it may be of a newer one.
    pub differs: bool,
}

/// A pod that a write is about.
#[derive(Debug, Clone)]
pub(super) struct PodTarget {
    pub key: Key,
    pub uid: String,
    pub version: String,
    pub generation: i64,
    pub shape: Arc<Shape>,
    pub deletion_cost: i32,
    /// All that its node can give; `None` before it is placed, or if that is not known.
    pub room: Option<Room>,
}

impl PodTarget {
    /// Nodes that it may be on, of all that there are.
    pub fn nodes<'a>(&self, rooms: &'a [Room]) -> Nodes<'a> {
        self.room.map_or(Nodes::Any(rooms), Nodes::Own)
    }
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct State {
    workloads: BTreeMap<WorkloadRef, WorkloadRecord>,
    workload_uids: HashMap<Uid, WorkloadRef>,
    sets: HashMap<Key, SetRecord>,
    set_owners: HashMap<Uid, Uid>,
    sets_of: HashMap<Uid, Vec<Uid>>,
    pods: HashMap<Key, PodRecord>,
    pods_of: HashMap<Uid, BTreeSet<Key>>,
    /// By name.
    nodes: HashMap<Box<str>, Room>,
    quotas: HashMap<Key, Quota>,
    /// Autoscalers of others, by kind and name, and what they steer.
    steerers: HashMap<(&'static str, Key), WorkloadRef>,
    conflicts: HashMap<WorkloadRef, BTreeSet<String>>,
    /// Workloads with a plan.
    sized: BTreeSet<WorkloadRef>,
    events: events::Ring,
}

impl State {
    /// All workloads, sorted; what is planned from now on is planned on these.
    pub fn list(&mut self) -> Vec<Workload> {
        let mut listed = Vec::with_capacity(self.workloads.len());
        for (reference, record) in &mut self.workloads {
            if record.listed.as_ref() != Some(&record.current) {
                record.listed = Some(record.current.clone());
            }
            let mut replicas: Vec<Replica> = Vec::new();
            for pods in owners(&self.sets_of, record.uid).filter_map(|owner| self.pods_of.get(&owner)) {
                replicas.extend(pods.iter().filter_map(|key| self.pods.get(key)).map(|pod| pod.replica.clone()));
            }
            replicas.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let conflicts = self.conflicts.get(reference);
            listed.push(Workload {
                reference: reference.clone(),
                desired: Replicas(record.desired),
                replicas,
                rollout: record.rollout.clone(),
                conflicts: conflicts.map(|names| names.iter().cloned().collect()).unwrap_or_default(),
            });
        }
        listed
    }

    /// What a write to a workload needs to know; `None` if there is no such workload.
    pub fn target(&self, workload: &WorkloadRef) -> Option<Target> {
        let record = self.workloads.get(workload)?;
        Some(Target {
            uid: record.uid_text.to_string(),
            version: record.listed.as_ref().unwrap_or(&record.current).clone(),
            desired: record.desired,
            template: Arc::clone(&record.template),
            plan: record.plan.clone(),
        })
    }

    /// What the containers of a workload are to have: as planned, else as its template says, else as all its pods were given
    /// by whoever admitted them, such as a LimitRange.
    pub fn wanted(&self, workload: &WorkloadRef) -> Option<Vec<Container>> {
        let record = self.workloads.get(workload)?;
        Some(self.sizes(record, |part| record.plan.sizes.get(&*part.name).copied().unwrap_or(part.resources)))
    }

    /// The same without what is planned.
    pub fn specified(&self, workload: &WorkloadRef) -> Option<Vec<Container>> {
        let record = self.workloads.get(workload)?;
        Some(self.sizes(record, |part| part.resources))
    }

    fn sizes(&self, record: &WorkloadRecord, asked: impl Fn(&Part) -> Resources) -> Vec<Container> {
        let parts = record.template.parts.iter().filter(|part| part.role != Role::Init);
        let wanted = parts.map(|part| {
            let given = self.living(record.uid).filter_map(|(_, pod)| pod.shape.resources(&part.name));
            let given = given.reduce(|one, other| Resources {
                cpu_request: one.cpu_request.and(other.cpu_request),
                cpu_limit: one.cpu_limit.and(other.cpu_limit),
                memory_request: one.memory_request.and(other.memory_request),
                memory_limit: one.memory_limit.and(other.memory_limit),
            });
            let name = part.name.to_string();
            Container { name, resources: asked(part).or(given.unwrap_or_default()) }
        });
        wanted.collect()
    }

    /// The generation of a workload that is known.
    pub fn generation(&self, workload: &WorkloadRef) -> Option<i64> {
        Some(self.workloads.get(workload)?.current.generation)
    }

    /// Workloads whose annotated plan says more than what holds, as they are now.
    pub fn worn_plans(&self) -> Vec<(WorkloadRef, Target)> {
        let worn = self.sized.iter().filter(|workload| !self.is_sized_by_another(workload)).filter_map(|workload| {
            let record = self.workloads.get(workload).filter(|record| record.plan.is_worn())?;
            Some((workload.clone(), Target { version: record.current.clone(), ..self.target(workload)? }))
        });
        worn.collect()
    }

    /// Pods of a workload that are not ending and have not ended.
    pub fn living_pods(&self, workload: &WorkloadRef) -> Vec<PodTarget> {
        let Some(record) = self.workloads.get(workload) else { return Vec::new() };
        self.living(record.uid).map(|(key, pod)| pod.target(key, self.room_of(pod))).collect()
    }

    fn living(&self, workload: Uid) -> impl Iterator<Item = (&Key, &PodRecord)> {
        let pods = owners(&self.sets_of, workload).filter_map(|owner| self.pods_of.get(&owner)).flatten();
        let alive = |pod: &PodRecord| !matches!(pod.replica.state, ReplicaState::Terminating | ReplicaState::Failed);
        pods.filter_map(|key| Some((key, self.pods.get(key)?))).filter(move |(_, pod)| alive(pod))
    }

    /// Pods that are not of the size planned for them, with what it takes.
    pub fn missized(&self) -> Vec<Missized> {
        let rooms = self.rooms();
        let mut found = Vec::new();
        for workload in &self.sized {
            let Some(record) = self.workloads.get(workload) else { continue };
            // Whose sizes another steers, it sizes alone: two would take turns.
            if self.is_sized_by_another(workload) {
                continue;
            }
            let sizes = &record.plan.sizes;
            for (key, pod) in self.living(record.uid) {
                let room = self.room_of(pod);
                match step(&pod.shape, sizes, room.map_or(Nodes::Any(&rooms), Nodes::Own)) {
                    Step::Nothing => {}
                    step => found.push(Missized {
                        workload: workload.clone(),
                        pod: pod.target(key, room),
                        step,
                        differs: sizes.keys().any(|name| pod.shape.resources(name) != record.template.resources(name)),
                    }),
                }
            }
        }
        found
    }

    fn room_of(&self, pod: &PodRecord) -> Option<Room> {
        self.nodes.get(pod.replica.node.as_str()).copied()
    }

    /// What each node can give, each size once; empty if nodes are not known.
    pub fn rooms(&self) -> Vec<Room> {
        let mut rooms: Vec<Room> = self.nodes.values().copied().collect();
        rooms.sort_unstable_by_key(|room| (room.cpu, room.memory));
        rooms.dedup();
        rooms
    }

    pub fn quotas(&self, namespace: &str) -> Vec<Quota> {
        let of = |(key, quota): (&Key, &Quota)| (key.namespace() == namespace).then(|| quota.clone());
        self.quotas.iter().filter_map(of).collect()
    }

    /// The workload that an object belongs to, if it is known.
    pub fn workload_of(&self, object: &wire::ObjectRef) -> Option<WorkloadRef> {
        let of_uid = |uid: Uid| {
            let owner = self.set_owners.get(&uid).copied().unwrap_or(uid);
            self.workload_uids.get(&owner).cloned()
        };
        match object.kind.as_str() {
            "Deployment" | "StatefulSet" => {
                let reference = reference(&object.kind, &object.namespace, &object.name)?;
                self.workloads.contains_key(&reference).then_some(reference)
            }
            "ReplicaSet" => of_uid(Uid::of(&object.uid)),
            "Pod" => {
                let pod = self.pods.get(&Key::new(&object.namespace, &object.name))?;
                of_uid(pod.owner?)
            }
            _ => None,
        }
    }

    /// Takes in a pod.
    pub fn apply_pod(&mut self, pod: &wire::Pod) -> bool {
        let meta = &pod.metadata;
        let (key, uid) = (Key::of(meta), Uid::of(&meta.uid));
        if let Some(known) = self.pods.get(&key)
            && known.uid == uid
            && is_older(&meta.resource_version, &known.version)
        {
            return false;
        }
        let owner = meta.controller().map(|owner| Uid::of(&owner.uid));
        let mut shape = pod::shape(&pod.spec);
        if let Some(template) = owner.and_then(|owner| self.template_of(owner)).filter(|template| **template == *shape)
        {
            // Most pods are as their template says: one shape for all of them.
            shape = template;
        }
        let record = PodRecord {
            uid,
            uid_text: meta.uid.as_str().into(),
            version: meta.resource_version.as_str().into(),
            generation: meta.generation,
            owner,
            replica: pod::replica(pod),
            shape,
            deletion_cost: meta.annotations.deletion_cost.as_deref().and_then(|cost| cost.parse().ok()).unwrap_or(0),
        };
        let old = self.pods.insert(key.clone(), record);
        let new = &self.pods[&key];
        let same = old
            .as_ref()
            .is_some_and(|old| old.owner == new.owner && old.replica == new.replica && old.shape == new.shape);
        if old.as_ref().and_then(|old| old.owner) != owner {
            self.disown(&key, old.and_then(|old| old.owner));
            if let Some(owner) = owner {
                self.pods_of.entry(owner).or_default().insert(key);
            }
        }
        !same
    }

    fn template_of(&self, owner: Uid) -> Option<Arc<Shape>> {
        let owner = self.set_owners.get(&owner).copied().unwrap_or(owner);
        let record = self.workloads.get(self.workload_uids.get(&owner)?)?;
        Some(Arc::clone(&record.template))
    }

    fn disown(&mut self, key: &Key, owner: Option<Uid>) {
        let Some(owner) = owner else { return };
        if let Some(pods) = self.pods_of.get_mut(&owner) {
            pods.remove(key);
            if pods.is_empty() {
                self.pods_of.remove(&owner);
            }
        }
    }

    fn remove_pod(&mut self, key: &Key) -> bool {
        let Some(pod) = self.pods.remove(key) else { return false };
        self.disown(key, pod.owner);
        true
    }

    /// Takes in a Deployment or StatefulSet.
    pub fn apply_workload(&mut self, kind: WorkloadKind, object: &wire::Deployed) -> bool {
        let meta = &object.metadata;
        let reference = WorkloadRef { kind, namespace: meta.namespace.clone(), name: meta.name.clone() };
        let uid = Uid::of(&meta.uid);
        let old = self.workloads.get(&reference);
        if old.is_some_and(|old| old.uid == uid && is_older(&meta.resource_version, &old.current.resource)) {
            return false;
        }
        let same_one = old.filter(|old| old.uid == uid);
        let before = same_one.map(|old| rollout::Before { desired: old.desired, rollout: &old.rollout });
        let template = pod::shape(&object.spec.template.spec);
        let plan = Plan::read(meta.annotations.planned.as_deref(), &template);
        let record = WorkloadRecord {
            uid,
            uid_text: meta.uid.as_str().into(),
            current: Version { resource: meta.resource_version.as_str().into(), generation: meta.generation },
            listed: same_one.and_then(|old| old.listed.clone()),
            desired: object.spec.replicas.unwrap_or(1),
            rollout: rollout::rollout(kind, object, before),
            template,
            plan,
        };
        let same = same_one.is_some_and(|old| {
            (old.desired, &old.rollout, &old.plan) == (record.desired, &record.rollout, &record.plan)
        });
        if let Some(old) = old.filter(|old| old.uid != uid) {
            self.workload_uids.remove(&old.uid);
        }
        if record.plan.is_empty() {
            self.sized.remove(&reference);
        } else {
            self.sized.insert(reference.clone());
        }
        self.workload_uids.insert(uid, reference.clone());
        self.workloads.insert(reference, record);
        !same
    }

    /// Another number of replicas was written and accepted; the watch will say the same.
    pub fn scaled(&mut self, workload: &WorkloadRef, replicas: u32, version: &str) {
        let Some(record) = self.workloads.get_mut(workload) else { return };
        if !is_older(version, &record.current.resource) {
            // Another number is another generation; whatever is planned in the same breath is planned on ours.
            let generation = record.current.generation + i64::from(record.desired != replicas);
            record.desired = replicas;
            record.listed = Some(Version { resource: version.into(), generation });
        }
    }

    /// Takes in what a write of ours made of a pod, unless a watch has said meanwhile that it is gone.
    pub fn answered_pod(&mut self, pod: &wire::Pod) -> bool {
        let (key, uid) = (Key::of(&pod.metadata), Uid::of(&pod.metadata.uid));
        self.pods.get(&key).is_some_and(|known| known.uid == uid) && self.apply_pod(pod)
    }

    /// Takes in what a write of ours made of a workload, unless a watch has said meanwhile that it is gone; what is planned in the
    /// same breath is planned on it.
    pub fn answered_workload(&mut self, kind: WorkloadKind, object: &wire::Deployed) -> bool {
        let meta = &object.metadata;
        let reference = WorkloadRef { kind, namespace: meta.namespace.clone(), name: meta.name.clone() };
        if self.workloads.get(&reference).is_none_or(|known| known.uid != Uid::of(&meta.uid)) {
            return false;
        }
        let changed = self.apply_workload(kind, object);
        if let Some(record) = self.workloads.get_mut(&reference) {
            record.listed = Some(record.current.clone());
        }
        changed
    }

    fn remove_workload(&mut self, reference: &WorkloadRef) -> bool {
        let Some(record) = self.workloads.remove(reference) else { return false };
        self.workload_uids.remove(&record.uid);
        self.sized.remove(reference);
        true
    }

    fn apply_set(&mut self, meta: &Meta) -> bool {
        let (key, uid) = (Key::of(meta), Uid::of(&meta.uid));
        let owner = meta.controller().map(|owner| Uid::of(&owner.uid));
        if self.sets.get(&key).is_some_and(|known| known.uid == uid && known.owner == owner) {
            return false;
        }
        self.remove_set(&key);
        if let Some(owner) = owner {
            self.set_owners.insert(uid, owner);
            self.sets_of.entry(owner).or_default().push(uid);
        }
        self.sets.insert(key, SetRecord { uid, owner });
        true
    }

    fn remove_set(&mut self, key: &Key) -> bool {
        let Some(SetRecord { uid, owner }) = self.sets.remove(key) else { return false };
        self.set_owners.remove(&uid);
        if let Some(sets) = owner.and_then(|owner| self.sets_of.get_mut(&owner)) {
            sets.retain(|set| *set != uid);
            if sets.is_empty() {
                owner.map(|owner| self.sets_of.remove(&owner));
            }
        }
        true
    }
}

/// A workload's own uid, whose pods are a StatefulSet's, and those of its ReplicaSets.
fn owners(sets_of: &HashMap<Uid, Vec<Uid>>, workload: Uid) -> impl Iterator<Item = Uid> {
    std::iter::once(workload).chain(sets_of.get(&workload).into_iter().flatten().copied())
}

fn reference(kind: &str, namespace: &str, name: &str) -> Option<WorkloadRef> {
    let kind = match kind {
        "Deployment" => WorkloadKind::Deployment,
        "StatefulSet" => WorkloadKind::StatefulSet,
        _ => return None,
    };
    Some(WorkloadRef { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

fn room(amounts: wire::Amounts) -> Room {
    Room { cpu: amounts.cpu.unwrap_or_default(), memory: amounts.memory.unwrap_or_default() }
}

fn quota(object: &wire::ResourceQuota) -> Quota {
    let used =
        |name: &str| object.status.used.get(name).and_then(|text| Quantity::parse(text).ok()).unwrap_or_default();
    let amounts = object.status.hard.iter().filter_map(|(name, hard)| {
        let counted = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
        let hard = counted.contains(&name.as_str()).then(|| Quantity::parse(hard).ok())??;
        Some((name.as_str().into(), hard, used(name)))
    });
    Quota {
        name: object.metadata.name.as_str().into(),
        scoped: !object.spec.scopes.is_empty() || object.spec.scope_selector.is_some(),
        amounts: amounts.collect(),
    }
}

#[cfg(test)]
mod tests;
