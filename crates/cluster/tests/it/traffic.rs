//! Requests through Service proxies: what replicas see of their surroundings, balancing, draining.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{Cluster, Replicas, Rollout};
use tokio::task::JoinHandle;

use crate::harness::{FIXTURE, Running, eventually, manifests, reference};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_see_what_their_manifest_says() {
    let running = Running::start_ready(FIXTURE).await;
    let back = running.cluster.service_url("back").unwrap();
    let store = format!("sqlite://{}/volumes/back/back.db", running.data.path().canonicalize().unwrap().display());
    for (service, variable, expected) in [
        ("front", "GREETING", "hello"),
        ("front", "BACK", back.as_str()),
        ("front", "COLLECTOR", "http://127.0.0.1:4318"),
        ("back", "STORE_URL", store.as_str()),
        ("back", "HOME", ""),
    ] {
        let (status, body) = running.get(service, &format!("/env/{variable}")).await;
        assert_eq!((status, body.as_str()), (200, expected), "{service} {variable}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_reach_all_ready_replicas() {
    let running = Running::start_ready(FIXTURE).await;
    let mut names = BTreeSet::new();
    let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap();
    let url = running.cluster.service_url("front").unwrap();
    for _ in 0..60 {
        names.insert(client.get(&url).send().await.unwrap().text().await.unwrap());
    }
    assert_eq!(names.len(), 2, "{names:?}");
    let body = vec![7u8; 3 << 20];
    let echoed = client.post(format!("{url}/echo")).body(body.clone()).send().await.unwrap();
    assert!(echoed.bytes().await.unwrap() == body, "a large body comes back whole");
    running.stop().await;
}

/// Eight clients that ask one after the other until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = || {
            let (url, stop, done) = (url.to_owned(), stop.clone(), done.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.get(&url).send().await {
                        Ok(response) if response.status() == 200 => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        };
        Self { clients: (0..8).map(|_| client()).collect(), stop, done }
    }

    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        let more = async || self.done.load(Ordering::Relaxed) > before + 20;
        eventually("traffic", Duration::from_secs(5), more).await;
    }

    async fn assert_none_failed(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            assert_eq!(client.await.unwrap(), Vec::<String>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_replicas_come_and_go() {
    let running = Running::start_ready(FIXTURE).await;
    let load = Load::start(&format!("{}/slow/40", running.cluster.service_url("front").unwrap()));
    for wanted in [4, 1, 3, 1] {
        running.cluster.set_replicas(&reference("front"), Replicas(wanted)).await.unwrap();
        eventually("scaled", Duration::from_secs(10), async || {
            let workload = running.workload("front").await;
            workload.ready().0 == wanted && workload.replicas.len() == wanted as usize
        })
        .await;
        load.goes_on().await;
    }
    load.assert_none_failed().await;
    let metrics = running.api("/metrics").await;
    assert!(metrics.contains(r#"plimsoll_proxy_requests_total{service="front",port="http",code="200"}"#), "{metrics}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_new_version_is_rolled_out() {
    let running = Running::start_ready(FIXTURE).await;
    let before = running.replicas("front").await;
    let load = Load::start(&format!("{}/slow/40", running.cluster.service_url("front").unwrap()));
    load.goes_on().await;
    running.cluster.apply(manifests(&FIXTURE.replacen("value: good", "value: better", 1))).await.unwrap();
    eventually("rolled out", Duration::from_secs(10), async || {
        let workload = running.workload("front").await;
        assert!(workload.ready().0 >= 2, "maxUnavailable is 0: {workload:?}");
        workload.rollout == Rollout::Complete
            && workload.replicas.len() == 2
            && workload.replicas.iter().all(|replica| before.iter().all(|old| old.name != replica.name))
    })
    .await;
    load.goes_on().await;
    load.assert_none_failed().await;
    assert_eq!(running.get("front", "/env/VERSION").await.1, "better");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ready_replica_the_proxy_says_so() {
    let running = Running::start_ready(FIXTURE).await;
    running.cluster.set_replicas(&reference("back"), Replicas(0)).await.unwrap();
    eventually("gone", Duration::from_secs(5), || async { running.replicas("back").await.is_empty() }).await;
    let (status, body) = running.get("back", "/").await;
    assert_eq!((status, body.as_str()), (503, "no replica of Service back is ready\n"));
    running.stop().await;
}
