//! The unit tests of what is seen of containers: what is stale is not read, what was not read is a gap, and signals see the manifest.

use std::path::Path;
use std::time::Duration;

use cluster::{Replicas, Resources, Rollout, WorkloadKind, WorkloadRef};

use super::*;
use crate::observe::{Sizes, observe};
use crate::planner::Reading;
use crate::planner::observation::Startup;
use crate::policy::from_documents;
use crate::signal::{Measures, MeasuresOfContainers, Usage};

const NOW_MS: i64 = 1_700_000_000_000;

fn policy() -> Policy {
    let text = "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: order, namespace: shop}\n\
        spec: {target: {kind: Deployment, name: order}, replicas: {max: 8}, resources: {cpu: {min: 50m, max: 1}, \
        memory: {min: 64Mi, max: 1Gi}}}\n";
    from_documents(protocol::yaml::split(Path::new("p.yaml"), text)).unwrap()[0].clone()
}

fn sized(cpu: i64) -> Vec<Container> {
    let resources = Resources {
        cpu_request: Some(Quantity::from_millis(cpu)),
        memory_request: Some(Quantity::from_units(64 << 20)),
        memory_limit: Some(Quantity::from_units(128 << 20)),
        ..Resources::default()
    };
    vec![Container { name: "order".to_owned(), resources }]
}

fn workload(cpu: i64) -> Workload {
    let replica = |n: usize| Replica {
        name: format!("order-{n}"),
        state: ReplicaState::Running,
        ready: true,
        started_at_ms: Some(NOW_MS - 600_000),
        ready_changed_at_ms: Some(NOW_MS - 600_000),
        restarts: 0,
        containers: sized(cpu),
        resize: None,
        node: String::new(),
        message: String::new(),
    };
    Workload {
        reference: WorkloadRef {
            kind: WorkloadKind::Deployment,
            namespace: "shop".to_owned(),
            name: "order".to_owned(),
        },
        desired: Replicas(2),
        replicas: (0..2).map(replica).collect(),
        rollout: Rollout::Complete,
        conflicts: Vec::new(),
    }
}

fn readings(ages_ms: [i64; 2]) -> Readings {
    let usage = |value: f64| {
        let mut usage = Usage::default();
        for (n, age_ms) in ages_ms.iter().enumerate() {
            let of = ContainerUsage { container: "order".to_owned(), value, at_ms: NOW_MS - age_ms };
            usage.insert("shop", &format!("order-{n}"), of);
        }
        Ok(usage)
    };
    let mut measures = MeasuresOfContainers::default();
    let of = Measures { throttled: Some(0.4), kills: Some(2.0), killed_restarts: Some(1.0), ..Measures::default() };
    measures.insert("shop", "order-0", "order", of);
    Readings { cpu: usage(0.1), memory: usage(5e7), measures: Ok(measures), ..Readings::none("") }
}

fn seen(workload: &Workload, readings: &Readings, specified: i64) -> crate::planner::Observation {
    let circumstances =
        Circumstances { now_ms: NOW_MS, rate_window: Duration::from_secs(60), startup: Startup::default() };
    let sizes = Sizes { wanted: sized(200), specified: sized(specified) };
    observe(&policy(), 0, (workload, &sizes), readings, circumstances, false)
}

#[test]
fn what_is_wanted_is_seen_with_what_is_used_and_not_let_be_used() {
    let containers = seen(&workload(200), &readings([0, 1000]), 100).containers.unwrap();
    assert_eq!(containers.gap, None);
    let order = &containers.each[0];
    assert_eq!((order.cpu.request, order.cpu.limit, &order.resizing), (Some(200), None, &Resizing::Done));
    let first = &order.replicas[0];
    assert_eq!((first.cpu, first.throttled, first.kills), (Some((0.1, NOW_MS)), Some(0.4), Some(3)));
    assert_eq!((first.memory_limit, first.warm), (Some(134_217_728.0), true));
    assert_eq!(
        (order.replicas[1].throttled, order.replicas[1].kills),
        (None, Some(0)),
        "what nobody counts is not known"
    );
}

#[test]
fn what_is_stale_or_not_answered_is_a_gap() {
    let gap = |readings: &Readings| seen(&workload(200), readings, 100).containers.unwrap().gap.unwrap().to_string();
    assert_eq!(gap(&readings([0, 121_000])), "1 ready replica has no fresh reading");
    assert_eq!(gap(&readings([121_000, 121_000])), "2 ready replicas have no fresh reading");
    let silent = Readings { measures: Err(Gap::Source("down".to_owned())), ..readings([0, 0]) };
    assert_eq!(gap(&silent), "metrics source did not answer: down");
}

#[test]
fn a_resize_does_not_change_what_utilization_is_judged_by() {
    let requests = |given: i64| {
        let observation = seen(&workload(given), &readings([0, 0]), 100);
        assert!(matches!(&observation.readings[0], Reading::Pods(samples) if samples[0].millis == 100));
        observation.pods.iter().map(|pod| pod.requests.containers[0].request.cpu).collect::<Vec<_>>()
    };
    assert_eq!(requests(50), requests(200));
    assert_eq!(requests(50), [Some(100), Some(100)]);
}

#[test]
fn who_rolls_out_waits_for_the_last_rollout_and_who_resizes_in_place_does_not() {
    let mut workload = workload(200);
    workload.rollout = Rollout::RolledBack { reason: "it did not start".to_owned() };
    let of = |apply: Apply| {
        let mut policy = policy();
        if let Some(resources) = &mut policy.resources {
            resources.apply = apply;
        }
        let circumstances =
            Circumstances { now_ms: NOW_MS, rate_window: Duration::from_secs(60), startup: Startup::default() };
        containers(&policy, &workload, &sized(200), &readings([0, 0]), circumstances).unwrap().each[0].resizing.clone()
    };
    assert_eq!(of(Apply::InPlace), Resizing::Done);
    assert_eq!(of(Apply::Rollout), Resizing::UnderWay("it did not start".to_owned()));
}

#[test]
fn the_replica_that_has_come_least_far_counts() {
    let mut workload = workload(200);
    let of = |workload: &Workload| seen(workload, &readings([0, 0]), 100).containers.unwrap().each[0].resizing.clone();
    workload.replicas[1].resize = Some(Resize::InProgress);
    assert_eq!(of(&workload), Resizing::UnderWay("in progress".to_owned()));
    workload.replicas[0].resize = Some(Resize::Infeasible { message: "too large".to_owned() });
    assert_eq!(of(&workload), Resizing::Infeasible("too large".to_owned()));
}
