//! Replicas' usage under cAdvisor's names and the workloads' state under kube-state-metrics' names, as Prometheus text.
//! Usage is read when asked for, so a scrape sees the value of its own moment.

use std::fmt::Write;

use crate::local::cgroup::Usage;
use crate::local::reconciler::Endpoint;
use crate::local::snapshot::{Pod, Snapshot};
use crate::{ReplicaState, Resources, Workload};

/// Prometheus' text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders everything.
pub(super) fn text(snapshot: &Snapshot, endpoints: &[Endpoint]) -> String {
    let mut page = Page::default();
    let used: Vec<(String, &Pod, Usage)> =
        snapshot.pods.iter().filter_map(|pod| Some((pod_labels(pod), pod, pod.usage()?))).collect();
    containers(&mut page, &used);
    resources(&mut page, snapshot);
    states(&mut page, snapshot);
    deployments(&mut page, &snapshot.workloads);
    proxies(&mut page, endpoints);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }
}

fn pod_labels(pod: &Pod) -> String {
    let Pod { namespace, name, container, deployment, .. } = pod;
    format!(r#"namespace="{namespace}",pod="{name}",container="{container}",deployment="{deployment}""#)
}

fn containers(page: &mut Page, used: &[(String, &Pod, Usage)]) {
    let name = "container_cpu_usage_seconds_total";
    page.family(name, "counter", "CPU time used.");
    for (labels, _, usage) in used {
        page.sample(name, labels, format_args!("{:.6}", usage.cpu_seconds));
    }
    let name = "container_memory_working_set_bytes";
    page.family(name, "gauge", "Memory in use that cannot be dropped at once.");
    for (labels, _, usage) in used {
        page.sample(name, labels, usage.memory_bytes);
    }
    type Counter = fn(&crate::local::cgroup::Throttling) -> u64;
    let counters: [(&str, &str, Counter); 3] = [
        ("container_cpu_cfs_periods_total", "Periods in which the CPU limit was looked at.", |t| t.periods),
        ("container_cpu_cfs_throttled_periods_total", "Periods in which the CPU limit held it back.", |t| t.throttled),
        ("container_oom_events_total", "Processes killed for want of memory.", |t| t.oom_kills),
    ];
    for (name, help, counter) in counters {
        page.family(name, "counter", help);
        for (labels, _, usage) in used {
            if let Some(throttling) = &usage.throttling {
                page.sample(name, labels, counter(throttling));
            }
        }
    }
}

fn resources(page: &mut Page, snapshot: &Snapshot) {
    type Pair = fn(&Resources) -> [Option<protocol::quantity::Quantity>; 2];
    let families: [(&str, &str, Pair); 2] = [
        ("kube_pod_container_resource_requests", "Requested.", |r| [r.cpu_request, r.memory_request]),
        ("kube_pod_container_resource_limits", "Not to be exceeded.", |r| [r.cpu_limit, r.memory_limit]),
    ];
    for (name, help, pair) in families {
        page.family(name, "gauge", help);
        for pod in &snapshot.pods {
            for ((resource, unit), value) in [("cpu", "core"), ("memory", "byte")].iter().zip(pair(&pod.resources)) {
                if let Some(value) = value {
                    let labels = format!(r#"{},resource="{resource}",unit="{unit}""#, pod_labels(pod));
                    page.sample(name, &labels, value.as_f64());
                }
            }
        }
    }
}

fn states(page: &mut Page, snapshot: &Snapshot) {
    let name = "kube_pod_container_status_restarts_total";
    page.family(name, "counter", "Starts after the first.");
    for pod in &snapshot.pods {
        page.sample(name, &pod_labels(pod), pod.restarts);
    }
    let name = "kube_pod_container_status_ready";
    page.family(name, "gauge", "Whether traffic is sent to it.");
    for pod in &snapshot.pods {
        page.sample(name, &pod_labels(pod), u8::from(pod.ready));
    }
    let name = "kube_pod_container_status_waiting_reason";
    page.family(name, "gauge", "Why it does not run.");
    for pod in snapshot.pods.iter().filter(|pod| pod.state == ReplicaState::CrashLoopBackOff) {
        page.sample(name, &format!(r#"{},reason="CrashLoopBackOff""#, pod_labels(pod)), 1);
    }
}

fn deployments(page: &mut Page, workloads: &[Workload]) {
    type Count = fn(&Workload) -> usize;
    let families: [(&str, &str, Count); 3] = [
        ("kube_deployment_spec_replicas", "Replicas asked for.", |w| w.desired.0 as usize),
        ("kube_deployment_status_replicas", "Replicas that exist.", |w| {
            w.replicas.iter().filter(|replica| replica.state != ReplicaState::Terminating).count()
        }),
        ("kube_deployment_status_replicas_ready", "Replicas that receive traffic.", |w| w.ready().0 as usize),
    ];
    for (name, help, count) in families {
        page.family(name, "gauge", help);
        for workload in workloads {
            let reference = &workload.reference;
            let labels = format!(r#"namespace="{}",deployment="{}""#, reference.namespace, reference.name);
            page.sample(name, &labels, count(workload));
        }
    }
}

fn proxies(page: &mut Page, endpoints: &[Endpoint]) {
    let name = "plimsoll_proxy_requests_total";
    page.family(name, "counter", "Requests answered through a Service.");
    for endpoint in endpoints {
        let port = port_name(endpoint);
        for (code, count) in endpoint.route.answered() {
            let service = &endpoint.route.service;
            page.sample(name, &format!(r#"service="{service}",port="{port}",code="{code}""#), count);
        }
    }
    let name = "plimsoll_proxy_repeated_requests_total";
    page.family(name, "counter", "Requests sent to a second replica because the first broke off before it answered.");
    for endpoint in endpoints {
        let (service, port) = (&endpoint.route.service, port_name(endpoint));
        page.sample(name, &format!(r#"service="{service}",port="{port}""#), endpoint.route.repeated());
    }
}

fn port_name(endpoint: &Endpoint) -> String {
    let port = &endpoint.service.ports[endpoint.port];
    port.name.clone().unwrap_or_else(|| port.port.to_string())
}
