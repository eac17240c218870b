//! Two autoscalers before one cluster: the follower hands questions on, never twice, and says why when nobody can answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use autoscaler::{Autoscaler, Lead, Options, PolicySet};
use cluster::kubernetes::lease::Standing;
use lifecycle::CancellationToken;
use protocol::scaling::{ObjectName, ScalingClient};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use crate::fake::FakeCluster;
use crate::policies;

struct One {
    base: String,
    client: ScalingClient,
    standing: watch::Sender<Standing>,
    shutdown: CancellationToken,
}

async fn one(cluster: &Arc<FakeCluster>, policies: PolicySet, tasks: &mut tokio::task::JoinSet<()>) -> One {
    let mut options = Options::new(Url::parse("http://127.0.0.1:9").unwrap(), policies);
    options.listen = "127.0.0.1:0".parse().unwrap();
    options.interval = Duration::from_millis(50);
    let (standing, seen) = watch::channel(Standing::Nobody { reason: "the Lease was not read yet".to_owned() });
    let cluster = Arc::clone(cluster) as Arc<dyn cluster::Cluster>;
    let autoscaler = Autoscaler::bind(options, cluster).await.unwrap().elected_by(Lead::elected(seen));
    let base = format!("http://{}", autoscaler.address());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tasks.spawn(async move { autoscaler.run(stop).await.unwrap() });
    One { client: ScalingClient::new(Url::parse(&base).unwrap()), base, standing, shutdown }
}

async fn ask(url: String, header: Option<&str>) -> (u16, Value) {
    let mut request = reqwest::Client::new().get(url);
    if let Some(name) = header {
        request = request.header(name, "1");
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_follower_hands_questions_on_to_whoever_leads() {
    let (cluster, mut tasks) = (Arc::new(FakeCluster::with(2)), tokio::task::JoinSet::new());
    let a = one(&cluster, policies(), &mut tasks).await;
    let b = one(&cluster, policies(), &mut tasks).await;
    let url = format!("{}/api/v1/policies", b.base);
    let (code, answer) = ask(url.clone(), None).await;
    assert_eq!((code, &answer["error"]), (503, &json!("no autoscaler leads now: the Lease was not read yet")));

    a.standing.send_replace(Standing::Leading);
    b.standing.send_replace(Standing::Following { leader: "a".to_owned(), address: Some(a.base.clone()) });
    let deadline = Instant::now() + Duration::from_secs(10);
    while b.client.decisions(Some("order"), None, 10).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the leader's decisions are never seen through the follower");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let order = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    assert!(b.client.pause(&order).await.unwrap().paused);
    assert!(a.client.policies().await.unwrap()[0].paused, "a command reaches the leader");
    let missing = b.client.pause(&ObjectName { namespace: "shop".to_owned(), name: "user".to_owned() }).await;
    assert!(
        missing.unwrap_err().to_string().contains("404: there is no policy shop/user"),
        "and its refusal comes back"
    );

    let (code, answer) = ask(url.clone(), Some("plimsoll-forwarded")).await;
    assert_eq!((code, &answer["error"]), (503, &json!("the lead has just changed: a has it now")));
    b.standing.send_replace(Standing::Following { leader: "a".to_owned(), address: None });
    let (code, answer) = ask(url.clone(), None).await;
    assert_eq!((code, &answer["error"]), (503, &json!("a leads, and its Lease does not say where it answers")));
    let text = |base: &str| reqwest::get(format!("{base}/metrics/workloads"));
    assert!(text(&a.base).await.unwrap().text().await.unwrap().contains("kube_deployment_spec_replicas"));
    assert_eq!(text(&b.base).await.unwrap().text().await.unwrap(), "", "what is told twice counts twice");

    a.shutdown.cancel();
    b.standing.send_replace(Standing::Following { leader: "a".to_owned(), address: Some(a.base.clone()) });
    let gone = || async {
        let (code, answer) = ask(url.clone(), None).await;
        (code == 503).then(|| answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    let error = loop {
        if let Some(error) = gone().await {
            break error;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(error.starts_with("the autoscaler that leads did not answer at http://127.0.0.1:"), "{error}");
    b.shutdown.cancel();
    while tasks.join_next().await.is_some() {}
}
