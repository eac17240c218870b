//! Each fault as whoever calls the service meets it: what is promised of the service is broken while it is on, and kept again
//! after it was switched off; the admin port tells the truth about it all the time.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use demo_services::chassis::{Config, FaultKind};
use demo_services::service;
use futures::future::join_all;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::started::{SECRET, Started, eventually, nobody, peers, stand_in};

/// Requests at a time: enough to meet at a lock, a pool or a cache.
const AT_ONCE: usize = 4;
/// Rounds in a row that must go well before a service is believed to be well.
const ROUNDS: usize = 3;
/// A caller's patience; who hangs is found out after so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// A fault is noticed within this, or it is none.
const IMPACT: Duration = Duration::from_secs(15);
/// A breaker that was opened meanwhile lets the first call pass after five seconds.
const RECOVERY: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

/// What a service's callers notice.
#[derive(Debug, Clone, Copy)]
enum Symptom {
    Fails,
    TakesLonger(u64),
    /// Than this replica usually does on this machine.
    TakesThreeTimes,
}

/// One way to ask a service for what it is there for.
#[derive(Debug, Clone, Copy)]
enum Subject {
    /// Reads from its store.
    Review,
    /// Its work takes CPU.
    BusyReview,
    /// Compares a date with today's.
    Payment,
    /// Takes events in.
    Notification,
    /// Calls somebody who takes 20 ms.
    Gateway,
}

struct Running {
    subject: Subject,
    service: Started,
    http: Client,
    _folder: tempfile::TempDir,
    asked: AtomicUsize,
}

impl Running {
    async fn start(subject: Subject) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = match subject {
            Subject::Review | Subject::BusyReview => "review",
            Subject::Payment => "payment",
            Subject::Notification => "notification",
            Subject::Gateway => "gateway",
        };
        let slow = || async {
            tokio::time::sleep(SHORT).await;
            Json(json!(["books"]))
        };
        let product = stand_in(Router::new().route("/categories", get(slow))).await;
        let service = Started::service(Config {
            store_url: Some(format!("sqlite://{}/{name}.db", folder.path().display())),
            token_secret: Some(SECRET.to_owned()),
            peers: peers(&[("product", product)]).await,
            work: if matches!(subject, Subject::BusyReview) { SHORT } else { Duration::ZERO },
            ..Config::on_loopback(name)
        })
        .await;
        let http = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { subject, service, http, _folder: folder, asked: AtomicUsize::new(0) }
    }

    fn request(&self) -> RequestBuilder {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        match self.subject {
            Subject::Review | Subject::BusyReview => self.http.get(self.service.url("/products/p-0001/reviews")),
            Subject::Gateway => self.http.get(self.service.url("/api/categories")),
            Subject::Payment => {
                let card = json!({"number": "4242424242424242", "expiry": "12/30", "cvc": "123"});
                self.http.post(self.service.url("/cards")).json(&card)
            }
            Subject::Notification => {
                let order = json!({"id": format!("o-{number}"), "user_id": "ann", "state": "pending", "lines": [],
                                   "total_cents": 1, "reason": "", "created_at_ms": 0});
                let event = json!({"id": format!("o-{number}:placed"), "kind": "placed", "order": order});
                self.http.post(self.service.url("/events")).json(&event)
            }
        }
    }

    /// Asks several times at once; whether any of the answers had the symptom.
    async fn shows(&self, symptom: Symptom) -> bool {
        let asked = (0..AT_ONCE).map(|_| async {
            let (began, answer) = (Instant::now(), self.request().send().await);
            match symptom {
                Symptom::Fails => !answer.is_ok_and(|answer| answer.status().is_success()),
                Symptom::TakesLonger(ms) => began.elapsed() > Duration::from_millis(ms),
                Symptom::TakesThreeTimes => unreachable!("it is measured before"),
            }
        });
        join_all(asked).await.contains(&true)
    }

    /// With what is usual measured, where that decides.
    async fn measured(&self, symptom: Symptom) -> Symptom {
        if !matches!(symptom, Symptom::TakesThreeTimes) {
            return symptom;
        }
        let mut longest = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            self.shows(Symptom::Fails).await;
            longest = longest.max(u64::try_from(began.elapsed().as_millis()).unwrap());
        }
        Symptom::TakesLonger(3 * longest)
    }

    /// Asks without a break, as a pause between would fall together with those of the service.
    async fn is_noticed(&self, symptom: Symptom) -> bool {
        let give_up = Instant::now() + IMPACT;
        while Instant::now() < give_up {
            if self.shows(symptom).await {
                return true;
            }
        }
        false
    }

    async fn is_well(&self, symptom: Symptom, patience: Duration) -> bool {
        let (give_up, mut rounds) = (Instant::now() + patience, 0);
        while rounds < ROUNDS && Instant::now() < give_up {
            rounds = if self.shows(symptom).await { 0 } else { rounds + 1 };
        }
        rounds == ROUNDS
    }

    async fn switch(&self, method: Method, kind: FaultKind, value: Option<&str>) -> StatusCode {
        let call = self.http.request(method, self.service.admin_url(&format!("/faults/{kind}")));
        call.json(&json!({"value": value})).send().await.unwrap().status()
    }

    /// Whether the admin port says that the fault is on, in both ways that it has.
    async fn is_told(&self, kind: FaultKind) -> bool {
        let answer = |path| async move { reqwest::get(self.service.admin_url(path)).await.unwrap() };
        let metrics = answer("/metrics").await.text().await.unwrap();
        let listed: Vec<Value> = answer("/faults").await.json().await.unwrap();
        let on = metrics.contains(&format!("shop_fault_active{{kind=\"{kind}\"}} 1"));
        assert_eq!(listed.iter().any(|fault| fault["kind"] == kind.name()), on, "{kind}: {listed:?}");
        on
    }
}

