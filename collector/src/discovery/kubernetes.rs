//! Targets from the API server of a Kubernetes cluster: pods, nodes, services and endpoint slices with the meta labels that
//! Prometheus gives them. With crates/cluster, the only home of kube's types; they do not leave this folder. Scrapes nothing.
//! Start at `follow`: what is watched is in `watches`, what is kept of an object in `record`, what becomes a group in `groups`.

mod connect;
mod followed;
mod groups;
mod record;
mod scope;
mod texts;
mod trouble;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use self::followed::Followed;
pub use self::followed::WatchCounts;
use self::groups::{Groups, Records, Snapshot};
use self::scope::{Kind, Place, Scope};
pub use self::watches::Watches;
use super::watch::Listed;
use crate::config::kubernetes::{KubernetesDiscovery, Role, Selector};

/// How long changes are gathered before they are passed on: a rollout changes many pods at once, and a new pod should be
/// scraped within a second.
const GATHERED: Duration = Duration::from_millis(500);

/// The objects that one source needs.
struct Needed {
    primary: Vec<Arc<Followed>>,
    pods: Vec<Arc<Followed>>,
    services: Vec<Arc<Followed>>,
    node: Option<Arc<Followed>>,
    namespace: Option<Arc<Followed>>,
}

/// Reports a source's groups whenever they change, until nobody listens.
pub(super) async fn follow(
    source: u64,
    config: &KubernetesDiscovery,
    watches: &Arc<Watches>,
    reports: &mpsc::Sender<Listed>,
) {
    let needed = Needed::of(config, watches).await;
    let mut groups = Groups::default();
    let mut last = None;
    loop {
        let seen: Vec<u64> = needed.all().map(|followed| followed.version()).collect();
        if let Some(snapshot) = needed.snapshot() {
            let made = groups.make(&snapshot);
            let is_same = |last: &Vec<Arc<super::Group>>| {
                last.len() == made.len() && last.iter().zip(&made).all(|(a, b)| Arc::ptr_eq(a, b))
            };
            if !last.as_ref().is_some_and(is_same) {
                last = Some(made.clone());
                if reports.send(Listed { source, groups: made }).await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
        needed.changed(&seen).await;
        sleep(GATHERED).await;
    }
}

impl Needed {
    async fn of(config: &KubernetesDiscovery, watches: &Arc<Watches>) -> Self {
        let selector = |role: Role| config.selectors.get(&role).cloned().unwrap_or_default();
        let everywhere = |kind: Kind, selector: Selector| Scope {
            server: config.server.clone(),
            kind,
            place: Place::Cluster,
            selector,
        };
        let in_places = |role: Role| -> Vec<Scope> {
            places(config)
                .into_iter()
                .map(|place| Scope {
                    server: config.server.clone(),
                    kind: role.into(),
                    place,
                    selector: selector(role),
                })
                .collect()
        };
        let is_slice = config.role == Role::EndpointSlice;
        let attach_node = config.attach_node && matches!(config.role, Role::Pod | Role::EndpointSlice);
        let attach_namespace = config.attach_namespace && config.role != Role::Node;
        let primary = match config.role {
            Role::Node => vec![everywhere(Kind::Node, selector(Role::Node))],
            role => in_places(role),
        };
        let none = Vec::new;
        let node = attach_node.then(|| everywhere(Kind::Node, selector(Role::Node)));
        let namespace = attach_namespace.then(|| everywhere(Kind::Namespace, Selector::default()));
        Self {
            primary: watches.follow_all(primary).await,
            pods: watches.follow_all(if is_slice { in_places(Role::Pod) } else { none() }).await,
            services: watches.follow_all(if is_slice { in_places(Role::Service) } else { none() }).await,
            node: watches.follow_all(node.into_iter().collect()).await.pop(),
            namespace: watches.follow_all(namespace.into_iter().collect()).await.pop(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Followed>> {
        let attached = self.node.iter().chain(&self.namespace);
        self.primary.iter().chain(&self.pods).chain(&self.services).chain(attached)
    }

    /// What is known now; nothing as long as something has neither answered nor failed to.
    fn snapshot(&self) -> Option<Snapshot> {
        let known = self.primary.iter().any(|followed| followed.records().is_some());
        if !known || self.all().any(|followed| followed.is_starting()) {
            return None;
        }
        let of = |all: &[Arc<Followed>]| -> Vec<Arc<Records>> {
            all.iter().filter_map(|followed| followed.records()).collect()
        };
        Some(Snapshot {
            primary: of(&self.primary),
            pods: of(&self.pods),
            services: of(&self.services),
            nodes: self.node.as_ref().and_then(|followed| followed.records()),
            namespaces: self.namespace.as_ref().and_then(|followed| followed.records()),
        })
    }

    /// Waits until one of them is no longer as it was seen.
    async fn changed(&self, seen: &[u64]) {
        let waiting = self.all().zip(seen).map(|(followed, seen)| Box::pin(followed.later_than(*seen)));
        futures::future::select_all(waiting).await;
    }
}

/// Where a source looks.
fn places(config: &KubernetesDiscovery) -> Vec<Place> {
    let mut places: Vec<Place> = config.namespaces.iter().cloned().map(Place::Namespace).collect();
    if config.own_namespace {
        places.push(Place::OwnNamespace);
    }
    if places.is_empty() {
        places.push(Place::Cluster);
    }
    places.sort();
    places.dedup();
    places
}

#[cfg(test)]
mod tests;
