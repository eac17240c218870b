//! Replicas' usage under cAdvisor's names and the workloads' state under kube-state-metrics' names, as Prometheus text.
//! Usage is read when asked for, so a scrape sees the value of its own moment.

use crate::local::cgroup::Usage;
use crate::local::reconciler::Endpoint;
use crate::local::snapshot::{Pod, Snapshot};
use crate::state_metrics::{self, Page};

/// Renders everything.
pub(super) fn text(snapshot: &Snapshot, endpoints: &[Endpoint]) -> String {
    let mut page = Page::default();
    let used: Vec<(String, &Pod, Usage)> =
        snapshot.pods.iter().filter_map(|pod| Some((pod_labels(pod), pod, pod.usage()?))).collect();
    containers(&mut page, &used);
    pressure(&mut page, &used);
    page.append(&state_metrics::render(&snapshot.workloads));
    proxies(&mut page, endpoints);
    page.text()
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

/// Under the names of kubelets (KEP-4205).
fn pressure(page: &mut Page, used: &[(String, &Pod, Usage)]) {
    type Waited = fn(&crate::local::cgroup::Pressure) -> f64;
    let counters: [(&str, &str, Waited); 2] = [
        ("container_pressure_cpu_waiting_seconds_total", "Time in which some task waited for CPU.", |p| p.cpu_seconds),
        ("container_pressure_memory_waiting_seconds_total", "Time in which some task waited for memory.", |p| {
            p.memory_seconds
        }),
    ];
    for (name, help, counter) in counters {
        page.family(name, "counter", help);
        for (labels, _, usage) in used {
            if let Some(pressure) = &usage.pressure {
                page.sample(name, labels, format_args!("{:.6}", counter(pressure)));
            }
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
            page.sample(name, format_args!(r#"service="{service}",port="{port}",code="{code}""#), count);
        }
    }
    let name = "plimsoll_proxy_repeated_requests_total";
    page.family(name, "counter", "Requests sent to a second replica because the first broke off before it answered.");
    for endpoint in endpoints {
        let (service, port) = (&endpoint.route.service, port_name(endpoint));
        page.sample(name, format_args!(r#"service="{service}",port="{port}""#), endpoint.route.repeated());
    }
}

fn port_name(endpoint: &Endpoint) -> String {
    let port = &endpoint.service.ports[endpoint.port];
    port.name.clone().unwrap_or_else(|| port.port.to_string())
}
