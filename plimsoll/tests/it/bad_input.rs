//! Whatever is wrong with flags, files and ports: exit code 2, one message with the place and what was expected.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use super::process::PLIMSOLL;

/// Runs the binary and gives exit code and standard error.
fn plimsoll(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PLIMSOLL).args(arguments).output().expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn refused(arguments: &[&str], expected: &[&str]) {
    let (code, message) = plimsoll(arguments);
    assert_eq!(code, Some(2), "{arguments:?}: {message}");
    for text in expected {
        assert!(message.contains(text), "{arguments:?}: {text:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn flags_that_are_wrong_are_named() {
    refused(&["demo", "--fault", "payments:error=1@3"], &["--fault", "there is no service \"payments\""]);
    refused(&["demo", "--profile", "sawtooth"], &["--profile", "sawtooth", "flash-sale"]);
    refused(&["demo", "--rate", "-3"], &["--rate"]);
    refused(&["demo", "--headless"], &["--seconds"]);
    refused(&["demo", "--profile", "trace:/nowhere.csv"], &["/nowhere.csv"]);
    refused(&["demo", "--fault", "payment:latency=2m@3"], &["--fault", "300ms", "1m"]);
    refused(&["demo", "--fault", "search:pool=2@3"], &["--fault", "search", "has no store", "payment"]);
    refused(&["demo", "--fault", "order:unreachable=search@3"], &["--fault", "a service that it calls: product"]);
    refused(&["demo", "--seconds", "20", "--fault", "payment:error=1@30"], &["payment:error=1@30", "--seconds"]);
    refused(&["shop", "serve", "bakery"], &["bakery", "gateway"]);
}

#[test]
fn a_place_that_cannot_be_written_is_known_before_the_run() {
    refused(&["demo", "--headless", "--seconds", "1", "--report", "/nowhere/a.json"], &["/nowhere/a.json", "--report"]);
    refused(&["demo", "--headless", "--seconds", "1", "--data", "/dev/null/a"], &["/dev/null/a", "--data"]);
    let shoppers = ["shop", "shoppers", "--gateway", "http://127.0.0.1:1", "--seconds", "1", "--report"];
    refused(&[&shoppers[..], &["/nowhere/b.json"]].concat(), &["/nowhere/b.json", "--report"]);
}

#[test]
fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    for flag in ["--collector", "--autoscaler", "--gateway"] {
        refused(&["demo", "--headless", "--seconds", "1", flag, &address], &[&address, flag]);
    }
}

#[test]
fn a_manifest_that_is_wrong_is_named_with_document_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n---\napiVersion: apps/v1\nkind: Deployment\n\
                metadata:\n  name: order\nspec:\n  replicaz: 2\n";
    fs::write(folder.path().join("order.yaml"), text).unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments = ["demo", "--headless", "--seconds", "1", "--manifests", path];
    refused(&arguments, &["order.yaml", "document 2", "spec", "replicaz"]);
    fs::write(folder.path().join("order.yaml"), text.replace("kind: Deployment", "kind: Deplyment")).unwrap();
    refused(&arguments, &["order.yaml", "document 2", "kind", "Deplyment"]);
}

#[test]
fn a_policy_that_is_wrong_is_named_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.yaml");
    let text = "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: { name: order, namespace: shop }\n\
                spec:\n  target: { kind: Deployment, name: order }\n  replicas: { min: 5, max: 2 }\n";
    fs::write(&file, text).unwrap();
    refused(&["policy", "check", file.to_str().unwrap()], &["p.yaml", "document 1", "spec.replicas"]);
}

#[test]
fn a_scrape_configuration_that_is_wrong_is_named_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scrape.yml");
    fs::write(&file, "scrape_configs:\n  - job_name: a\n    scrape_intervall: 5s\n").unwrap();
    refused(&["collector", "--config", file.to_str().unwrap(), "--check"], &["scrape.yml", "scrape_intervall"]);
    refused(&["collector", "--config", "/nowhere.yml"], &["/nowhere.yml"]);
}
