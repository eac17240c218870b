//! Claims about what series say of workloads.

use super::*;
use crate::series::{Sample, SeriesSamples, stale_nan};

struct Shelf(Vec<SeriesSamples>);

impl Queryable for Shelf {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        let fits = |series: &&SeriesSamples| matchers.iter().all(|matcher| matcher.fits(&series.labels));
        let mut found: Vec<SeriesSamples> = self.0.iter().filter(fits).cloned().collect();
        for series in &mut found {
            series.samples.retain(|sample| (start_ms..=end_ms).contains(&sample.timestamp_ms));
            meter.take(series.samples.len())?;
        }
        Ok(found)
    }

    fn series(&self, _: &[Matcher], _: i64, _: i64, _: &dyn Meter) -> Result<Vec<Labels>, SelectError> {
        Ok(Vec::new())
    }
}

/// What it is, the labels and the value of a series, and what they say of whom.
type Case = (&'static str, &'static [(&'static str, &'static str)], f64, Option<(&'static str, What)>);

const POD: &str = "payment-7c9d8b6f5d-x2vlq";

const NOW_MS: i64 = 1_700_000_000_000;

fn series(labels: &[(&str, &str)], value: f64) -> SeriesSamples {
    let sample = Sample { timestamp_ms: NOW_MS - 1_000, value };
    SeriesSamples::floats(Labels::new(labels.iter().copied()), vec![sample])
}

#[test]
fn series_of_the_local_runtime_and_of_kube_state_metrics_say_the_same() {
    let cases: Vec<Case> = vec![
        (
            "replicas",
            &[("__name__", "kube_deployment_spec_replicas"), ("deployment", "order")],
            3.0,
            Some(("order", What::Replicas("3".into()))),
        ),
        (
            "a set's replicas",
            &[("__name__", "kube_statefulset_replicas"), ("statefulset", "db")],
            2.0,
            Some(("db", What::Replicas("2".into()))),
        ),
        (
            "a limit",
            &[
                ("__name__", "kube_pod_container_resource_limits"),
                ("deployment", "payment"),
                ("container", "payment"),
                ("resource", "cpu"),
            ],
            0.25,
            Some(("payment", What::Resource("cpu limit".into(), "250m".into()))),
        ),
        (
            "a sidecar's request, of a pod that says nothing of its workload",
            &[
                ("__name__", "kube_pod_container_resource_requests"),
                ("pod", POD),
                ("container", "proxy"),
                ("resource", "memory"),
            ],
            67_108_864.0,
            Some(("payment", What::Resource("memory request of proxy".into(), "64Mi".into()))),
        ),
        (
            "another resource",
            &[("__name__", "kube_pod_container_resource_limits"), ("pod", POD), ("resource", "nvidia_com_gpu")],
            1.0,
            None,
        ),
        (
            "an image",
            &[("__name__", "kube_pod_container_info"), ("pod", POD), ("container", "payment"), ("image", "shop:2")],
            1.0,
            Some(("payment", What::Image("payment".into(), "shop:2".into()))),
        ),
        (
            "restarts",
            &[("__name__", "kube_pod_container_status_restarts_total"), ("pod", POD), ("container", "payment")],
            2.0,
            Some(("payment", What::Restarts(POD.into(), 2))),
        ),
        (
            "a breaker",
            &[("__name__", "circuit_breaker_state"), ("service", "order"), ("peer", "payment")],
            2.0,
            Some(("order", What::Breaker("payment".into(), BreakerState::Open))),
        ),
        ("a breaker in no known state", &[("__name__", "circuit_breaker_state"), ("peer", "payment")], 7.0, None),
        ("gone", &[("__name__", "kube_deployment_spec_replicas"), ("deployment", "order")], stale_nan(), None),
    ];
    for (name, labels, value, expected) in cases {
        let found = read(&Shelf(vec![series(labels, value)]), NOW_MS).unwrap();
        let expected: Vec<Fact> = expected
            .into_iter()
            .map(|(service, what)| Fact { service: service.into(), what, at_ms: NOW_MS - 1_000 })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_pods_name_tells_its_workload() {
    let cases = [
        ("payment-7c9d8b6f5d-x2vlq", "payment"),
        ("order-history-68d9f7b84c-9zk4q", "order-history"),
        ("db-0", "db"),
        ("node-agent-x2vlq", "node-agent"),
        ("payment", "payment"),
        ("order-history", "order-history"),
    ];
    for (pod, expected) in cases {
        assert_eq!(owner(pod), expected, "{pod}");
    }
}

#[test]
fn more_series_than_can_be_read_in_time_are_refused() {
    let one = series(&[("__name__", "kube_deployment_spec_replicas"), ("deployment", "order")], 3.0);
    let shelf = Shelf(vec![one; SERIES_MAX + 1]);
    assert_eq!(read(&shelf, NOW_MS), Err(SelectError::Refused));
}
