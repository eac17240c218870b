//! The PromQL behind vertical scaling: what containers were not let have, under the names of cAdvisor and kube-state-metrics (pressure
//! as kubelets tell it, KEP-4205), and what they used in the days before. Whatever a server has not is left out.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cluster::{WorkloadKind, WorkloadRef};
use protocol::prometheus::{InstantSeries, RangeSeries};

use crate::planner::vertical::slots::{SLOT_MS, SLOTS, slot_of};

/// What one container was not let have; `None` where nobody counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measures {
    /// The share of its periods in which its CPU limit held it back.
    pub throttled: Option<f64>,
    /// The share of the time in which some task waited for CPU.
    pub cpu_pressure: Option<f64>,
    /// The same of memory.
    pub memory_pressure: Option<f64>,
    /// Processes of it that the kernel killed for want of memory.
    pub kills: Option<f64>,
    /// How often it was started again, where the last time was for want of memory.
    pub killed_restarts: Option<f64>,
}

/// What containers were not let have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MeasuresOfContainers {
    each: HashMap<String, Measures>,
}

impl MeasuresOfContainers {
    /// That of one container; nothing where nothing is known.
    pub fn of(&self, namespace: &str, pod: &str, container: &str) -> Measures {
        self.each.get(&key(namespace, pod, container)).copied().unwrap_or_default()
    }

    /// Sets that of one container.
    pub fn insert(&mut self, namespace: &str, pod: &str, container: &str, measures: Measures) {
        self.each.insert(key(namespace, pod, container), measures);
    }
}

fn key(namespace: &str, pod: &str, container: &str) -> String {
    format!("{namespace}/{pod}/{container}")
}

