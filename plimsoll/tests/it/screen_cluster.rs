//! `plimsoll tui` where there is nothing to show, or no way to it: one message with its remedy on standard error, nothing else, exit
//! code 2 for what the user gave and 1 for what did not answer.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use super::process::{PLIMSOLL, skipped};

fn tui(arguments: &[&str]) -> Output {
    let mut command = Command::new(PLIMSOLL);
    command.arg("tui").args(arguments).env_remove("KUBECONFIG");
    command.env("HOME", "/nowhere").env_remove("KUBERNETES_SERVICE_HOST").output().expect("the binary starts")
}

fn fails(code: i32, arguments: &[&str], expected: &[&str]) {
    let output = tui(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a screen");
    assert_eq!(message.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{message}");
    for text in expected {
        assert!(message.contains(text), "{arguments:?}: {text:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// An address where nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_collector_that_does_not_answer_is_named_and_no_screen_printed() {
    let url = format!("http://{}", nobody());
    fails(1, &["--once", "--collector", &url, "--autoscaler", &url], &[&url, "refused", "--collector"]);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let both = ["--once", "--collector", "http://a", "--autoscaler", "http://b", "--context", "c"];
    fails(2, &both, &["--collector", "--autoscaler", "--context"]);
    fails(2, &["--view", "graph"], &["--once"]);
    fails(2, &["--once", "--view", "service:shop/"], &["service:NAMESPACE/NAME"]);
    fails(2, &["--once", "--view", "policy:order"], &["policy:NAMESPACE/NAME"]);
    fails(2, &["--once", "--api-token-file", "/nowhere/token"], &["/nowhere/token", "--api-token-file"]);
}

#[test]
fn a_cluster_that_cannot_be_found_is_said_with_the_remedy() {
    fails(2, &["--once", "--namespace", "plimsoll"], &["--kubeconfig"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let path = file.to_str().unwrap();
    fails(2, &["--once", "--kubeconfig", path], &[path, "--kubeconfig"]);
    fs::write(&file, "{ not: [yaml").unwrap();
    fails(2, &["--once", "--kubeconfig", path], &[path]);
    let server = format!("https://{}", nobody());
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- {{name: a, cluster: {{server: '{server}'}}}}\nusers:\n- {{name: u, user: {{token: t}}}}\n\
         contexts:\n- {{name: here, context: {{cluster: a, user: u}}}}\ncurrent-context: here\n"
    );
    fs::write(&file, kubeconfig).unwrap();
    fails(2, &["--once", "--kubeconfig", path, "--context", "there"], &["\"there\"", "here", "--context"]);
    fails(2, &["--once", "--kubeconfig", path], &[&server, "does not answer"]);
}

#[test]
fn a_namespace_of_a_real_cluster_without_plimsoll_is_named() {
    let Some(kubeconfig) = std::env::var("PLIMSOLL_E2E_KUBECONFIG").ok().filter(|path| !path.is_empty()) else {
        skipped("PLIMSOLL_E2E_KUBECONFIG names no cluster, so that none was looked at");
        return;
    };
    let arguments = ["--once", "--kubeconfig", &kubeconfig, "--namespace", "nobody-is-here"];
    let expected = "no pod with app.kubernetes.io/part-of=plimsoll,app.kubernetes.io/component=collector in namespace nobody-is-here";
    fails(1, &arguments, &[expected, "--namespace"]);
}
