//! Claims about the report's list of suspects.

use protocol::faults::{BlastRadius, Evidence, FaultKind, ServiceRole, Suspect};
use protocol::graph::NodeKind;

use super::*;

const START_MS: i64 = 1_700_000_000_000;

fn evidence(text: &str) -> Evidence {
    let (kind, text) = ("own_errors".to_owned(), text.to_owned());
    Evidence { kind, text, value: None, usual: None, since_ms: None, query: None, traces: None }
}

fn suspect(service: &str, since_ms: i64) -> Suspect {
    Suspect {
        service: service.to_owned(),
        node: NodeKind::Service,
        fault: FaultKind::Errors,
        score: 0.9,
        since_ms,
        evidence: vec![evidence("96 % of what fails ends here"), evidence("its failures are HTTP 500")],
        blast_radius: BlastRadius::default(),
    }
}

fn role((service, role): (&str, Role)) -> ServiceRole {
    ServiceRole {
        service: service.to_owned(),
        node: NodeKind::Service,
        role,
        because_of: String::new(),
        why: if role == Role::Victim { "its orders wait".to_owned() } else { String::new() },
        since_ms: None,
        breakers: Vec::new(),
    }
}

fn well() -> Faults {
    let services = ["order", "payment", "search"].map(|service| role((service, Role::Unaffected)));
    Faults { at_ms: START_MS, services: services.into(), ..Faults::default() }
}

fn payment_is_out(since_ms: i64) -> Faults {
    let services = [("order", Role::Victim), ("payment", Role::Culprit), ("search", Role::Unaffected)].map(role);
    Faults { suspects: vec![suspect("payment", since_ms)], services: services.into(), ..well() }
}

/// Journeys by now: checkouts fail from second 30 on, and of the searches one in a hundred always does.
fn counts(second: u64) -> Counts {
    let failed = second.saturating_sub(30);
    let counts = [("browse", (second * 10, 0)), ("checkout", (second * 3, failed)), ("search", (second * 100, second))];
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// The list after a minute and a half in which payment is named from second 38 to second 75.
fn seen() -> Vec<SuspectReport> {
    let mut record = Record::new(START_MS);
    for second in 0..90 {
        let now_ms = START_MS + second as i64 * 1_000;
        record.count(counts(second), now_ms);
        let faults = if (38..75).contains(&second) { payment_is_out(START_MS + 30_000) } else { well() };
        record.take(&faults, now_ms);
    }
    record.seen
}

#[test]
fn everybody_is_told_when_somebodys_part_changes_and_the_culprit_first() {
    let seen = seen();
    let times: Vec<f64> = seen.iter().map(|entry| entry.at).collect();
    assert_eq!(times, [[38.0; 6], [75.0; 6]].concat(), "{seen:#?}");
    let words: Vec<String> =
        seen.iter().take(6).map(|e| format!("{} {} {} {:.1}", e.kind, e.service, e.role.word(), e.score)).collect();
    let expected = [
        "service payment culprit 0.9",
        "service order victim 0.0",
        "service search unaffected 0.0",
        "journey browse unaffected 0.0",
        "journey checkout victim 0.0",
        "journey search unaffected 0.0",
    ];
    assert_eq!(words, expected);
    assert_eq!(seen[0].evidence, ["96 % of what fails ends here", "its failures are HTTP 500"]);
    assert_eq!(seen[1].evidence, ["its orders wait"]);
    assert_eq!(seen[4].evidence, ["8 of 24 checkout journeys have failed since, 0 of 90 before"]);
    assert!(seen[6..].iter().all(|entry| entry.role != Role::Culprit), "{seen:#?}");
}

#[test]
fn without_a_culprit_nothing_is_told() {
    let mut record = Record::new(START_MS);
    record.count(counts(60), START_MS);
    record.take(&well(), START_MS);
    assert_eq!(record.seen, []);
}

#[test]
fn the_list_is_bounded() {
    let mut record = Record::new(START_MS);
    record.count(counts(60), START_MS);
    for second in 0..20_000 {
        let faults = if second % 2 == 0 { payment_is_out(START_MS) } else { well() };
        record.take(&faults, START_MS + second * 1_000);
    }
    assert!(record.seen.len() <= ENTRIES_MAX && record.seen.len() > ENTRIES_MAX - 6 && record.is_full);
}

#[test]
fn a_report_names_roles_in_the_words_of_the_api() {
    let json = serde_json::to_value(&seen()[0]).unwrap();
    assert_eq!((&json["role"], &json["at"], &json["kind"]), (&"culprit".into(), &38.0.into(), &"service".into()));
}
