//! From the records of one moment to target groups: what a pod, a slice or a service gets from its node, its namespace, its
//! service, its pods. Pure. A group whose records are the same as before is the same group, so that nothing behind it is done
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{ADDRESS, Group};
use super::record::{Detail, Record, Slice, SliceEndpoint, SlicePort, join_host_port};
use crate::series::Labels;

const CONTAINER: &str = "__meta_kubernetes_pod_container_name";
const CONTAINER_ID: &str = "__meta_kubernetes_pod_container_id";
const PORT_NUMBER: &str = "__meta_kubernetes_pod_container_port_number";

/// A namespace, empty for what has none, and a name.
pub(super) type Key = (String, String);

/// Records by key.
pub(super) type Records = BTreeMap<Key, Arc<Record>>;

/// What is known at one moment; `None` is not asked for, or not known yet.
#[derive(Default)]
pub(super) struct Snapshot {
    /// Objects of the role.
    pub primary: Vec<Arc<Records>>,
    pub pods: Vec<Arc<Records>>,
    pub services: Vec<Arc<Records>>,
    pub nodes: Option<Arc<Records>>,
    pub namespaces: Option<Arc<Records>>,
}

/// A group with the records that it was made of.
struct Made {
    from: Vec<Arc<Record>>,
    group: Arc<Group>,
}

/// Makes groups, and knows which it made last.
#[derive(Default)]
pub(super) struct Groups {
    made: BTreeMap<Key, Made>,
}

impl Groups {
    /// The groups of a moment.
    pub fn make(&mut self, snapshot: &Snapshot) -> Vec<Arc<Group>> {
        let mut made = BTreeMap::new();
        let mut groups = Vec::new();
        for (key, record) in snapshot.primary.iter().flat_map(|records| records.iter()) {
            let Some(parts) = Parts::of(record, snapshot) else { continue };
            if parts.is_alone() {
                if !record.group.targets.is_empty() {
                    groups.push(record.group.clone());
                }
                continue;
            }
            let from = parts.records();
            let known = self.made.remove(key).filter(|known| {
                known.from.len() == from.len() && known.from.iter().zip(&from).all(|(a, b)| Arc::ptr_eq(a, b))
            });
            let group = known.map_or_else(|| parts.group(), |known| known.group);
            if !group.targets.is_empty() {
                groups.push(group.clone());
            }
            made.insert(key.clone(), Made { from, group });
        }
        self.made = made;
        groups
    }
}

/// The pod and the node behind an endpoint.
type Behind<'a> = (Option<&'a Arc<Record>>, Option<&'a Arc<Record>>);

/// A record and all that its group is made with.
struct Parts<'a> {
    record: &'a Arc<Record>,
    service: Option<&'a Arc<Record>>,
    namespace: Option<&'a Arc<Record>>,
    /// Of a pod.
    node: Option<&'a Arc<Record>>,
    /// Of a slice, by endpoint.
    endpoints: Vec<Behind<'a>>,
}

