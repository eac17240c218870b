//! The state of workloads as Prometheus text, under the names of kube-state-metrics: one renderer for every cluster, so that one
//! query works on all of them. Knows nothing about usage: that is the kubelet's, or the local runtime's own.

use std::fmt::Write;

use protocol::quantity::Quantity;

use crate::{Replica, ReplicaState, Resources, Workload, WorkloadKind};

/// Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders requests and limits, restarts, readiness, and numbers of replicas. Containers have the labels `namespace`, `pod`,
/// `container` and the workload's kind in lower case (`deployment`, `statefulset`); restarts of a replica with several
/// containers are told under the first.
pub fn render(workloads: &[Workload]) -> String {
    let mut page = Page::default();
    resources(&mut page, workloads);
    states(&mut page, workloads);
    counts(&mut page, workloads);
    page.text()
}

/// A page of Prometheus text that is being written.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Begins a metric.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample to it.
    pub fn sample(&mut self, name: &str, labels: impl std::fmt::Display, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }

    /// Adds what was rendered elsewhere.
    pub fn append(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// What was written.
    pub fn text(self) -> String {
        self.0
    }
}

fn kind_label(workload: &Workload) -> &'static str {
    match workload.reference.kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "statefulset",
    }
}

fn labels(workload: &Workload, replica: &Replica, container: &str) -> String {
    let (reference, kind) = (&workload.reference, kind_label(workload));
    let (namespace, name, pod) = (&reference.namespace, &reference.name, &replica.name);
    format!(r#"namespace="{namespace}",pod="{pod}",container="{container}",{kind}="{name}""#)
}

fn replicas(workloads: &[Workload]) -> impl Iterator<Item = (&Workload, &Replica)> {
    workloads.iter().flat_map(|workload| workload.replicas.iter().map(move |replica| (workload, replica)))
}

fn resources(page: &mut Page, workloads: &[Workload]) {
    type Pair = fn(&Resources) -> [Option<Quantity>; 2];
    let families: [(&str, &str, Pair); 2] = [
        ("kube_pod_container_resource_requests", "Requested.", |r| [r.cpu_request, r.memory_request]),
        ("kube_pod_container_resource_limits", "Not to be exceeded.", |r| [r.cpu_limit, r.memory_limit]),
    ];
    for (name, help, pair) in families {
        page.family(name, "gauge", help);
        for (workload, replica) in replicas(workloads) {
            for container in &replica.containers {
                let labels = labels(workload, replica, &container.name);
                let units = [("cpu", "core"), ("memory", "byte")];
                for ((resource, unit), value) in units.iter().zip(pair(&container.resources)) {
                    if let Some(value) = value {
                        let labels = format_args!(r#"{labels},resource="{resource}",unit="{unit}""#);
                        page.sample(name, labels, value.as_f64());
                    }
                }
            }
        }
    }
}

fn states(page: &mut Page, workloads: &[Workload]) {
    let first = |replica: &Replica| replica.containers.first().map(|c| c.name.clone()).unwrap_or_default();
    let name = "kube_pod_container_status_restarts_total";
    page.family(name, "counter", "Starts after the first.");
    for (workload, replica) in replicas(workloads) {
        page.sample(name, labels(workload, replica, &first(replica)), replica.restarts);
    }
    let name = "kube_pod_container_status_ready";
    page.family(name, "gauge", "Whether traffic is sent to it.");
    for (workload, replica) in replicas(workloads) {
        page.sample(name, labels(workload, replica, &first(replica)), u8::from(replica.ready));
    }
    let name = "kube_pod_container_status_waiting_reason";
    page.family(name, "gauge", "Why it does not run.");
    for (workload, replica) in replicas(workloads).filter(|(_, r)| r.state == ReplicaState::CrashLoopBackOff) {
        let labels = labels(workload, replica, &first(replica));
        page.sample(name, format_args!(r#"{labels},reason="CrashLoopBackOff""#), 1);
    }
}

fn counts(page: &mut Page, workloads: &[Workload]) {
    type Count = fn(&Workload) -> usize;
    let asked: Count = |w| w.desired.0 as usize;
    let there: Count = |w| w.replicas.iter().filter(|replica| replica.state != ReplicaState::Terminating).count();
    let ready: Count = |w| w.ready().0 as usize;
    let families: [(WorkloadKind, &str, &str, Count); 6] = [
        (WorkloadKind::Deployment, "kube_deployment_spec_replicas", "Replicas asked for.", asked),
        (WorkloadKind::Deployment, "kube_deployment_status_replicas", "Replicas that exist.", there),
        (WorkloadKind::Deployment, "kube_deployment_status_replicas_ready", "Replicas that receive traffic.", ready),
        (WorkloadKind::StatefulSet, "kube_statefulset_replicas", "Replicas asked for.", asked),
        (WorkloadKind::StatefulSet, "kube_statefulset_status_replicas", "Replicas that exist.", there),
        (WorkloadKind::StatefulSet, "kube_statefulset_status_replicas_ready", "Replicas that receive traffic.", ready),
    ];
    for (kind, name, help, count) in families {
        let mut of_kind = workloads.iter().filter(|workload| workload.reference.kind == kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        page.family(name, "gauge", help);
        for workload in of_kind {
            let (reference, kind) = (&workload.reference, kind_label(workload));
            let labels = format_args!(r#"namespace="{}",{kind}="{}""#, reference.namespace, reference.name);
            page.sample(name, labels, count(workload));
        }
    }
}

#[cfg(test)]
mod tests;
