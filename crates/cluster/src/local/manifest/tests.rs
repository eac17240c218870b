//! Bad manifests with their exact message, and the shop's own manifests as the good case.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use protocol::yaml;

use super::model::{ProbeTarget, Volume};
use super::{Manifests, load, load_documents};

const GOOD: &str = include_str!("../../../tests/fixtures/shop.yaml");

fn read(text: &str) -> Result<Manifests, String> {
    load_documents(yaml::split(Path::new("shop.yaml"), text)).map_err(|error| error.to_string())
}

#[test]
fn reads_defaults_as_kubernetes_has_them() {
    let manifests = read(GOOD).unwrap();
    let back = &manifests.deployments[1];
    assert_eq!((back.replicas, back.progress_deadline), (1, Duration::from_secs(600)));
    let probe = back.template.container.readiness.as_ref().unwrap();
    assert_eq!((probe.period, probe.timeout), (Duration::from_secs(10), Duration::from_secs(1)));
    assert_eq!((probe.failures, probe.successes), (3, 1));
    assert_eq!(probe.target, ProbeTarget::Tcp { port: 8080 });
    assert_eq!(back.template.mounts[0].volume, Volume::Claim { name: "back".to_owned() });
}

#[test]
fn the_same_template_has_the_same_revision() {
    let revision = |text: &str| read(text).unwrap().deployments[0].template.revision();
    assert_eq!(revision(GOOD), revision(&GOOD.replace("replicas: 2", "replicas: 5")));
    assert_ne!(revision(GOOD), revision(&GOOD.replacen("value: good", "value: better", 1)));
}

/// What to replace in the good file, by what, and the message.
const BAD: &[(&str, &str, &str)] = &[
    (
        "  replicas: 2",
        "  replicaz: 2",
        "shop.yaml: document 4: spec.replicaz: unknown field `replicaz`, expected one of replicas, selector, strategy, \
         minReadySeconds, progressDeadlineSeconds, revisionHistoryLimit, template, paused (line 31)",
    ),
    (
        "          image: plimsoll:dev",
        "          image: docker.io/library/nginx:1.27",
        "shop.yaml: document 4: spec.template.spec.containers[0].image: \"docker.io/library/nginx:1.27\" cannot be run: \
         the local runtime runs no containers, only processes of this binary, whose image is called \"plimsoll\"",
    ),
    (
        "kind: PersistentVolumeClaim",
        "kind: StatefulSet",
        "shop.yaml: document 3: kind: the local runtime does not run StatefulSet of v1: expected apps/v1 Deployment, or \
         v1 Service, ConfigMap, Secret, PersistentVolumeClaim or Namespace",
    ),
    (
        "key: store-url",
        "key: store",
        "shop.yaml: document 6: spec.template.spec.containers[0].env[2]: Secret default/back has no key \"store\"; it has \
         store-url",
    ),
    (
        "claimName: back",
        "claimName: front",
        "shop.yaml: document 6: spec.template.spec.volumes: PersistentVolumeClaim default/front does not exist",
    ),
    (
        "  selector: {app: front}\n  ports",
        "  selector: {app: frnt}\n  ports",
        "shop.yaml: document 5: spec.selector: selects no Deployment of namespace default",
    ),
    (
        "targetPort: http}",
        "targetPort: web}",
        "shop.yaml: document 5: spec.ports[0].targetPort: Deployment default/front has no such port",
    ),
    (
        "httpGet: {path: /readyz, port: http}",
        "httpGet: {path: /readyz, port: web}",
        "shop.yaml: document 4: spec.template.spec.containers[0].readinessProbe.httpGet.port: is not a port of this \
         container",
    ),
    (
        "requests: {cpu: 100m, memory: 32Mi}",
        "requests: {cpu: 600m, memory: 32Mi}",
        "shop.yaml: document 4: spec.template.spec.containers[0].resources.requests.cpu: 600m is more than the limit 500m",
    ),
    (
        "{maxSurge: 1, maxUnavailable: 0}",
        "{maxSurge: 0, maxUnavailable: 0%}",
        "shop.yaml: document 4: spec.strategy.rollingUpdate.maxUnavailable: cannot be 0 when maxSurge is 0 too",
    ),
    (
        "    matchLabels: {app: back}",
        "    matchLabels: {app: bakc}",
        "shop.yaml: document 6: spec.selector.matchLabels: app: bakc is not among spec.template.metadata.labels",
    ),
    (
        "{name: data, mountPath: /data}",
        "{name: date, mountPath: /data}",
        "shop.yaml: document 6: spec.template.spec.containers[0].volumeMounts[0].name: \"date\" is not among \
         spec.template.spec.volumes",
    ),
    (
        "kind: Secret\nmetadata:\n  name: back\nstringData:\n  store-url: sqlite:///data/back.db",
        "kind: Secret\nmetadata:\n  name: back\ndata:\n  store-url: sqlite:///data/back.db",
        "shop.yaml: document 2: data.store-url: is not base64: plain text belongs in stringData",
    ),
    (
        "kind: Service\nmetadata:\n  name: back",
        "kind: Service\nmetadata:\n  name: front",
        "shop.yaml: document 7: metadata.name: Service default/front is also in shop.yaml: document 5",
    ),
    (
        "fieldPath: status.podIP",
        "fieldPath: status.hostIP",
        "shop.yaml: document 4: spec.template.spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: \"status.hostIP\" is \
         not known here: expected metadata.name, metadata.namespace, status.podIP, metadata.labels['KEY'] or \
         metadata.annotations['KEY']",
    ),
];

