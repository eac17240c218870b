//! Objects as the API server writes them, and the labels and targets that become of them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::Group;
use super::groups::{Groups, Records, Snapshot};
use super::record::{Recorded, join_host_port};
use super::texts::Texts;
use super::*;
use crate::series::Labels;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

fn records<K: Recorded + DeserializeOwned>(objects: &[Value]) -> Arc<Records> {
    let texts = Texts::default();
    let record = |object: &Value| {
        let record = serde_json::from_value::<K>(object.clone()).unwrap().record(&texts);
        ((record.namespace.clone(), record.name.clone()), Arc::new(record))
    };
    Arc::new(objects.iter().map(record).collect())
}

/// All labels of each target without what they begin with, in the order of the groups.
fn targets(groups: &[Arc<Group>]) -> Vec<BTreeMap<String, String>> {
    let merged = |group: &Arc<Group>, own: &Labels| {
        let all = group.labels.iter().chain(own.iter());
        all.map(|(n, v)| (n.replace("__meta_kubernetes_", ""), v.to_owned())).collect()
    };
    groups.iter().flat_map(|group| group.targets.iter().map(move |own| merged(group, own))).collect()
}

fn made(snapshot: &Snapshot) -> Vec<BTreeMap<String, String>> {
    targets(&Groups::default().make(snapshot))
}

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect()
}

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": "u-1",
            "labels": { "app.kubernetes.io/name": "order", "tier": "" },
            "annotations": { "prometheus.io/port": "8080" },
            "ownerReferences": [
                { "apiVersion": "v1", "kind": "Other", "name": "x", "uid": "1" },
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "order-5c", "uid": "2", "controller": true },
            ],
            "managedFields": [{ "manager": "kubelet" }],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [
                { "name": "order", "image": "shop:1", "ports": [
                    { "name": "http", "containerPort": 8080, "protocol": "TCP" },
                    { "name": "dns", "containerPort": 53, "protocol": "UDP" },
                    { "name": "dns-tcp", "containerPort": 53, "protocol": "TCP" },
                ] },
                { "name": "side", "image": "side:1" },
            ],
            "initContainers": [{ "name": "proxy", "image": "proxy:1", "ports": [{ "containerPort": 15090, "protocol": "TCP" }] }],
        },
        "status": {
            "phase": "Running", "podIP": ip, "hostIP": "10.0.0.1",
            "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }],
            "containerStatuses": [
                { "name": "order", "containerID": "containerd://a", "image": "i", "imageID": "i", "ready": true, "restartCount": 0 },
            ],
        },
    })
}

/// What each target of that pod has.
const POD: &str = "namespace=shop pod_name=order-1 pod_uid=u-1 pod_phase=Running pod_ready=true pod_ip=10.1.0.7 \
    pod_host_ip=10.0.0.1 pod_node_name=node-1 pod_controller_kind=ReplicaSet pod_controller_name=order-5c \
    pod_label_app_kubernetes_io_name=order pod_labelpresent_app_kubernetes_io_name=true pod_labelpresent_tier=true \
    pod_annotation_prometheus_io_port=8080 pod_annotationpresent_prometheus_io_port=true";

const ORDER: &str = "pod_container_name=order pod_container_image=shop:1 pod_container_init=false";

#[test]
fn a_pod_has_a_target_for_each_port_and_one_for_each_container_without() {
    let snapshot = Snapshot { primary: vec![records::<Pod>(&[pod("order-1", "10.1.0.7")])], ..Snapshot::default() };
    let found = made(&snapshot);
    let wanted = [
        format!(
            "{POD} {ORDER} pod_container_id=containerd://a __address__=10.1.0.7:8080 pod_container_port_name=http \
                 pod_container_port_number=8080 pod_container_port_protocol=TCP"
        ),
        format!(
            "{POD} {ORDER} pod_container_id=containerd://a __address__=10.1.0.7:53 pod_container_port_name=dns \
                 pod_container_port_number=53 pod_container_port_protocol=UDP"
        ),
        format!(
            "{POD} {ORDER} pod_container_id=containerd://a __address__=10.1.0.7:53 pod_container_port_name=dns-tcp \
                 pod_container_port_number=53 pod_container_port_protocol=TCP"
        ),
        format!(
            "{POD} pod_container_name=side pod_container_image=side:1 pod_container_init=false __address__=10.1.0.7"
        ),
        format!(
            "{POD} pod_container_name=proxy pod_container_image=proxy:1 pod_container_init=true \
                 __address__=10.1.0.7:15090 pod_container_port_number=15090 pod_container_port_protocol=TCP"
        ),
    ];
    assert_eq!(found, wanted.map(|text| labels(&text)));
}

#[test]
fn a_pod_without_an_address_has_no_target() {
    let snapshot = Snapshot { primary: vec![records::<Pod>(&[pod("order-1", "")])], ..Snapshot::default() };
    assert!(made(&snapshot).is_empty());
}

