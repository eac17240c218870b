//! Claims about laying the collector's verdict over rows.

use std::sync::Arc;

use super::*;
use crate::fixtures::{self, NOW_MS, blame};
use crate::picture::{STALE_AFTER_MS, ServiceKey, Trouble};
use crate::triage;

fn rows(picture: &Picture) -> Vec<Row> {
    triage::rows(picture, NOW_MS)
}

fn row<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

#[test]
fn each_role_is_told_with_its_reason() {
    let rows = rows(&blame::payment_blamed());
    let told = |name: &str| {
        let row = row(&rows, name);
        (row.role, row.assessment.health, row.assessment.why.as_str(), row.assessment.because_of.as_str())
    };
    assert_eq!(told("payment"), (Some(Role::Culprit), Health::Failing, "100% of requests answer errors", ""));
    let waits = "waits for payment (its breaker is open)";
    assert_eq!(told("order"), (Some(Role::Victim), Health::Victim, waits, "payment"));
    let kept = "isolated from payment: 12 % of its calls to order fail, and it serves its callers all the same";
    assert_eq!(told("gateway"), (Some(Role::Isolated), Health::Healthy, kept, "payment"));
    assert_eq!(told("search"), (Some(Role::Unaffected), Health::Healthy, "", ""));
}

#[test]
fn a_culprit_that_is_slow_is_degraded_and_a_victim_says_whose() {
    let rows = rows(&blame::database_slow());
    let search = row(&rows, "search");
    assert_eq!((search.role, search.assessment.health), (Some(Role::Culprit), Health::Degraded));
    let product = &row(&rows, "product").assessment;
    assert_eq!(product.why, "victim of catalogue-db: 63 % of its requests are late");
}

#[test]
fn whom_the_collector_clears_is_no_victim() {
    let mut picture = fixtures::overloaded();
    let mut faults = blame::payment();
    faults.services.iter_mut().for_each(|part| part.role = Role::Unaffected);
    picture.faults.answered(faults, NOW_MS);
    let rows = rows(&picture);
    let gateway = &row(&rows, "gateway").assessment;
    assert_eq!((gateway.health, gateway.because_of.as_str()), (Health::Degraded, ""));
    assert_eq!(gateway.why, "12% of requests answer errors");
}

#[test]
fn a_verdict_counts_only_while_it_is_fresh_and_has_seen_spans() {
    let picture = blame::payment_blamed();
    let judged = |picture: &Picture, at_ms| in_force(picture, at_ms).is_some();
    assert!(judged(&picture, NOW_MS) && !judged(&picture, NOW_MS + STALE_AFTER_MS));
    assert!(rows(&picture).iter().all(|row| row.role.is_some()));
    let mut gone = picture.clone();
    gone.faults.failed(Trouble::Missing("gone".to_owned()));
    let mut blind = picture.clone();
    blind.faults.data = Some(Arc::new(Faults { watch: Watch::Blind, ..blame::payment() }));
    for picture in [gone, blind, fixtures::healthy()] {
        assert!(rows(&picture).iter().all(|row| row.role.is_none()));
    }
}

#[test]
fn of_two_services_of_one_name_the_worse_one_has_the_role() {
    let mut picture = fixtures::kubernetes::picture();
    let mut faults = blame::payment();
    faults.suspects[0].service = "order".to_owned();
    for part in &mut faults.services {
        part.role = if part.service == "order" { Role::Culprit } else { Role::Unaffected };
    }
    picture.faults.answered(faults, NOW_MS);
    let rows = rows(&picture);
    let role = |namespace: &str| {
        rows.iter().find(|row| row.key == ServiceKey::new(namespace, "order")).and_then(|row| row.role)
    };
    assert_eq!((role("shop"), role("staging")), (None, Some(Role::Culprit)));
}
