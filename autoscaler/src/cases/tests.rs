//! The unit tests of cases: an example that holds, the words of one that does not, and what is refused.

use std::path::PathBuf;

use super::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/cases").join(name)
}

#[test]
fn the_example_holds() {
    let report = load(&file("order.yaml")).unwrap().run();
    let failures: String = report.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures}");
    assert!(report.cases >= 6 && report.compared >= 15, "{report:?}");
    assert_eq!(report.failed, 0);
}

#[test]
fn what_does_not_hold_is_told_with_all_that_it_follows_from() {
    let report = load(&file("wrong.yaml")).unwrap().run();
    assert_eq!((report.cases, report.failed, report.compared, report.failures.len()), (2, 1, 3, 2));
    let expected = std::fs::read_to_string(file("wrong.expected")).unwrap();
    let found: String = report.failures.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

const HEAD: &str = "policy:\n  apiVersion: plimsoll.dev/v1alpha1\n  kind: ScalingPolicy\n  metadata: {name: order}\n  spec:\n\
    \x20   target: {kind: Deployment, name: order}\n    replicas: {max: 4}\n    signals:\n\
    \x20     - utilization: {resource: cpu, target: 50%}\n      - query: {name: rate, promql: up, perReplica: 5}\n\
    \x20     - expression: {name: sum, formula: a + b, perReplica: 5, queries: [{name: a, promql: up}, {name: b, promql: up}]}\n\
    \x20     - schedule: {name: night, cron: 0 22 * * *, replicas: 2, for: 1h}\n";

fn refused(rest: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.yaml");
    std::fs::write(&path, format!("{HEAD}{rest}")).unwrap();
    let message = load(&path).unwrap_err().to_string();
    message.split_once("cases.yaml: document 1: ").unwrap_or_else(|| panic!("{message}")).1.to_owned()
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let step = |step: &str| refused(&format!("cases: [{{name: a, replicas: 2, steps: [{step}]}}]\n"));
    let reading = |reading: &str| step(&format!("{{at: 0s, readings: {{{reading}}}, expect: {{replicas: 2}}}}"));
    for (found, expected) in [
        (refused("cases: []\n"), "cases: expected at least one case"),
        (refused("every: 0s\ncases: []\n"), "every: found 0s, expected more"),
        (refused("name: cart\ncases: []\n"), "name: there is no policy cart, expected one of order"),
        (step("{at: 0s}"), "cases[0].steps: expected at least one step with expect"),
        (
            step("{at: 7s, expect: {replicas: 2}}"),
            "cases[0].steps[0].at: found 7s, expected a multiple of 15s, when a tick is, and at most 100000 of them",
        ),
        (
            step("{at: 15s, expect: {replicas: 2}}, {at: 15s}"),
            "cases[0].steps[1].at: expected a later time than that of the step before",
        ),
        (
            reading("cpu: 65%"),
            "cases[0].steps[0].readings.cpu: there is no signal of this name, expected one of cpu utilization, rate, sum, night",
        ),
        (
            reading("cpu utilization: 65"),
            "cases[0].steps[0].readings.cpu utilization: found 65, expected missing, unavailable, 65% of each replica, \
             [65%, missing] one by one, or {work: 130%} that all share",
        ),
        (
            reading("rate: many"),
            "cases[0].steps[0].readings.rate: found \"many\", expected a number, missing, unavailable, or value and age",
        ),
        (
            reading("rate: {value: 5, old: 3s}"),
            "cases[0].steps[0].readings.rate: unknown field old, expected value and age",
        ),
        (reading("rate: {value: 5, age: old}"), "cases[0].steps[0].readings.rate.age: expected a duration such as 30s"),
        (reading("sum: {c: 1}"), "cases[0].steps[0].readings.sum: there is no query c, expected a, b"),
        (
            reading("night: 1"),
            "cases[0].steps[0].readings.night: a schedule reads nothing but the time: set start of the case, and at",
        ),
    ] {
        assert_eq!(found, expected);
    }
    assert!(
        step("{at: 0s, expect: {replicas: 2, reason: Tolerance}}")
            .contains("found \"Tolerance\", expected one of SignalAboveTarget")
    );
    assert!(
        refused("cases: [{name: a, start: noon, replicas: 1, steps: []}]\n").contains("cases[0].start: found \"noon\"")
    );
    let wrong_policy = HEAD.replace("max: 4", "max: 0");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), format!("{wrong_policy}cases: []\n")).unwrap();
    let message = load(&folder.path().join("a.yaml")).unwrap_err();
    assert_eq!(
        (message.field.as_str(), message.message.as_str()),
        ("policy.spec.replicas.max", "found 0, expected 1 to 150000")
    );
}
