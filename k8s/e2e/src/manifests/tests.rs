//! What the suite changes in manifests, on small ones.

use serde_json::json;

use super::*;

fn deployment(image: &str, endpoint: &str) -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {"name": "order", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [
            {"image": image, "args": ["autoscaler", format!("--collector={endpoint}")],
             "env": [{"name": "ENDPOINT", "value": endpoint}]},
        ]}}},
    })
}

#[test]
fn documents_and_lists_become_objects() {
    let objects = parse("# only a comment\n---\nkind: A\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n").unwrap();
    let kinds: Vec<&str> = objects.iter().map(|object| text(object, "/kind")).collect();
    assert_eq!(kinds, ["A", "B", "C"]);
}

#[test]
fn only_images_of_ours_are_changed() {
    for (image, expected) in [
        ("plimsoll", 1),
        ("registry.example:5000/team/plimsoll:1.2", 1),
        ("plimsoll@sha256:00", 1),
        ("postgres:17", 0),
        ("plimsoll/other", 0),
    ] {
        let mut objects = [deployment(image, "http://a")];
        assert_eq!(set_image(&mut objects, "plimsoll:e2e"), expected, "{image}");
    }
}

#[test]
fn names_of_services_become_addresses_where_there_is_no_dns() {
    let addresses =
        [Address { namespace: "plimsoll".to_owned(), service: "collector".to_owned(), ip: "10.9.8.7".to_owned() }];
    for (endpoint, expected) in [
        ("http://collector.plimsoll.svc:4318/v1", "http://10.9.8.7:4318/v1"),
        ("http://collector.plimsoll.svc.cluster.local.:4318", "http://10.9.8.7:4318"),
        ("http://collector.plimsoll:4318", "http://10.9.8.7:4318"),
        ("http://collector:4318", "http://collector:4318"),
        ("http://collector-2.plimsoll.svc:4318", "http://collector-2.plimsoll.svc:4318"),
        ("collector", "collector"),
    ] {
        let mut objects = [deployment("plimsoll", endpoint)];
        without_dns(&mut objects, &addresses);
        assert_eq!(objects[0].pointer("/spec/template/spec/containers/0/env/0/value").unwrap(), expected);
    }
    let mut objects = [deployment("plimsoll", "http://collector.plimsoll.svc:9090")];
    without_dns(&mut objects, &addresses);
    let argument = objects[0].pointer("/spec/template/spec/containers/0/args/1").unwrap();
    assert_eq!(argument, "--collector=http://10.9.8.7:9090");
}

#[test]
fn claims_of_stateful_sets_are_found_before_they_exist() {
    let objects = [
        json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "store", "namespace": "shop"},
               "spec": {"accessModes": ["ReadWriteOnce"]}}),
        json!({"kind": "StatefulSet", "metadata": {"name": "collector", "namespace": "p"}, "spec": {"replicas": 2,
               "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}}),
    ];
    let names: Vec<String> =
        claims(&objects).into_iter().map(|claim| format!("{}/{}", claim.namespace, claim.name)).collect();
    assert_eq!(names, ["shop/store", "p/data-collector-0", "p/data-collector-1"]);
}

#[test]
fn objects_find_their_namespace_and_those_without_one_their_label() {
    let mut objects = [
        json!({"kind": "Service", "metadata": {"name": "a"}}),
        json!({"kind": "Service", "metadata": {"name": "a", "namespace": "b"}}),
        json!({"kind": "ClusterRole", "metadata": {"name": "a"}}),
    ];
    place(&mut objects, "n", ("suite", "true"));
    assert_eq!(objects[0]["metadata"], json!({"name": "a", "namespace": "n"}));
    assert_eq!(objects[1]["metadata"], json!({"name": "a", "namespace": "b"}));
    assert_eq!(objects[2]["metadata"], json!({"name": "a", "labels": {"suite": "true"}}));
}

#[test]
fn the_shop_has_ten_services_and_they_are_the_ones_that_its_manifests_name() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shop/base");
    let names = deployments(&folder).unwrap();
    assert_eq!(names.len(), 10, "{names:?}");
    assert!(["gateway", "order", "user"].iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
}
