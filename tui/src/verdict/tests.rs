//! Claims about the sentence on top.

use crate::fixtures::{self, NOW_MS, blame};
use crate::picture::{Breaker, Picture, Source};
use std::sync::Arc;

use super::*;

fn said(picture: Picture) -> Verdict {
    fixtures::app(picture, (80, 24)).verdict
}

#[test]
fn names_payment_as_failing_and_browsing_as_well() {
    let verdict = said(fixtures::payment_failing());
    assert_eq!(verdict.health, Health::Failing);
    assert_eq!(
        verdict.text,
        "payment is failing: 100% of requests answer errors since 14:02:10 · browse, search, sign-in and track are well · \
         checkout: orders wait for payment (pending) · order: waits for payment (its breaker is open)"
    );
}

#[test]
fn says_what_broke_since_when_whom_it_hurts_and_what_is_safe_as_the_collector_judges() {
    let verdict = said(blame::payment_blamed());
    assert_eq!(verdict.health, Health::Failing);
    assert_eq!(
        verdict.text,
        "payment is failing since 14:02:10: 96 % of what fails ends here · checkout: orders wait for payment \
         (pending) · order suffers · gateway is isolated and well · browse, search, sign-in and track are well"
    );
}

#[test]
fn without_journeys_the_front_door_tells_what_customers_notice() {
    let verdict = said(blame::database_slow());
    assert_eq!(verdict.health, Health::Degraded);
    assert_eq!(
        verdict.text,
        "catalogue-db is slow: calls to it take x14.2 since 14:02:10 · also suspected: \
         search · customers notice: GET /products (slow) and GET /search (7.0% fail) · product suffers · gateway, inventory, \
         notification, order, payment and 3 more are not affected"
    );
}

#[test]
fn what_fails_without_being_blamed_is_told_all_the_same() {
    let mut picture = blame::payment_blamed();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.services.get_mut(&fixtures::key("review")).unwrap().red.error_ratio = 0.5;
    picture.metrics.data = Some(Arc::new(metrics));
    let text = said(picture).text;
    assert!(text.contains("ends here · review is failing too · "), "{text}");
}

#[test]
fn names_payment_also_when_the_breaker_lets_nothing_through() {
    let mut picture = fixtures::payment_failing();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.services.get_mut(&fixtures::key("payment")).unwrap().red = protocol::graph::Red::default();
    picture.metrics.data = Some(Arc::new(metrics));
    let text = said(picture).text;
    assert!(text.starts_with("payment is failing (order's breaker is open) since 14:02:10 · "), "{text}");
    assert!(text.contains("browse, search, sign-in and track are well"), "{text}");
}

#[test]
fn says_that_all_is_well() {
    let verdict = said(fixtures::healthy());
    assert_eq!(
        (verdict.health, verdict.text.as_str()),
        (Health::Healthy, "all 10 services are well · every journey is well")
    );
}

#[test]
fn names_the_culprit_before_its_victims_and_what_customers_notice() {
    let text = said(fixtures::overloaded()).text;
    assert_eq!(
        text,
        "order is failing: 31% of requests answer errors since 14:02:10 · the collector names no culprit yet · 2.0% of browse journeys fail · 31% of checkout \
         journeys fail · search, sign-in and track are well · gateway suffers from order · search is slow: p99 1.3s · \
         review: 1 replica keeps crashing"
    );
}

#[test]
fn a_journey_that_takes_long_is_not_called_well() {
    let mut picture = fixtures::healthy();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.services.get_mut(&fixtures::key("search")).unwrap().red.p50_ms = Some(820.0);
    metrics.journeys.get_mut("search").unwrap().p50_ms = Some(850.0);
    picture.metrics.data = Some(Arc::new(metrics));
    assert_eq!(
        said(picture).text,
        "search journeys are slow (half of them take 850ms or more) · browse, checkout, sign-in and track are well · search is \
         slow: p50 820ms"
    );
}

#[test]
fn a_peer_that_is_back_behind_an_open_breaker_is_said_to_be_back() {
    let mut picture = fixtures::healthy();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.services.get_mut(&fixtures::key("gateway")).unwrap().red.error_ratio = 0.04;
    metrics.journeys.get_mut("sign-in").unwrap().error_ratio = 1.0;
    metrics.breakers.push(Breaker {
        namespace: "shop".to_owned(),
        service: "gateway".to_owned(),
        peer: "user".to_owned(),
        half_open: false,
    });
    picture.metrics.data = Some(Arc::new(metrics));
    assert_eq!(
        said(picture).text,
        "100% of sign-in journeys fail · browse, checkout, search and track are well · gateway suffers from user (back, but \
         a breaker is still open)"
    );
}

#[test]
fn journeys_that_fail_are_not_called_well_because_every_service_is() {
    let mut picture = fixtures::healthy();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.journeys.get_mut("checkout").unwrap().error_ratio = 0.26;
    picture.metrics.data = Some(Arc::new(metrics));
    let verdict = said(picture);
    assert_eq!(verdict.health, Health::Failing);
    assert_eq!(
        verdict.text,
        "26% of checkout journeys fail · browse, search, sign-in and track are well · all 10 services are well"
    );
}

#[test]
fn without_journeys_the_services_that_are_well_are_named() {
    let mut picture = fixtures::payment_failing();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.journeys.clear();
    picture.metrics.data = Some(Arc::new(metrics));
    let text = said(picture).text;
    assert!(text.contains("gateway, inventory, notification, product, recommendation and 3 more are well"), "{text}");
}

#[test]
fn old_metrics_are_said_to_be_old() {
    let text = said(fixtures::disconnected()).text;
    assert_eq!(text, "metrics are 12s old (connection refused): what follows is the last that was known");
}

#[test]
fn nothing_yet_is_said_too() {
    assert_eq!(said(Picture::default()).text, "waiting for the first metrics");
    let mut picture = Picture::default();
    picture.metrics.failed(crate::picture::Trouble::Down("connection refused".to_owned()));
    assert!(said(picture).text.contains("the collector does not answer (connection refused)"));
    let mut picture = Picture::default();
    picture.metrics.answered(crate::picture::Metrics::default(), NOW_MS);
    assert!(said(picture).text.contains("no service has served a request yet"));
}

#[test]
fn a_breaker_of_old_metrics_accuses_nobody() {
    let mut picture = fixtures::healthy();
    let mut metrics = picture.metrics.data.as_deref().cloned().unwrap();
    metrics.breakers.push(Breaker {
        namespace: "shop".to_owned(),
        service: "order".to_owned(),
        peer: "user".to_owned(),
        half_open: false,
    });
    picture.metrics = Source { data: Some(Arc::new(metrics)), at_ms: Some(NOW_MS - 60_000), trouble: None };
    let app = fixtures::app(picture, (80, 24));
    assert!(app.rows.iter().all(|r| r.assessment.health == Health::Unknown));
}