#[test]
fn an_ipv6_address_has_brackets_only_before_a_port() {
    let snapshot = Snapshot { primary: vec![records::<Pod>(&[pod("order-1", "fd00::7")])], ..Snapshot::default() };
    let addresses: Vec<String> =
        made(&snapshot).into_iter().map(|mut labels| labels.remove("__address__").unwrap()).collect();
    assert_eq!(addresses, ["[fd00::7]:8080", "[fd00::7]:53", "[fd00::7]:53", "fd00::7", "[fd00::7]:15090"]);
    assert_eq!(join_host_port("h", 1), "h:1");
}

fn node(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "zone": "a" }, "annotations": { "note": "n" } },
        "spec": { "providerID": "p://1" },
        "status": {
            "addresses": [
                { "type": "Hostname", "address": "node-1.local" }, { "type": "InternalIP", "address": "10.0.0.1" },
                { "type": "InternalIP", "address": "fd00::1" },
            ],
            "conditions": [{ "type": "Ready", "status": "True" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        },
    })
}

#[test]
fn a_node_is_its_kubelet() {
    let snapshot = Snapshot { primary: vec![records::<Node>(&[node("node-1")])], ..Snapshot::default() };
    assert_eq!(
        made(&snapshot),
        [labels(
            "__address__=10.0.0.1:10250 instance=node-1 node_name=node-1 node_provider_id=p://1 node_label_zone=a \
         node_labelpresent_zone=true node_annotation_note=n node_annotationpresent_note=true \
         node_address_Hostname=node-1.local node_address_InternalIP=10.0.0.1 node_condition_ready=true"
        )]
    );
}

#[test]
fn a_pod_gets_its_nodes_labels_and_goes_with_a_node_that_is_left_out() {
    let namespace = json!({ "metadata": { "name": "shop", "labels": { "team": "t" } } });
    let mut snapshot = Snapshot {
        primary: vec![records::<Pod>(&[pod("order-1", "10.1.0.7")])],
        nodes: Some(records::<Node>(&[node("node-1")])),
        namespaces: Some(records::<Namespace>(&[namespace])),
        ..Snapshot::default()
    };
    let found = made(&snapshot).remove(0);
    let attached = "node_name=node-1 node_label_zone=a node_labelpresent_zone=true node_annotation_note=n \
                    node_annotationpresent_note=true namespace_label_team=t namespace_labelpresent_team=true";
    for (name, value) in labels(attached) {
        assert_eq!(found.get(&name), Some(&value), "{name}");
    }
    assert!(!found.contains_key("node_provider_id") && !found.contains_key("namespace_name"), "{found:?}");
    snapshot.nodes = Some(records::<Node>(&[node("node-2")]));
    assert!(made(&snapshot).is_empty());
}

fn service(policy: &str, families: &[&str]) -> Value {
    json!({
        "metadata": { "name": "order", "namespace": "shop", "labels": { "svc": "s" } },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.7", "ipFamilyPolicy": policy, "ipFamilies": families,
            "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }, { "port": 81, "protocol": "UDP" }],
        },
    })
}

#[test]
fn a_service_has_a_target_for_each_port() {
    let external = json!({
        "metadata": { "name": "out", "namespace": "shop" },
        "spec": { "type": "ExternalName", "externalName": "e.example", "ports": [{ "port": 443, "protocol": "TCP" }] },
    });
    let balanced = json!({
        "metadata": { "name": "lb", "namespace": "shop" },
        "spec": { "type": "LoadBalancer", "clusterIP": "10.96.0.8", "ports": [{ "port": 1, "protocol": "TCP" }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "1.1.1.1" }, { "ip": "2.2.2.2" }, { "hostname": "h" }] } },
    });
    let all = records::<Service>(&[service("SingleStack", &["IPv4"]), external, balanced]);
    let common = "namespace=shop service_name=order service_label_svc=s service_labelpresent_svc=true \
                  service_type=ClusterIP service_cluster_ip=10.96.0.7";
    assert_eq!(
        made(&Snapshot { primary: vec![all], ..Snapshot::default() }),
        [
            labels(
                "namespace=shop service_name=lb __address__=lb.shop.svc:1 service_type=LoadBalancer \
                service_cluster_ip=10.96.0.8 service_loadbalancer_ip=1.1.1.1,2.2.2.2 service_port_number=1 \
                service_port_protocol=TCP"
            ),
            labels(&format!(
                "{common} __address__=order.shop.svc:80 service_port_name=http service_port_number=80 \
                         service_port_protocol=TCP"
            )),
            labels(&format!("{common} __address__=order.shop.svc:81 service_port_number=81 service_port_protocol=UDP")),
            labels(
                "namespace=shop service_name=out __address__=out.shop.svc:443 service_type=ExternalName \
                service_external_name=e.example service_port_number=443 service_port_protocol=TCP"
            ),
        ]
    );
}