impl<'a> Parts<'a> {
    fn of(record: &'a Arc<Record>, snapshot: &'a Snapshot) -> Option<Self> {
        let cluster_wide = |records: &'a Option<Arc<Records>>, name: &str| {
            records.as_ref().and_then(|records| records.get(&(String::new(), name.to_owned())))
        };
        let namespace = cluster_wide(&snapshot.namespaces, &record.namespace);
        let mut parts = Self { record, service: None, namespace, node: None, endpoints: Vec::new() };
        match &record.detail {
            Detail::Pod { node, .. } => {
                parts.node = cluster_wide(&snapshot.nodes, node);
                // A node that a selector left out takes its pods with it.
                if snapshot.nodes.is_some() && parts.node.is_none() {
                    return None;
                }
            }
            Detail::Slice(slice) => {
                let service = slice.service.as_ref().map(|name| (record.namespace.clone(), name.clone()));
                parts.service = service.and_then(|key| find(&snapshot.services, &key));
                let node = |endpoint: &SliceEndpoint| {
                    let target = endpoint.target.as_ref().filter(|target| target.kind == "Node");
                    let name = target.map(|target| &target.name).or(endpoint.node.as_ref());
                    name.and_then(|name| cluster_wide(&snapshot.nodes, name))
                };
                let pod = |endpoint: &SliceEndpoint| {
                    let target = endpoint.target.as_ref().filter(|target| target.kind == "Pod")?;
                    find(&snapshot.pods, &(target.namespace.clone(), target.name.clone()))
                };
                parts.endpoints = slice.endpoints.iter().map(|endpoint| (pod(endpoint), node(endpoint))).collect();
            }
            Detail::Service { .. } | Detail::Plain => {}
        }
        Some(parts)
    }

    /// Whether the record's own group is all there is to it.
    fn is_alone(&self) -> bool {
        self.namespace.is_none() && self.node.is_none() && !matches!(self.record.detail, Detail::Slice(_))
    }

    fn records(&self) -> Vec<Arc<Record>> {
        let single = [Some(self.record), self.service, self.namespace, self.node];
        let behind = self.endpoints.iter().flat_map(|(pod, node)| [*pod, *node]);
        single.into_iter().chain(behind).flatten().cloned().collect()
    }

    fn group(&self) -> Arc<Group> {
        let attached = [Some(self.record), self.service, self.node, self.namespace].into_iter().flatten();
        let labels = merged(attached.map(|record| &record.group.labels));
        let targets = match &self.record.detail {
            Detail::Slice(slice) => self.slice_targets(slice),
            _ => self.record.group.targets.clone(),
        };
        Arc::new(Group { labels, targets })
    }

    fn slice_targets(&self, slice: &Slice) -> Vec<Labels> {
        let only_family = self.service.and_then(|service| match &service.detail {
            Detail::Service { only_family } => only_family.as_ref(),
            _ => None,
        });
        // The second family of a service would list every backend twice.
        if only_family.is_some_and(|only| *only != slice.family) {
            return Vec::new();
        }
        let mut targets = Vec::new();
        let mut seen: Vec<&Arc<Record>> = Vec::new();
        for (endpoint, (pod, node)) in slice.endpoints.iter().zip(&self.endpoints) {
            for port in &slice.ports {
                for address in &endpoint.addresses {
                    targets.push(slice_target(address, endpoint, port, *pod, *node));
                }
            }
            if let Some(pod) = pod.filter(|pod| !seen.iter().any(|known| Arc::ptr_eq(known, pod))) {
                seen.push(pod);
            }
        }
        if slice.ports.is_empty() {
            return targets;
        }
        let covered: Vec<String> = slice.ports.iter().filter_map(|port| Some(port.number?.to_string())).collect();
        targets.extend(seen.into_iter().flat_map(|pod| other_ports(pod, &covered)));
        targets
    }
}

fn find<'a>(records: &'a [Arc<Records>], key: &Key) -> Option<&'a Arc<Record>> {
    records.iter().find_map(|records| records.get(key))
}

/// All labels; of equal names the last wins. No text is copied.
fn merged<'a>(all: impl Iterator<Item = &'a Labels>) -> Labels {
    Labels::new(all.flat_map(|labels| labels.pairs().iter().cloned()))
}

/// One backend at one port.
fn slice_target(
    address: &str,
    endpoint: &SliceEndpoint,
    port: &SlicePort,
    pod: Option<&Arc<Record>>,
    node: Option<&Arc<Record>>,
) -> Labels {
    let address = port.number.map_or_else(|| address.to_owned(), |number| join_host_port(address, number));
    let address = Labels::new([(ADDRESS, address)]);
    let container =
        pod.zip(port.number).map(|(pod, number)| container_at(pod, &number.to_string())).unwrap_or_default();
    let attached = node.into_iter().chain(pod).map(|record| &record.group.labels);
    merged([&endpoint.labels, &port.labels, &address].into_iter().chain(attached).chain([&container]))
}

/// The labels of the container that listens on a port; of several, of the last.
fn container_at(pod: &Record, number: &str) -> Labels {
    let mut found: Option<&Labels> = None;
    for target in pod.group.targets.iter().filter(|target| target.get(PORT_NUMBER) == Some(number)) {
        // Of two protocols at one port of one container, the first.
        if found.is_none_or(|known| known.get(CONTAINER) != target.get(CONTAINER)) {
            found = Some(target);
        }
    }
    found.map(container_labels).unwrap_or_default()
}

/// Ports of a pod that its service does not name.
fn other_ports(pod: &Record, covered: &[String]) -> Vec<Labels> {
    let is_other = |target: &&Labels| target.get(PORT_NUMBER).is_some_and(|n| !covered.iter().any(|known| known == n));
    let with_pod = |target: &Labels| {
        let address = Labels::new([(ADDRESS, target.get(ADDRESS).unwrap_or_default())]);
        merged([&container_labels(target), &pod.group.labels, &address].into_iter())
    };
    pod.group.targets.iter().filter(is_other).map(with_pod).collect()
}

/// What a slice's target shows of a container: all but its address and its id.
fn container_labels(target: &Labels) -> Labels {
    let shown = |name: &str| name != ADDRESS && name != CONTAINER_ID;
    Labels::new(target.pairs().iter().filter(|(name, _)| shown(name)).cloned())
}
