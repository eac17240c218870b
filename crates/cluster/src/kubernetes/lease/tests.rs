//! Candidates before an API server in memory: what they write into the Lease, how one follows another, and what becomes of a lead
//! when the API server falls silent. Time is paused.

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::kubernetes::tests::fake_api::FakeApi;

struct Candidate {
    standing: watch::Receiver<Standing>,
    fence: LeaseFence,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn candidate(api: &FakeApi, identity: &str) -> Candidate {
    let candidacy = Candidacy {
        namespace: "plimsoll".to_owned(),
        name: "plimsoll-autoscaler".to_owned(),
        identity: identity.to_owned(),
        address: Some(format!("http://{identity}:9091")),
        terms: Terms::default(),
    };
    let elector = Elector::over(api.client(), candidacy);
    let (standing, fence, stop) = (elector.standing(), elector.fence(), CancellationToken::new());
    let token = stop.clone();
    let task = tokio::spawn(async move { elector.run(token).await.unwrap() });
    Candidate { standing, fence, stop, task }
}

impl Candidate {
    async fn until(&mut self, what: &str, wanted: impl FnMut(&Standing) -> bool) -> Duration {
        let began = Instant::now();
        let found = timeout(Duration::from_secs(60), self.standing.wait_for(wanted)).await;
        found.unwrap_or_else(|_| panic!("never {what}")).unwrap();
        began.elapsed()
    }

    async fn leads(&mut self) -> Duration {
        self.until("leading", |standing| *standing == Standing::Leading).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn lease(api: &FakeApi) -> serde_json::Value {
    api.get("leases", "plimsoll", "plimsoll-autoscaler")
}

#[tokio::test(start_paused = true)]
async fn the_first_leads_the_second_follows_and_takes_over_at_once_when_the_lease_is_given_back() {
    let api = FakeApi::new();
    let mut first = candidate(&api, "a");
    first.leads().await;
    assert!(first.fence.check().unwrap() <= Instant::now() + Terms::default().renew);
    let spec = lease(&api)["spec"].clone();
    assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("a"), &json!(0)));
    assert_eq!(lease(&api)["metadata"]["annotations"], json!({"plimsoll.dev/address": "http://a:9091"}));

    let mut second = candidate(&api, "b");
    let following = Standing::Following { leader: "a".to_owned(), address: Some("http://a:9091".to_owned()) };
    second.until("following", |standing| *standing == following).await;
    assert_eq!(second.fence.check(), Err("a leads".to_owned()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((&*first.standing.borrow(), &*second.standing.borrow()), (&Standing::Leading, &following));

    let fence = first.fence.clone();
    first.end().await;
    assert_eq!(fence.check(), Err("this autoscaler is shutting down".to_owned()));
    let took = second.leads().await;
    assert!(took <= Duration::from_secs(2), "{took:?}");
    let spec = lease(&api)["spec"].clone();
    assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("b"), &json!(1)));
    assert_eq!(lease(&api)["metadata"]["annotations"], json!({"plimsoll.dev/address": "http://b:9091"}));
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_within_the_time_promised() {
    let api = FakeApi::new();
    let mut first = candidate(&api, "a");
    first.leads().await;
    let mut second = candidate(&api, "b");
    tokio::time::sleep(Duration::from_secs(7)).await;
    first.task.abort();
    let took = second.leads().await;
    assert!(took > Duration::from_secs(8) && took <= Duration::from_secs(13), "{took:?}");
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_writing_before_anybody_else_may() {
    let api = FakeApi::new();
    let mut first = candidate(&api, "a");
    first.leads().await;
    api.cut(true);
    let took = first.until("deposed", |standing| *standing != Standing::Leading).await;
    assert!(took >= Duration::from_secs(4) && took <= Duration::from_secs(6), "{took:?}");
    let reason = first.fence.check().unwrap_err();
    assert_eq!(reason, "the Lease could not be renewed: no answer within 2 s");
    let asked = api.asked("PUT leases");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let more = api.asked("PUT leases") - asked;
    assert!((10..=35).contains(&more), "{more} tries in a minute of silence");
    api.cut(false);
    assert!(first.leads().await <= Duration::from_secs(5));
    first.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_another_holder_steps_down_at_once_and_keeps_what_others_wrote() {
    let api = FakeApi::new();
    let mut first = candidate(&api, "a");
    first.leads().await;
    // By hand, as an operator might.
    let mut taken = lease(&api);
    taken["spec"]["holderIdentity"] = json!("b");
    taken["metadata"]["labels"] = json!({"team": "shop"});
    api.put("leases", taken);
    let took = first.until("following", |standing| matches!(standing, Standing::Following { .. })).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
    first.leads().await;
    assert_eq!(lease(&api)["metadata"]["labels"], json!({"team": "shop"}));
    assert_eq!(lease(&api)["spec"]["leaseTransitions"], json!(1));
    first.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_may_not_be_touched_is_said_in_the_api_servers_words() {
    let api = FakeApi::new();
    api.forbid("leases", true);
    let mut first = candidate(&api, "a");
    let forbidden =
        |standing: &Standing| matches!(standing, Standing::Nobody { reason } if reason.contains("leases is forbidden"));
    first.until("forbidden", forbidden).await;
    let asked = api.asked("GET leases");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(api.asked("GET leases") - asked <= 31);
    api.forbid("leases", false);
    first.leads().await;
    first.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_start_without_a_lease_one_leads_and_the_other_follows() {
    let api = FakeApi::new();
    let (mut first, mut second) = (candidate(&api, "a"), candidate(&api, "b"));
    let settled = |standing: &Standing| !matches!(standing, Standing::Nobody { .. });
    tokio::join!(first.until("settled", settled), second.until("settled", settled));
    for _ in 0..600 {
        assert!(first.fence.check().is_err() || second.fence.check().is_err(), "both lead");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let leads = |candidate: &Candidate| *candidate.standing.borrow() == Standing::Leading;
    assert!(leads(&first) != leads(&second));
    first.end().await;
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_under_its_leader_makes_no_second_one() {
    let api = FakeApi::new();
    let mut first = candidate(&api, "a");
    first.leads().await;
    // Nobody hears of the deletion before the next renewal, and who starts now has never seen the Lease.
    api.delete("leases", "plimsoll", "plimsoll-autoscaler");
    let mut second = candidate(&api, "b");
    for _ in 0..300 {
        assert!(first.fence.check().is_err() || second.fence.check().is_err(), "both lead");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let settled = |standing: &Standing| !matches!(standing, Standing::Nobody { .. });
    tokio::join!(first.until("settled", settled), second.until("settled", settled));
    first.end().await;
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_can_be_read_and_not_written_is_not_written_in_a_loop() {
    let api = FakeApi::new();
    let mut first = candidate(&api, "a");
    first.leads().await;
    let mut second = candidate(&api, "b");
    api.deny("leases", Some((500, "etcdserver: mvcc: database space exceeded")));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let asked = api.asked("PUT leases");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let more = api.asked("PUT leases") - asked;
    assert!((40..=70).contains(&more), "{more} tries of two in a minute");
    api.deny("leases", None);
    tokio::select! {
        _ = first.leads() => {}
        _ = second.leads() => {}
    }
    first.end().await;
    second.end().await;
}