fn slice(family: &str) -> Value {
    json!({
        "metadata": { "name": "order-abc", "namespace": "shop", "labels": { "kubernetes.io/service-name": "order" } },
        "addressType": family,
        "endpoints": [
            { "addresses": ["10.1.0.7"], "nodeName": "node-1", "zone": "a",
              "conditions": { "ready": true, "serving": true, "terminating": false },
              "targetRef": { "kind": "Pod", "namespace": "shop", "name": "order-1" } },
            { "addresses": ["10.9.9.9"], "hostname": "ext" },
        ],
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    })
}

fn slice_snapshot(service: Value) -> Snapshot {
    Snapshot {
        primary: vec![records::<EndpointSlice>(&[slice("IPv4")])],
        pods: vec![records::<Pod>(&[pod("order-1", "10.1.0.7")])],
        services: vec![records::<Service>(&[service])],
        ..Snapshot::default()
    }
}

#[test]
fn a_slice_has_its_services_labels_and_its_pods_with_their_other_ports() {
    let found = made(&slice_snapshot(service("SingleStack", &["IPv4"])));
    let common = "namespace=shop endpointslice_name=order-abc endpointslice_address_type=IPv4 service_name=order \
                  service_label_svc=s service_labelpresent_svc=true \
                  endpointslice_label_kubernetes_io_service_name=order \
                  endpointslice_labelpresent_kubernetes_io_service_name=true";
    let port = "endpointslice_port=8080 endpointslice_port_name=http endpointslice_port_protocol=TCP";
    assert_eq!(
        found,
        [
            labels(&format!(
                "{common} {POD} {ORDER} {port} __address__=10.1.0.7:8080 pod_container_port_name=http \
            pod_container_port_number=8080 pod_container_port_protocol=TCP endpointslice_endpoint_node_name=node-1 \
            endpointslice_endpoint_zone=a endpointslice_endpoint_conditions_ready=true \
            endpointslice_endpoint_conditions_serving=true endpointslice_endpoint_conditions_terminating=false \
            endpointslice_address_target_kind=Pod endpointslice_address_target_name=order-1"
            )),
            labels(&format!("{common} {port} __address__=10.9.9.9:8080 endpointslice_endpoint_hostname=ext")),
            labels(&format!(
                "{common} {POD} {ORDER} __address__=10.1.0.7:53 pod_container_port_name=dns \
            pod_container_port_number=53 pod_container_port_protocol=UDP"
            )),
            labels(&format!(
                "{common} {POD} {ORDER} __address__=10.1.0.7:53 pod_container_port_name=dns-tcp \
            pod_container_port_number=53 pod_container_port_protocol=TCP"
            )),
            labels(&format!(
                "{common} {POD} pod_container_name=proxy pod_container_image=proxy:1 pod_container_init=true \
            __address__=10.1.0.7:15090 pod_container_port_number=15090 pod_container_port_protocol=TCP"
            )),
        ]
    );
}

#[test]
fn the_second_family_of_a_service_is_not_listed_again() {
    assert!(made(&slice_snapshot(service("PreferDualStack", &["IPv6", "IPv4"]))).is_empty());
    assert_eq!(made(&slice_snapshot(service("PreferDualStack", &["IPv4", "IPv6"]))).len(), 5);
}

#[test]
fn a_group_is_made_again_only_if_one_of_its_objects_changed() {
    let mut snapshot = slice_snapshot(service("SingleStack", &["IPv4"]));
    let mut groups = Groups::default();
    let first = groups.make(&snapshot);
    assert!(Arc::ptr_eq(&first[0], &groups.make(&snapshot)[0]));
    snapshot.pods = vec![records::<Pod>(&[pod("order-1", "10.1.0.8")])];
    let second = groups.make(&snapshot);
    assert!(!Arc::ptr_eq(&first[0], &second[0]));
    let plain = Snapshot { primary: snapshot.pods.clone(), ..Snapshot::default() };
    let own = plain.primary[0].values().next().unwrap().group.clone();
    assert!(Arc::ptr_eq(&own, &Groups::default().make(&plain)[0]), "a pod's group is the one that its record holds");
}

#[test]
fn a_source_looks_where_it_is_told_to_and_never_twice() {
    let config = |names: &[&str], own_namespace| KubernetesDiscovery {
        role: Role::Pod,
        server: crate::config::kubernetes::ApiServer::InCluster,
        namespaces: names.iter().map(|name| (*name).to_owned()).collect(),
        own_namespace,
        selectors: BTreeMap::new(),
        attach_node: false,
        attach_namespace: false,
    };
    let named = |name: &str| Place::Namespace(name.to_owned());
    assert_eq!(places(&config(&[], false)), [Place::Cluster]);
    assert_eq!(places(&config(&["b", "a", "b"], false)), [named("a"), named("b")]);
    assert_eq!(places(&config(&["a"], true)), [named("a"), Place::OwnNamespace]);
    assert_eq!(places(&config(&[], true)), [Place::OwnNamespace]);
}