async fn moves_and_recovers(running: &Running, kind: FaultKind, value: Option<&str>, symptom: Symptom) {
    let case = format!("{} with {kind}={value:?}", running.service.http);
    let symptom = running.measured(symptom).await;
    assert!(running.is_well(symptom, RECOVERY).await, "{case}: is not well before");
    assert!(!running.is_told(kind).await);
    assert_eq!(running.switch(Method::PUT, kind, value).await, StatusCode::NO_CONTENT, "{case}");
    assert!(running.is_noticed(symptom).await, "{case}: nobody notices {symptom:?}");
    assert!(running.is_told(kind).await, "{case}");
    assert_eq!(running.switch(Method::DELETE, kind, None).await, StatusCode::NO_CONTENT, "{case}");
    assert!(running.is_well(symptom, RECOVERY).await, "{case}: does not recover");
    assert!(!running.is_told(kind).await, "{case}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_breaks_what_is_promised_until_it_is_switched_off() {
    use FaultKind as Kind;
    use Subject::{BusyReview, Gateway, Notification, Payment, Review};
    use Symptom::{Fails, TakesLonger, TakesThreeTimes};
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let many = (cores * 16).min(64).to_string();
    let cases = [
        (Review, Kind::Error, Some("1"), Fails),
        (Review, Kind::Latency, Some("300ms"), TakesLonger(280)),
        (Review, Kind::TailLatency, Some("900ms"), TakesLonger(800)),
        (Review, Kind::Leak, Some("64Mi"), TakesLonger(60)),
        (Review, Kind::Pause, Some("900ms"), TakesLonger(600)),
        (Review, Kind::Lock, Some("200ms"), TakesLonger(500)),
        (Review, Kind::Pool, Some("4"), Fails),
        (Review, Kind::SlowStore, Some("300ms"), TakesLonger(280)),
        (Review, Kind::StoreDown, None, Fails),
        (Review, Kind::Stampede, Some("400ms"), TakesLonger(350)),
        (Review, Kind::BadDeploy, Some("9.9.9"), Fails),
        (Review, Kind::Zone, Some("1"), Fails),
        (Review, Kind::Hang, None, Fails),
        (BusyReview, Kind::Cpu, Some(many.as_str()), TakesThreeTimes),
        (Payment, Kind::ClockSkew, Some("9y"), Fails),
        (Notification, Kind::QueueLag, Some("200ms"), TakesLonger(500)),
        (Notification, Kind::Poison, Some("1"), Fails),
        (Gateway, Kind::RetryStorm, Some("5ms"), Fails),
        (Gateway, Kind::Unreachable, Some("product"), Fails),
    ];
    for (subject, kind, value, symptom) in cases {
        // A replica of its own: what one leaves behind is not to help the next.
        moves_and_recovers(&Running::start(subject).await, kind, value, symptom).await;
    }
    let tried: BTreeSet<Kind> = cases.iter().map(|(_, kind, ..)| *kind).chain([Kind::Crash]).collect();
    assert_eq!(tried, Kind::all().collect::<BTreeSet<_>>(), "each kind is tried, a crash below");
}

/// A replica as a process, as only a process can crash.
async fn process(http: &str, admin: &str, store: &str) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_replica"))
        .env("REPLICA", "review")
        .env("REPLICA_ADDRESS", http)
        .env("REPLICA_ADMIN", admin)
        .env("REPLICA_PEERS", "{}")
        .env("STORE_URL", store)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = format!("http://{http}/readyz");
    eventually("the replica is ready", async || reqwest::get(&ready).await.is_ok_and(|a| a.status().is_success()))
        .await;
    child
}

#[tokio::test]
async fn a_crash_ends_the_process_and_the_next_one_serves() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/review.db", folder.path().display());
    let (http, admin) = (nobody().await.to_string(), nobody().await.to_string());
    let mut crashing = process(&http, &admin, &store).await;
    let call = Client::new().put(format!("http://{admin}/faults/crash")).json(&json!({"value": null}));
    assert!(call.send().await.is_err(), "nobody is left to answer");
    assert_eq!(crashing.wait().await.unwrap().code(), Some(1));
    assert!(reqwest::get(format!("http://{http}/healthz")).await.is_err());
    let _next = process(&http, &admin, &store).await;
    assert!(reqwest::get(format!("http://{http}/products/p-1/reviews")).await.unwrap().status().is_success());
}

#[tokio::test]
async fn what_is_said_of_services_is_what_they_are() {
    let stop = lifecycle::CancellationToken::new();
    for name in service::NAMES {
        let secret = Some(SECRET.to_owned());
        let config = Config { token_secret: secret, peers: peers(&[]).await, ..Config::on_loopback(name) };
        let without_store = service::start(config.clone(), stop.clone()).await.map(drop);
        let asks_for_one = without_store.is_err_and(|error| error.to_string().contains("STORE_URL"));
        assert_eq!(service::has_store(name), asks_for_one, "{name}");

        let folder = tempfile::tempdir().unwrap();
        let store_url = Some(format!("sqlite://{}/{name}.db", folder.path().display()));
        let started = service::start(Config { store_url, ..config }, stop.clone()).await.unwrap();
        let metrics = started.context().metrics().encode().unwrap();
        let breakers =
            metrics.lines().filter_map(|line| line.strip_prefix("circuit_breaker_state{peer=\"")?.split('"').next());
        let called: BTreeSet<&str> = breakers.collect();
        assert_eq!(called, service::peers(name).iter().copied().collect::<BTreeSet<_>>(), "{name}");
        drop(started);
    }
}
