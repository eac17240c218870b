//! Claims about what `/healthz` and `/readyz` answer.

use axum::body::Body;
use http::Request;
use tower::ServiceExt;

use super::*;

async fn ask(router: Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_task_that_stops_going_round_makes_the_process_unhealthy_until_it_goes_on() {
    let liveness = Liveness::default();
    let router = || Readiness::default().routes(&liveness);
    let heart = liveness.expect("the reconciler", Duration::from_secs(60));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(ask(router(), "/healthz").await, (200, "ok\n".to_owned()));
    tokio::time::advance(Duration::from_secs(1)).await;
    let words = "not healthy: the reconciler has not gone on for 61 s, and should every 60 s at least\n";
    assert_eq!(ask(router(), "/healthz").await, (503, words.to_owned()));
    heart.beat();
    assert_eq!(liveness.trouble(), None);
    tokio::time::advance(Duration::from_secs(61)).await;
    drop(heart);
    assert_eq!(liveness.trouble(), None, "nobody waits for who has ended");
}

#[tokio::test]
async fn a_lost_task_makes_the_process_unhealthy_for_good() {
    let liveness = Liveness::default();
    let mut supervisor = crate::Supervisor::new(crate::CancellationToken::new()).with_liveness(liveness.clone());
    supervisor.spawn("scraper", async { Err("disk full") });
    assert!(supervisor.run().await.is_err());
    let (code, words) = ask(Readiness::default().routes(&liveness), "/healthz").await;
    assert_eq!((code, words.as_str()), (503, "not healthy: scraper failed: disk full\n"));
    liveness.lose("another one");
    assert_eq!(liveness.trouble().unwrap(), "scraper failed: disk full", "the first one is the cause");
}

#[tokio::test]
async fn an_orderly_end_is_no_loss() {
    let liveness = Liveness::default();
    let supervisor = crate::Supervisor::new(crate::CancellationToken::new()).with_liveness(liveness.clone());
    supervisor.shutdown().cancel();
    assert!(supervisor.run().await.is_ok());
    assert_eq!(liveness.trouble(), None);
}

#[tokio::test]
async fn readiness_says_what_is_missing_and_notes_what_is_worth_knowing() {
    let report = Report { missing: vec!["the Lease".to_owned()], notes: vec!["no targets yet".to_owned()] };
    let missing = report.clone();
    let router = routes(&Liveness::default(), move || missing.clone());
    assert_eq!(ask(router, "/readyz").await, (503, "not ready: the Lease\nnote: no targets yet\n".to_owned()));
    let ready = Report { missing: Vec::new(), ..report };
    let router = routes(&Liveness::default(), move || ready.clone());
    assert_eq!(ask(router, "/readyz").await, (200, "ok\nnote: no targets yet\n".to_owned()));
}
