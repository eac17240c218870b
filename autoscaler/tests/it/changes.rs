//! Who may change something by the API, what is answered, and what of it is there after a restart.

use std::path::Path;
use std::sync::Arc;

use autoscaler::{Autoscaler, Lead, Options, policy};
use cluster::kubernetes::lease::Standing;
use lifecycle::CancellationToken;
use protocol::scaling::{ObjectName, ResizeRequest, ScalingClient};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use crate::POLICY;
use crate::fake::FakeCluster;

const TOKEN: &str = "a-token-of-this-test";

struct One {
    base: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// An autoscaler whose one policy has this mode.
async fn one(mode: &str, set: impl FnOnce(&mut Options), lead: Lead) -> One {
    let text = POLICY.replace("spec:\n", &format!("spec:\n  mode: {mode}\n"));
    let policies = policy::from_documents(protocol::yaml::split(Path::new("order.yaml"), &text)).unwrap();
    let mut options = Options::new(Url::parse("http://127.0.0.1:9").unwrap(), policies);
    options.listen = "127.0.0.1:0".parse().unwrap();
    set(&mut options);
    let cluster = Arc::new(FakeCluster::with(2)) as Arc<dyn cluster::Cluster>;
    let autoscaler = Autoscaler::bind(options, cluster).await.unwrap().elected_by(lead);
    let base = format!("http://{}", autoscaler.address());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let task = tokio::spawn(async move { autoscaler.run(stop).await.unwrap() });
    One { base, shutdown, task }
}

impl One {
    fn client(&self, token: Option<&str>) -> ScalingClient {
        ScalingClient::new(Url::parse(&self.base).unwrap()).with_token(token.map(str::to_owned))
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (code, body["error"].as_str().unwrap_or_default().to_owned())
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn order() -> ObjectName {
    ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() }
}

const PAUSE: &str = "/api/v1/policies/shop/order/pause";

#[tokio::test]
async fn who_knows_the_token_changes_things_and_everybody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let running = one("Auto", |options| options.api_token = Some(file.clone()), Lead::default()).await;
    assert_eq!(running.client(None).policies().await.unwrap().len(), 1);
    let without = reqwest::Client::new().post(format!("{}{PAUSE}", running.base)).send().await.unwrap();
    assert_eq!((without.status().as_u16(), &without.headers()["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
    let (code, words) = running.ask(Method::POST, PAUSE, &[("authorization", "Bearer guessed")]).await;
    assert_eq!((code, words.as_str()), (401, "this is not the token of --api-token-file"));
    assert!(!running.client(None).policies().await.unwrap()[0].paused);
    assert!(running.client(Some(TOKEN)).pause(&order()).await.unwrap().paused);
    let refused = running.client(None).resume(&order()).await.unwrap_err().to_string();
    assert!(refused.contains("Authorization: Bearer TOKEN"), "{refused}");

    let metrics = reqwest::get(format!("{}/metrics", running.base)).await.unwrap().text().await.unwrap();
    for line in ["api_refusals_total{reason=\"no_token\"} 2", "api_refusals_total{reason=\"wrong_token\"} 1"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    running.end().await;

    std::fs::write(&file, "").unwrap();
    let mut options = Options::new(Url::parse("http://127.0.0.1:9").unwrap(), policy::PolicySet::default());
    (options.listen, options.api_token) = ("127.0.0.1:0".parse().unwrap(), Some(file));
    let error = Autoscaler::bind(options, Arc::new(FakeCluster::with(1))).await.err().unwrap().to_string();
    assert!(error.contains("it is empty") && error.contains("--api-token-file"), "{error}");
}

#[tokio::test]
async fn a_page_from_elsewhere_and_a_form_change_nothing() {
    let running = one("Auto", |_| {}, Lead::default()).await;
    let evil = ("origin", "http://evil.example");
    let (code, words) = running.ask(Method::POST, PAUSE, &[evil]).await;
    assert_eq!((code, words.as_str()), (403, "a page of http://evil.example may not change anything here"));
    let (code, words) = running.ask(Method::POST, PAUSE, &[("content-type", "text/plain")]).await;
    assert!(code == 415 && words.contains("application/json"), "{code} {words}");
    assert!(!running.client(None).policies().await.unwrap()[0].paused);
    assert_eq!(running.ask(Method::POST, PAUSE, &[("origin", &running.base)]).await.0, 200);
    running.end().await;
}

#[tokio::test]
async fn a_follower_hands_the_token_on_and_asks_for_it_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let leader = one("Auto", |options| options.api_token = Some(file.clone()), Lead::default()).await;
    let standing = Standing::Following { leader: "a".to_owned(), address: Some(leader.base.clone()) };
    let (_election, seen) = watch::channel(standing);
    let follower = one("Auto", |options| options.api_token = Some(file), Lead::elected(seen)).await;
    assert_eq!(follower.ask(Method::POST, PAUSE, &[]).await.0, 401);
    assert!(follower.client(Some(TOKEN)).pause(&order()).await.unwrap().paused);
    assert!(leader.client(None).policies().await.unwrap()[0].paused);
    follower.end().await;
    leader.end().await;
}

#[tokio::test]
async fn a_pause_of_a_policy_file_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = |options: &mut Options| options.data = Some(folder.path().to_owned());
    let first = one("Auto", data, Lead::default()).await;
    assert!(first.client(None).pause(&order()).await.unwrap().paused);
    first.end().await;
    let second = one("Auto", data, Lead::default()).await;
    assert!(second.client(None).policies().await.unwrap()[0].paused);
    assert!(!second.client(None).resume(&order()).await.unwrap().paused);
    second.end().await;
    let third = one("Auto", data, Lead::default()).await;
    assert!(!third.client(None).policies().await.unwrap()[0].paused);
    third.end().await;

    let dry = one("Auto", |options| options.dry_run = true, Lead::default()).await;
    let (code, words) = dry.ask(Method::POST, PAUSE, &[]).await;
    assert!(code == 403 && words.contains("--dry-run"), "{code} {words}");
    dry.end().await;
}

#[tokio::test]
async fn a_resize_needs_a_policy_that_lets_it_be() {
    // The fake cluster's containers request 100m and 64Mi and have no limits.
    let (more, less) = (json!({"cpuRequest": "200m"}), json!({"cpuRequest": "50m"}));
    let (limit, request) = (json!({"memoryLimit": "1Gi"}), json!({"memoryRequest": "128Mi"}));
    let off = "Deployment shop/order: the policy shop/order has mode Off, which changes nothing";
    for (mode, resources, refused) in [
        ("Auto", &less, ""),
        ("Off", &more, off),
        ("Recommend", &more, "has mode Recommend, which changes nothing"),
        ("ScaleUpOnly", &more, ""),
        ("ScaleUpOnly", &less, "has mode ScaleUpOnly, and this asks for less"),
        ("ScaleUpOnly", &limit, "and this asks for less"),
        ("ScaleDownOnly", &less, ""),
        ("ScaleDownOnly", &limit, ""),
        ("ScaleDownOnly", &request, "has mode ScaleDownOnly, and this asks for more"),
    ] {
        let running = one(mode, |_| {}, Lead::default()).await;
        let request: ResizeRequest =
            serde_json::from_value(json!({"container": "order", "resources": resources})).unwrap();
        match running.client(None).resize("Deployment", &order(), &request).await {
            Ok(answer) => assert!(refused.is_empty(), "{mode} {resources}: {}", answer.message),
            Err(error) => {
                let words = error.to_string();
                assert!(!refused.is_empty() && words.contains("403") && words.contains(refused), "{mode}: {words}");
            }
        }
        running.end().await;
    }

    let running = one("Auto", |_| {}, Lead::default()).await;
    running.client(None).pause(&order()).await.unwrap();
    let request: ResizeRequest = serde_json::from_value(json!({"container": "order", "resources": more})).unwrap();
    let words = running.client(None).resize("Deployment", &order(), &request).await.unwrap_err().to_string();
    assert!(words.contains("409") && words.contains("shop/order is paused: resume it first"), "{words}");
    running.end().await;

    let elsewhere =
        |options: &mut Options| options.policies = autoscaler::Policies::Files(policy::PolicySet::default());
    let running = one("Auto", elsewhere, Lead::default()).await;
    let words = running.client(None).resize("Deployment", &order(), &request).await.unwrap_err().to_string();
    assert!(words.contains("409") && words.contains("no policy steers it"), "{words}");
    running.end().await;
}
