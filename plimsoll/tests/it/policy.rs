//! `plimsoll policy`: the examples are right, cases pass and fail as they should, and others' autoscalers become policies that are right.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::PLIMSOLL;

/// Exit code, what was printed, what was said of it.
fn policy(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PLIMSOLL).arg("policy").args(arguments).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn example(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../autoscaler/tests/policies").join(name);
    file.to_str().expect("the folder's name is text").to_owned()
}

#[test]
fn the_example_with_every_field_is_right() {
    assert_eq!(policy(&["check", &example("all-fields.yaml")]).1, "ok: 1 policy in 1 file\n");
}

#[test]
fn cases_pass_and_fail() {
    let (code, said, message) = policy(&["test", &example("cases/order.yaml")]);
    assert_eq!(code, Some(0), "{said}{message}");
    let (code, said, message) = policy(&["test", &example("cases/wrong.yaml")]);
    assert_eq!(code, Some(1), "{said}{message}");
}

#[test]
fn what_is_imported_is_right() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["import/hpa-list.yaml", "import/keda-all.yaml"] {
        let (code, ours, message) = policy(&["import", &example(name)]);
        assert_eq!(code, Some(0), "{message}");
        let file = folder.path().join("policy.yaml");
        fs::write(&file, ours).unwrap();
        let (code, _, message) = policy(&["check", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{message}");
    }
    let (code, _, message) = policy(&["import", &example("import/keda-kafka.yaml")]);
    assert!(code != Some(0) && message.contains("kafka"), "{message}");
}

#[test]
fn the_schema_is_the_committed_one() {
    let committed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/schemas/scalingpolicy.json"));
    assert_eq!(policy(&["schema"]).1, committed.unwrap());
}