/// One question for all of them. `only` are the matchers of the containers that are meant.
pub fn question(only: &str, window: Duration) -> String {
    let window = protocol::duration::Display(window);
    let by = "by (namespace, pod, container)";
    let rate = |name: &str| format!("sum {by} (rate({name}{{{only}}}[{window}]))");
    let throttled = rate("container_cpu_cfs_throttled_periods_total");
    let periods = rate("container_cpu_cfs_periods_total");
    let restarts = format!("max {by} (kube_pod_container_status_restarts_total{{{only}}})");
    let reason = format!(r#"kube_pod_container_status_last_terminated_reason{{{only}, reason="OOMKilled"}} == 1"#);
    let measures = [
        ("throttled", format!("{throttled} / {periods}")),
        ("cpuPressure", rate("container_pressure_cpu_waiting_seconds_total")),
        ("memoryPressure", rate("container_pressure_memory_waiting_seconds_total")),
        ("kills", format!("sum {by} (container_oom_events_total{{{only}}})")),
        ("killedRestarts", format!("{restarts} and on (namespace, pod, container) ({reason})")),
    ];
    let named = measures.map(|(name, asked)| format!(r#"label_replace({asked}, "measure", "{name}", "", "")"#));
    named.join(" or ")
}

/// What the answer says. What is no amount is not known.
pub fn measures(answer: &[InstantSeries]) -> MeasuresOfContainers {
    let mut known = MeasuresOfContainers::default();
    for series in answer {
        let label = |name: &str| series.metric.get(name).map_or("", String::as_str);
        let value = Some(series.value.value()).filter(|value| value.is_finite() && *value >= 0.0);
        let measures = known.each.entry(key(label("namespace"), label("pod"), label("container"))).or_default();
        match label("measure") {
            "throttled" => measures.throttled = value,
            "cpuPressure" => measures.cpu_pressure = value,
            "memoryPressure" => measures.memory_pressure = value,
            "kills" => measures.kills = value,
            "killedRestarts" => measures.killed_restarts = value,
            _ => {}
        }
    }
    known
}

/// What containers used in the days before, by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// Levels of CPU in cores and of memory in bytes, by the number of their slot, oldest first.
    pub each: BTreeMap<String, [Vec<(i64, f64)>; 2]>,
}

/// Start, end and step in seconds, and the questions for CPU and memory: of the pods that the workload has and had, known by their
/// names.
pub fn past_questions(workload: &WorkloadRef, until_ms: i64) -> ((f64, f64, f64), [String; 2]) {
    let step = SLOT_MS as f64 / 1000.0;
    // A slot is known at its end, and the one that is under way is not.
    let end = slot_of(until_ms) as f64 * step;
    let range = (end - (SLOTS as f64 - 1.0) * step, end, step);
    let name = workload.name.replace('.', "\\\\.");
    let pods = match workload.kind {
        WorkloadKind::Deployment => format!("{name}-[a-z0-9]+-[a-z0-9]{{5}}"),
        WorkloadKind::StatefulSet => format!("{name}-[0-9]+"),
    };
    let only = format!(r#"namespace="{}", pod=~"{pods}", container!="", container!="POD""#, workload.namespace);
    let cpu = format!("rate(container_cpu_usage_seconds_total{{{only}}}[5m])");
    let memory = format!("container_memory_working_set_bytes{{{only}}}");
    let questions = [
        format!("quantile by (container) (0.9, max_over_time({cpu}[15m:5m]))"),
        format!("max by (container) (max_over_time({memory}[15m]))"),
    ];
    (range, questions)
}

/// What the answers say.
pub fn past(cpu: &[RangeSeries], memory: &[RangeSeries]) -> Past {
    let mut past = Past::default();
    for (place, answer) in [cpu, memory].into_iter().enumerate() {
        for series in answer {
            let container = series.metric.get("container").cloned().unwrap_or_default();
            let slot = |seconds: f64| slot_of((seconds * 1000.0) as i64) - 1;
            let known = series.values.iter().filter(|point| point.value().is_finite());
            let levels = known.map(|point| (slot(point.seconds()), point.value()));
            past.each.entry(container).or_default()[place] = levels.collect();
        }
    }
    past
}

#[cfg(test)]
mod tests {
    use protocol::prometheus::Point;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> protocol::prometheus::LabelMap {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_question_is_promql() {
        let only = r#"namespace=~"shop", container!="", container!="POD""#;
        let order =
            WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: "o.rder".to_owned() };
        let (range, past) = past_questions(&order, 1_700_000_000_000);
        for asked in [question(only, Duration::from_secs(60))].iter().chain(&past) {
            let selectors = slo::promql::selectors(asked).unwrap_or_else(|reason| panic!("{asked}: {reason}"));
            assert!(selectors.iter().all(|selector| selector.contains("namespace")), "{selectors:?}");
        }
        assert_eq!((range.1 - range.0) / range.2, SLOTS as f64 - 1.0);
        assert!(range.1 <= 1_700_000_000.0 && range.1 > 1_700_000_000.0 - 900.0);
    }

    #[test]
    fn what_is_answered_is_told_apart_and_the_rest_is_not_known() {
        let of = |measure: &str, value: f64| InstantSeries {
            metric: labels(&[("namespace", "shop"), ("pod", "order-1"), ("container", "order"), ("measure", measure)]),
            value: Point::new(0.0, value),
            histogram: None,
        };
        let known = measures(&[of("throttled", 0.3), of("kills", 2.0), of("cpuPressure", f64::NAN)]);
        let order = known.of("shop", "order-1", "order");
        assert_eq!(order, Measures { throttled: Some(0.3), kills: Some(2.0), ..Measures::default() });
        assert_eq!(known.of("shop", "order-2", "order"), Measures::default());
    }

    #[test]
    fn the_past_is_by_slot_and_container() {
        let series = |values: Vec<Point>| RangeSeries {
            metric: labels(&[("container", "order")]),
            values,
            histograms: Vec::new(),
        };
        let end = |slot: i64| (slot + 1) as f64 * 900.0;
        let cpu = series(vec![Point::new(end(7), 0.1), Point::new(end(8), f64::NAN), Point::new(end(9), 0.2)]);
        let past = past(&[cpu], &[series(vec![Point::new(end(9), 1e8)])]);
        assert_eq!(past.each["order"], [vec![(7, 0.1), (9, 0.2)], vec![(9, 1e8)]]);
    }
}
