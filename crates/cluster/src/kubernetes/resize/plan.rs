//! What it takes to bring a pod to the size planned for it, and why it may not be possible in place (KEP-1287). Pure: the same pod
//! and plan give the same step.

use std::collections::BTreeMap;

use protocol::quantity::Quantity;

use crate::Resources;

/// Sizes planned for the containers of a workload, by name.
pub(in crate::kubernetes) type Planned = BTreeMap<String, Resources>;

/// Kinds of container that differ in a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kubernetes) enum Role {
    Main,
    /// An init container that keeps running.
    Sidecar,
    /// One that ends before the others start.
    Init,
}

/// A container as far as a resize cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) struct Part {
    pub name: Box<str>,
    pub role: Role,
    /// As in the specification.
    pub resources: Resources,
    /// Whether a change of its CPU takes a restart.
    pub cpu_restarts: bool,
    /// Whether a change of its memory takes a restart.
    pub memory_restarts: bool,
}

/// A pod, or a template of pods, as far as a resize cares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::kubernetes) struct Shape {
    pub parts: Vec<Part>,
    /// Resources of the pod as a whole, which then alone decide its QoS class.
    pub whole: Option<Resources>,
}

impl Shape {
    /// The container of this name.
    pub fn part(&self, container: &str) -> Option<&Part> {
        self.parts.iter().find(|part| *part.name == *container)
    }

    /// Its resources.
    pub fn resources(&self, container: &str) -> Option<Resources> {
        self.part(container).map(|part| part.resources)
    }
}

/// What a node can give to pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::kubernetes) struct Room {
    pub cpu: Quantity,
    pub memory: Quantity,
}

/// What to do with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) enum Step {
    /// It is as planned.
    Nothing,
    /// These containers get other resources.
    Patch(Vec<Change>),
    /// Not possible in place.
    Refused(String),
}

/// Other resources for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) struct Change {
    pub container: Box<str>,
    pub role: Role,
    pub resources: Resources,
}

/// What leads out of every refusal.
const OTHERWISE: &str = "only a rolling update can do that";

/// Nodes that a pod may be on.
#[derive(Debug, Clone, Copy)]
pub(in crate::kubernetes) enum Nodes<'a> {
    /// It is on this one, and stays there.
    Own(Room),
    /// It is not placed yet, or where is not known: any of these. None at all means that nodes are not known.
    Any(&'a [Room]),
}

/// Why a container's resources can never be changed in place in pods of this shape; `None` when they may be.
pub(in crate::kubernetes) fn out_of_reach(shape: &Shape, container: &str) -> Option<String> {
    match shape.part(container) {
        None => {
            let known: Vec<&str> = shape.parts.iter().map(|part| &*part.name).collect();
            Some(format!("it has no container {container:?}, only {}", known.join(", ")))
        }
        Some(Part { role: Role::Init, .. }) => {
            Some(format!("{container} is an init container, whose resources cannot be changed in place"))
        }
        Some(_) => None,
    }
}

/// Plans the step. What is planned for containers that are out of reach here is meant for pods of another template.
pub(in crate::kubernetes) fn step(shape: &Shape, planned: &Planned, nodes: Nodes<'_>) -> Step {
    match changes(shape, planned) {
        Err(reason) => Step::Refused(reason),
        Ok(changes) if changes.is_empty() => Step::Nothing,
        Ok(changes) => match check_whole(shape, &changes, nodes) {
            Some(reason) => Step::Refused(reason),
            None => Step::Patch(changes),
        },
    }
}

fn changes(shape: &Shape, planned: &Planned) -> Result<Vec<Change>, String> {
    let mut changes = Vec::new();
    for (name, wanted) in planned {
        let part = shape.part(name).filter(|part| part.role != Role::Init);
        let Some(part) = part else { continue };
        wanted.check()?;
        // As the API server fills them in.
        let wanted = Resources {
            cpu_request: wanted.cpu_request.or(wanted.cpu_limit),
            memory_request: wanted.memory_request.or(wanted.memory_limit),
            ..*wanted
        };
        if wanted != part.resources {
            check_part(part, &wanted)?;
            changes.push(Change { container: part.name.clone(), role: part.role, resources: wanted });
        }
    }
    Ok(changes)
}

