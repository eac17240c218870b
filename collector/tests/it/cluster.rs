//! Against a real cluster, with no more rights than the chart grants: its nodes are found, and their kubelets tell what every
//! container uses. Needs `PLIMSOLL_E2E_KUBECONFIG`, an administrator's; makes a service account and its role, and removes them.

use std::io::Write;
use std::path::Path;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::running::Running;

const VARIABLE: &str = "PLIMSOLL_E2E_KUBECONFIG";

/// Who the collector is in this test, in the namespace `default`.
const NAME: &str = "plimsoll-collector-test";

/// How long its token is good for: the shortest that API servers grant.
const TOKEN_SECONDS: i64 = 600;

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn role() -> ClusterRole {
    object(json!({
        "metadata": { "name": NAME },
        "rules": [
            { "apiGroups": [""], "resources": ["pods", "nodes", "services"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"] },
        ],
    }))
}

fn binding() -> ClusterRoleBinding {
    object(json!({
        "metadata": { "name": NAME },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": "default" }],
    }))
}

/// A service account with the collector's rights; its token.
async fn account(client: &Client) -> String {
    let (accounts, post) = (Api::<ServiceAccount>::namespaced(client.clone(), "default"), PostParams::default());
    remove(client).await;
    accounts.create(&post, &object(json!({ "metadata": { "name": NAME } }))).await.unwrap();
    Api::<ClusterRole>::all(client.clone()).create(&post, &role()).await.unwrap();
    Api::<ClusterRoleBinding>::all(client.clone()).create(&post, &binding()).await.unwrap();
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let asked = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    accounts.create_token_request(NAME, &post, &asked).await.unwrap().status.unwrap().token.unwrap()
}

async fn remove(client: &Client) {
    let delete = DeleteParams::default();
    // What is not there need not be removed.
    let _ = Api::<ClusterRoleBinding>::all(client.clone()).delete(NAME, &delete).await;
    let _ = Api::<ClusterRole>::all(client.clone()).delete(NAME, &delete).await;
    let _ = Api::<ServiceAccount>::namespaced(client.clone(), "default").delete(NAME, &delete).await;
}

#[tokio::test]
async fn kubelets_tell_what_containers_use_to_who_has_the_collectors_rights() {
    let Some(path) = std::env::var_os(VARIABLE) else {
        // Not `eprintln`, which the test runner swallows.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no cluster; set {VARIABLE} to run the collector against one");
        return;
    };
    let kubeconfig = Kubeconfig::read_from(Path::new(&path)).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).unwrap();
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("token"), account(&client).await).unwrap();
    let access = "authorization: { credentials_file: token }, tls_config: { insecure_skip_verify: true }";
    let sd = |role: &str| format!("  kubernetes_sd_configs: [{{ role: {role}, api_server: {server:?}, {access} }}]\n");
    let config = format!(
        "global: {{ scrape_interval: 2s }}\nscrape_configs:\n- job_name: cadvisor\n  scheme: https\n  \
         metrics_path: /metrics/cadvisor\n  track_timestamps_staleness: true\n  authorization: {{ credentials_file: token }}\n  \
         tls_config: {{ insecure_skip_verify: true }}\n{}\
         - job_name: slices\n{}- job_name: forbidden\n  kubernetes_sd_configs: \
         [{{ role: pod, attach_metadata: {{ namespace: true }}, api_server: {server:?}, {access} }}]\n",
        sd("node"),
        sd("endpointslice"),
    );
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("min(up{job=\"cadvisor\"})", 1.0).await;
    for name in ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"] {
        let used = format!("count({name}{{job=\"cadvisor\", namespace!=\"\", pod!=\"\", container!=\"\"}}) > bool 0");
        running.becomes(&used, 1.0).await;
    }
    // Every cluster has the API server's own slice.
    running.becomes("count(up{job=\"slices\"}) > bool 0", 1.0).await;
    // Namespaces may not be read, so their labels are missing; the pods are found all the same.
    running.becomes("count(up{job=\"forbidden\"}) > bool 0", 1.0).await;
    let metrics = running.get("/metrics").await.1;
    assert!(metrics.contains("plimsoll_collector_kubernetes_watches{state=\"failing\"} 1"), "{metrics}");
    remove(&client).await;
}
