//! The unit tests of imports: files beside what comes of each, and what holds for every one.

use std::path::{Path, PathBuf};

use super::*;
use crate::policy::from_documents;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/import")
}

fn queries(names: &[&str]) -> Queries {
    names.iter().map(|name| ((*name).to_owned(), format!("sum({name}_total)"))).collect()
}

/// What `plimsoll policy import` says of a file, in its order.
fn said(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let name = Path::new(file.file_name().unwrap());
    let given =
        if name == Path::new("hpa-all.yaml") { queries(&["requests", "hits", "queue"]) } else { Queries::new() };
    match import(&protocol::yaml::split(name, &text), &given) {
        Ok(imported) => {
            let warnings: String = imported.warnings.iter().map(|warning| format!("# warning: {warning}\n")).collect();
            format!("{warnings}{}", imported.yaml)
        }
        Err(error) => format!("# error: {error}\n"),
    }
}

/// Each `NAME.yaml` stands beside `NAME.expected`: warnings as comments and the policies, or the error.
#[test]
fn what_comes_of_each_file_is_what_stands_beside_it() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    assert!(files.len() >= 15, "only {} files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let (beside, found) = (file.with_extension("expected"), said(&file));
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}: found\n{found}", beside.display()));
        }
        if !found.starts_with("# error") {
            let policies = from_documents(protocol::yaml::split(&beside, &found)).unwrap();
            assert!(policies.iter().all(|policy| !policy.signals.is_empty()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_query_for_no_metric_is_refused() {
    let text = std::fs::read_to_string(folder().join("keda-all.yaml")).unwrap();
    let error = import(&protocol::yaml::split(Path::new("a.yaml"), &text), &queries(&["lag"])).unwrap_err();
    assert_eq!(error.to_string(), "a.yaml: document 1: --promql lag: no metric that needs one is called so");
}

#[test]
fn windows_are_as_long_as_the_clock_on_the_wall_says() {
    let window =
        |start: &str, end: &str, zone: &str| cron::window(start, end, zone).map(|w| (w.lasts.as_secs(), w.changed_on));
    assert_eq!(window("0 8 * * 1-5", "0 18 * * 1-5", "Europe/Madrid"), Ok((36_000, None)));
    assert_eq!(window("0 22 * * 5", "0 6 * * 1", "UTC"), Ok((56 * 3600, None)));
    assert_eq!(window("0 22 * * *", "0 6 * * *", "Europe/Madrid"), Ok((28_800, Some("2025-03-29".to_owned()))));
    assert_eq!(window("0 0 29 2 *", "0 0 1 3 *", "UTC"), Ok((86_400, None)));
    let (field, message) = window("0 0 1 * *", "0 0 L * *", "UTC").unwrap_err();
    assert_eq!(field, "end");
    assert!(message.starts_with("the window of 2025-02-01T00:00:00 lasts 27d"), "{message}");
}

proptest::proptest! {
    #[test]
    fn importing_never_panics(text in "[a-z:{}\\[\\]0-9%. \n-]{0,120}") {
        for head in ["apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n", "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\n", ""] {
            let _ = import(&protocol::yaml::split(Path::new("a.yaml"), &format!("{head}{text}")), &Queries::new());
        }
    }
}