fn check_part(part: &Part, wanted: &Resources) -> Result<(), String> {
    let (name, now) = (&part.name, &part.resources);
    for (what, before, after) in [
        ("CPU request", now.cpu_request, wanted.cpu_request),
        ("CPU limit", now.cpu_limit, wanted.cpu_limit),
        ("memory request", now.memory_request, wanted.memory_request),
        ("memory limit", now.memory_limit, wanted.memory_limit),
    ] {
        if let (Some(before), None) = (before, after) {
            return Err(format!("the {what} of {name}, {before}, cannot be taken away in place; {OTHERWISE}"));
        }
    }
    let cpu = (now.cpu_request, now.cpu_limit) != (wanted.cpu_request, wanted.cpu_limit);
    let memory = (now.memory_request, now.memory_limit) != (wanted.memory_request, wanted.memory_limit);
    for (what, changes, restarts) in [("CPU", cpu, part.cpu_restarts), ("memory", memory, part.memory_restarts)] {
        if changes && restarts {
            return Err(format!(
                "{name} has to restart to get other {what} (resizePolicy RestartContainer); {OTHERWISE}"
            ));
        }
    }
    Ok(())
}

fn check_whole(shape: &Shape, changes: &[Change], nodes: Nodes<'_>) -> Option<String> {
    let mut after = shape.clone();
    for part in &mut after.parts {
        if let Some(change) = changes.iter().find(|change| change.container == part.name) {
            part.resources = change.resources;
        }
    }
    let (before_class, after_class) = (qos_class(shape), qos_class(&after));
    if before_class != after_class {
        return Some(format!("its QoS class would change from {before_class} to {after_class}; {OTHERWISE}"));
    }
    let (now, wanted) = (requests(shape), requests(&after));
    let grows = wanted.cpu > now.cpu || wanted.memory > now.memory;
    let fits = |room: &Room| room.cpu >= wanted.cpu && room.memory >= wanted.memory;
    let Room { cpu, memory } = wanted;
    let rooms = match nodes {
        Nodes::Own(room) if !grows || fits(&room) => return None,
        Nodes::Own(Room { cpu: cpu_most, memory: memory_most }) => {
            return Some(format!(
                "it would request cpu {cpu} and memory {memory}, and the node it is on has cpu {cpu_most} and memory \
                 {memory_most} in all; {OTHERWISE}"
            ));
        }
        Nodes::Any(rooms) => rooms,
    };
    if !grows || rooms.is_empty() || rooms.iter().any(fits) {
        return None;
    }
    let most = Room {
        cpu: rooms.iter().map(|room| room.cpu).max().unwrap_or_default(),
        memory: rooms.iter().map(|room| room.memory).max().unwrap_or_default(),
    };
    let Room { cpu: cpu_most, memory: memory_most } = most;
    Some(format!(
        "no node is large enough for a pod that requests cpu {cpu} and memory {memory}: the most a node has is cpu {cpu_most} and \
         memory {memory_most}"
    ))
}

/// What the scheduler sets aside: containers that run side by side together, or the largest init container.
pub(in crate::kubernetes) fn requests(shape: &Shape) -> Room {
    let sum = |amount: fn(&Resources) -> Option<Quantity>| {
        let of = |part: &Part| amount(&part.resources).unwrap_or_default().millis();
        let side_by_side: i64 =
            shape.parts.iter().filter(|part| part.role != Role::Init).map(of).fold(0, i64::saturating_add);
        let initial = shape.parts.iter().filter(|part| part.role == Role::Init).map(of).max().unwrap_or(0);
        let whole = shape.whole.as_ref().and_then(amount).map(Quantity::millis);
        Quantity::from_millis(whole.unwrap_or(side_by_side.max(initial)))
    };
    Room { cpu: sum(|resources| resources.cpu_request), memory: sum(|resources| resources.memory_request) }
}

/// Kubernetes' QoS class: Guaranteed if every container has equal requests and limits of CPU and memory, BestEffort if none has
/// any, else Burstable.
fn qos_class(shape: &Shape) -> &'static str {
    let whole: Vec<&Resources> = shape.whole.iter().collect();
    let parts: Vec<&Resources> = shape.parts.iter().map(|part| &part.resources).collect();
    let counted = if whole.is_empty() { parts } else { whole };
    let set = |amount: Option<Quantity>| amount.is_some_and(|amount| amount.millis() > 0);
    let any = |r: &&Resources| [r.cpu_request, r.cpu_limit, r.memory_request, r.memory_limit].into_iter().any(set);
    let full = |r: &&Resources| {
        set(r.cpu_limit) && set(r.memory_limit) && r.cpu_request == r.cpu_limit && r.memory_request == r.memory_limit
    };
    if !counted.iter().any(any) {
        "BestEffort"
    } else if counted.iter().all(full) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests;