#[test]
fn says_what_is_wrong_and_where() {
    for (good, bad, expected) in BAD {
        assert!(GOOD.contains(good), "{good}");
        assert_eq!(read(&GOOD.replacen(good, bad, 1)).unwrap_err(), *expected);
    }
}

#[test]
fn fields_that_cannot_be_honoured_are_refused_by_name() {
    for (field, place) in [
        ("lifecycle: {preStop: {exec: {command: [sleep]}}}", "containers[0].lifecycle.preStop.exec"),
        ("livenessProbe: {exec: {command: [ls]}}", "containers[0].livenessProbe.exec"),
    ] {
        let text = GOOD.replacen("          image: plimsoll:dev\n          args: [\"fake::replica\", \"--exact\", \"--nocapture\", \"--test-threads=1\"]\n          env:\n            - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n            - {name: STORE_URL", &format!("          image: plimsoll:dev\n          {field}\n          env:\n            - {{name: POD_IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}\n            - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}\n            - {{name: STORE_URL"), 1);
        let message = read(&text).unwrap_err();
        assert!(message.contains(place) && message.contains("does not support this field"), "{message}");
    }
}

#[test]
fn values_are_strings_as_the_api_server_wants_them() {
    let message = read(&GOOD.replacen("GREETING: hello", "GREETING: 42", 1)).unwrap_err();
    assert!(message.starts_with("shop.yaml: document 1: data.GREETING: "), "{message}");
    assert!(message.contains("put quotes around numbers") && message.ends_with("(line 7)"), "{message}");
}

#[test]
fn policies_are_left_to_the_autoscaler() {
    let policy = "---\napiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: front}\nspec: {}\n";
    assert_eq!(read(&format!("{GOOD}{policy}")), read(GOOD));
}

#[test]
fn two_containers_are_refused_in_words() {
    let text = GOOD.replacen(
        "        - name: back\n          image: plimsoll:dev",
        "        - {name: side, image: plimsoll}\n        - name: back\n          image: plimsoll:dev",
        1,
    );
    let expected = "shop.yaml: document 6: spec.template.spec.containers: has 2 containers; the local runtime runs \
                    exactly one a replica today";
    assert_eq!(read(&text).unwrap_err(), expected);
}

#[test]
fn a_directory_is_read_through_its_kustomization() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("all.yaml", GOOD);
    write("ignored.yaml", "not: listed\n");
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    write("kustomization.yaml", &format!("{head}namespace: shop\nresources: [all.yaml]\n"));
    let manifests = load(&[folder.path().to_owned()]).unwrap();
    assert!(manifests.workloads().all(|workload| workload.namespace == "shop"));
    assert_eq!(manifests.services().collect::<Vec<_>>(), ["front", "back"]);
    for (text, expected) in [
        ("resources: [none.yaml]\n", "none.yaml does not exist"),
        ("resources: [https://example.com/a.yaml]\n", "resources[0]: only files and directories are read"),
        ("patches: []\n", "unknown field `patches`"),
    ] {
        write("kustomization.yaml", &format!("{head}{text}"));
        let message = load(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("kustomization.yaml: document 1"), "{message}");
    }
}

#[test]
fn the_shop_is_ten_services() {
    let shop = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../k8s/shop");
    let manifests = load(&[shop]).unwrap();
    assert_eq!((manifests.workloads().count(), manifests.services().count()), (10, 10));
}

proptest! {
    /// Cutting lines out of a good file gives an error or a manifest, never a panic.
    #[test]
    fn never_panics(cut in 0usize..140, length in 1usize..6, noise in "[ a-z:{}\\[\\]-]{0,12}") {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        let start = cut.min(lines.len());
        let end = (start + length).min(lines.len());
        lines.splice(start..end, [noise.as_str()]);
        let _ = read(&lines.join("\n"));
    }
}
