//! What becomes of a resize on a real node: granted later, never, refused; and that others who steer are seen.

use cluster::{Cluster, ClusterError, Replicas, Resize, Resources};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use kube::Api;
use kube::api::{ListParams, PostParams};
use protocol::quantity::Quantity;
use serde_json::json;

use super::{Lab, PATIENCE, object, small};
use crate::harness::eventually;

fn sized(cpu_request_millis: i64) -> Resources {
    Resources {
        cpu_request: Some(Quantity::from_millis(cpu_request_millis)),
        cpu_limit: Some(Quantity::from_millis(cpu_request_millis.max(100))),
        memory_request: Some(Quantity::from_units(16 << 20)),
        memory_limit: Some(Quantity::from_units(32 << 20)),
    }
}

/// CPU that pods of all namespaces leave free on the one node, and all that it has, in thousandths.
async fn cpu(lab: &Lab) -> (i64, i64) {
    let nodes: Api<Node> = Api::all(lab.connection.client().clone());
    let node = nodes.list(&ListParams::default()).await.unwrap().items.remove(0);
    let all = node.status.unwrap().allocatable.unwrap()["cpu"].0.clone();
    let all = Quantity::parse(&all).unwrap().millis();
    let pods: Api<Pod> = Api::all(lab.connection.client().clone());
    let request = |pod: &Pod| {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let requests = containers.filter_map(|c| c.resources.as_ref()?.requests.as_ref()?.get("cpu").cloned());
        requests.map(|amount| Quantity::parse(&amount.0).unwrap().millis()).sum::<i64>()
    };
    let used: i64 = pods.list(&ListParams::default()).await.unwrap().items.iter().map(request).sum();
    (all - used, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resize_waits_for_room_and_is_granted_later() {
    let Some(lab) = Lab::start("deferred").await else { return };
    let (free, all) = cpu(&lab).await;
    let filler = lab.deploy("filler", 1, json!({ "requests": { "cpu": format!("{}m", free - 200) } })).await;
    let workload = lab.deploy("front", 1, small()).await;
    // More than is free with the filler, less than without it.
    let wanted = sized(free - 250);
    lab.cluster.resize(&workload, "web", wanted).await.unwrap();
    eventually("it waits", PATIENCE, || async {
        let replica = lab.find(&workload).await.unwrap().replicas.remove(0);
        matches!(replica.resize, Some(Resize::Deferred { .. })) && replica.containers[0].resources != wanted
    })
    .await;
    let too_large = sized(all + 1000);
    let refused = lab.cluster.resize(&workload, "web", too_large).await;
    assert!(
        matches!(&refused, Err(ClusterError::Refused { reason, .. }) if reason.contains("no node is large enough")),
        "{refused:?}"
    );
    lab.cluster.set_replicas(&filler, Replicas(0)).await.unwrap();
    eventually("it is granted", PATIENCE, || async {
        let replica = lab.find(&workload).await.unwrap().replicas.remove(0);
        replica.resize.is_none() && replica.containers[0].resources == wanted && replica.restarts == 0
    })
    .await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_refuses_a_resize_and_nothing_of_it_stays() {
    let Some(lab) = Lab::start("quota").await else { return };
    let workload = lab.deploy("front", 2, small()).await;
    let quota = json!({ "metadata": { "name": "small" }, "spec": { "hard": { "requests.cpu": "100m" } } });
    lab.api::<ResourceQuota>().create(&PostParams::default(), &object(quota)).await.unwrap();
    eventually("the quota counts", PATIENCE, || async {
        let quota = lab.api::<ResourceQuota>().get("small").await.unwrap();
        quota.status.and_then(|status| status.used).is_some_and(|used| used.contains_key("requests.cpu"))
    })
    .await;
    let refused = lab.cluster.resize(&workload, "web", sized(90)).await;
    assert!(matches!(&refused, Err(ClusterError::Refused { reason, .. }) if reason.contains("small")), "{refused:?}");
    lab.cluster.resize(&workload, "web", sized(45)).await.unwrap();
    eventually("what fits is granted", PATIENCE, || async {
        let replicas = lab.find(&workload).await.unwrap().replicas;
        replicas.iter().all(|r| r.resize.is_none() && r.containers[0].resources == sized(45) && r.restarts == 0)
    })
    .await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_autoscaler_is_a_conflict() {
    let Some(lab) = Lab::start("conflict").await else { return };
    let workload = lab.deploy("front", 1, small()).await;
    assert!(lab.find(&workload).await.unwrap().conflicts.is_empty());
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "front" });
    let hpa = json!({ "metadata": { "name": "mine" }, "spec": { "maxReplicas": 2, "scaleTargetRef": target } });
    let hpas = lab.api::<HorizontalPodAutoscaler>();
    hpas.create(&PostParams::default(), &object(hpa)).await.unwrap();
    let expected = format!("HorizontalPodAutoscaler {}/mine", lab.namespace);
    eventually("it is seen", PATIENCE, || async { lab.find(&workload).await.unwrap().conflicts == [expected.clone()] })
        .await;
    hpas.delete("mine", &kube::api::DeleteParams::default()).await.unwrap();
    eventually("it is gone", PATIENCE, || async { lab.find(&workload).await.unwrap().conflicts.is_empty() }).await;
    lab.stop().await;
}
