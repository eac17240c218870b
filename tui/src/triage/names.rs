//! What services there are and what each is called: metrics, workloads and spans each know some of them, and not all know namespaces.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::graph::{Node, NodeKind};

use crate::picture::{Picture, ServiceKey};

/// Every service and workload, by name, with the namespaces that have one of that name.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, BTreeSet<ServiceKey>>);

impl Names {
    /// All that a picture knows of.
    pub fn of(picture: &Picture) -> Self {
        let mut names = Self::default();
        if let Some(metrics) = &picture.metrics.data {
            metrics.services.keys().for_each(|key| names.add(key.clone()));
        }
        if let Some(workloads) = &picture.workloads.data {
            workloads.iter().for_each(|workload| names.add(ServiceKey::from(&workload.workload)));
        }
        if let Some(graph) = &picture.graph.data {
            let serves = |node: &&Node| node.kind == NodeKind::Service && node.red.rate > 0.0;
            // A node is one of those that are known by its name, if any is.
            let unknown: Vec<&Node> =
                graph.nodes.iter().filter(serves).filter(|node| !names.0.contains_key(&node.service)).collect();
            unknown.into_iter().for_each(|node| names.add(ServiceKey::new("", &node.service)));
        }
        for keys in names.0.values_mut() {
            // What is known without a namespace is the one that there is; of several it may be any.
            let named = keys.iter().filter(|key| !key.namespace.is_empty()).count();
            keys.retain(|key| !key.namespace.is_empty() || named != 1);
        }
        names
    }

    fn add(&mut self, key: ServiceKey) {
        self.0.entry(key.name.clone()).or_default().insert(key);
    }

    /// All, by name and then by namespace.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.0.values().flatten()
    }

    /// Whether no other namespace has a service of this name.
    pub fn is_sole(&self, key: &ServiceKey) -> bool {
        self.0.get(&key.name).is_none_or(|keys| keys.len() == 1)
    }

    /// What a service is called on screen; no two are called the same.
    pub fn label(&self, key: &ServiceKey) -> String {
        if self.is_sole(key) { key.name.clone() } else { key.to_string() }
    }

    /// What the service of a name is called that somebody in `namespace` means by it.
    pub fn near(&self, name: &str, namespace: &str) -> String {
        let Some(keys) = self.0.get(name) else { return name.to_owned() };
        let near = keys.iter().find(|key| key.namespace == namespace);
        near.or_else(|| keys.first().filter(|_| keys.len() == 1)).map_or_else(|| name.to_owned(), |key| self.label(key))
    }

    /// What a map knows of a service: under its key, or without a namespace when it is the only one of its name.
    pub fn get<'a, V>(&self, map: &'a BTreeMap<ServiceKey, V>, key: &ServiceKey) -> Option<&'a V> {
        let bare = || self.is_sole(key).then(|| map.get(&ServiceKey::new("", &key.name))).flatten();
        map.get(key).or_else(bare)
    }
}
