//! Prometheus' HTTP service discovery: one group a replica and port, labelled as its Kubernetes discovery labels pods.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use crate::ReplicaState;
use crate::local::manifest::model::Port;
use crate::local::snapshot::{Pod, Snapshot};

/// A target with its labels.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub targets: [String; 1],
    pub labels: BTreeMap<String, String>,
}

/// All replicas with a port of this name. One that is ending is no target any more, so that its series end at once;
/// one that crashed stays, so that it is seen to be down.
pub(super) fn groups(snapshot: &Snapshot, port_name: &str) -> Vec<Group> {
    let living = snapshot.pods.iter().filter(|pod| pod.state != ReplicaState::Terminating);
    living
        .filter_map(|pod| {
            let port = pod.ports.iter().find(|port| port.name.as_deref() == Some(port_name))?;
            let address = SocketAddr::new(pod.ip, port.number).to_string();
            Some(Group { labels: labels(pod, port, &address), targets: [address] })
        })
        .collect()
}

fn labels(pod: &Pod, port: &Port, address: &str) -> BTreeMap<String, String> {
    let phase = if pod.state == ReplicaState::Pending { "Pending" } else { "Running" };
    let fixed = [
        ("namespace", pod.namespace.clone()),
        ("pod_name", pod.name.clone()),
        ("pod_ip", pod.ip.to_string()),
        ("pod_ready", pod.ready.to_string()),
        ("pod_phase", phase.to_owned()),
        ("pod_container_name", pod.container.clone()),
        ("pod_container_port_name", port.name.clone().unwrap_or_default()),
        ("pod_container_port_number", port.number.to_string()),
        ("pod_container_port_protocol", "TCP".to_owned()),
        ("pod_host_ip", "127.0.0.1".to_owned()),
    ];
    let mut labels: BTreeMap<String, String> =
        fixed.into_iter().map(|(name, value)| (format!("__meta_kubernetes_{name}"), value)).collect();
    labels.insert("__address__".to_owned(), address.to_owned());
    for (kind, map) in [("label", &pod.labels), ("annotation", &pod.annotations)] {
        for (key, value) in map.iter() {
            let key = label_name(key);
            labels.insert(format!("__meta_kubernetes_pod_{kind}_{key}"), value.clone());
            labels.insert(format!("__meta_kubernetes_pod_{kind}present_{key}"), "true".to_owned());
        }
    }
    labels
}

/// What Prometheus makes of a Kubernetes label's name.
fn label_name(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
