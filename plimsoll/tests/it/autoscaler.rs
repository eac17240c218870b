//! `plimsoll autoscaler` before it runs: whatever is wrong with the cluster, the credentials, the rights or the command line is exit
//! code 2 and one message with its remedy. What needs a cluster asks for one in `PLIMSOLL_E2E_KUBECONFIG`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::process::PLIMSOLL;

/// Runs it with a kubeconfig, and gives exit code and standard error.
fn autoscaler(kubeconfig: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PLIMSOLL);
    command.args(["autoscaler", "--collector", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--kubeconfig"]);
    command.arg(kubeconfig).args(more).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    let output = command.output().expect("the binary starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn refused(kubeconfig: &Path, more: &[&str], expected: &[&str]) {
    let (code, message) = autoscaler(kubeconfig, more);
    assert_eq!(code, Some(2), "{more:?}: {message}");
    let errors = message.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "one message: {message}");
    for text in expected {
        assert!(message.contains(text), "{more:?}: {text:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

fn kubeconfig(folder: &Path, server: &str) -> std::path::PathBuf {
    let file = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{token: old}}}}]\n"
    );
    fs::write(&file, text).unwrap();
    file
}

/// An API server that answers everything with one response.
fn answering(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut request = [0; 8192];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    if stream.write_all(response.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn no_cluster_no_file_no_context_and_no_answer_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = kubeconfig(folder.path(), &format!("http://{dead}"));
    refused(&file, &[], &["does not answer", "is the cluster up", &dead.to_string()]);
    refused(&file, &["--context", "other"], &["there is no context \"other\"", "there are: c", "--context"]);
    refused(&folder.path().join("nowhere"), &[], &["nowhere", "--kubeconfig"]);
    let broken = folder.path().join("broken");
    fs::write(&broken, "clusters: {").unwrap();
    refused(&broken, &[], &["broken", "--kubeconfig"]);
}

#[test]
fn an_expired_token_is_told_with_its_remedy() {
    let body = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    let response: &'static str = Box::leak(
        format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_boxed_str(),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), &answering(response));
    refused(&file, &[], &["does not accept these credentials", "expired token", "kubectl auth whoami"]);
}

#[test]
fn wrong_policies_and_empty_folders_are_known_before_the_cluster_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), "http://127.0.0.1:1");
    let empty = folder.path().join("policies");
    fs::create_dir(&empty).unwrap();
    refused(&file, &["--policies", empty.to_str().unwrap()], &["policies", "no .yaml file"]);
    fs::write(
        empty.join("order.yaml"),
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: order}\n",
    )
    .unwrap();
    refused(&file, &["--policies", empty.to_str().unwrap()], &["order.yaml", "document 1", "spec"]);
}

#[test]
fn on_a_cluster_missing_rights_and_a_taken_port_are_told_at_once() {
    let Some(given) = std::env::var_os("PLIMSOLL_E2E_KUBECONFIG") else {
        let text =
            "SKIPPED: rights and ports of `plimsoll autoscaler`: set PLIMSOLL_E2E_KUBECONFIG to a cluster for tests\n";
        // Past the harness, which swallows what a test prints.
        let _ = std::io::stderr().write_all(text.as_bytes());
        return;
    };
    let given = Path::new(&given);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(PLIMSOLL);
    command.args(["autoscaler", "--collector", "http://127.0.0.1:1", "--listen", &address, "--kubeconfig"]).arg(given);
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");

    // A service account that was granted nothing: the cluster's own, with a token made for this.
    let token = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(given)
        .args(["create", "token", "default", "--namespace", "default"])
        .output()
        .expect("kubectl is installed where there is a cluster");
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let powerless = folder.path().join("kubeconfig");
    let raw = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(given)
        .args(["config", "view", "--raw", "--minify", "--flatten", "-o", "json"])
        .output()
        .unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    config["users"][0]["user"] = serde_json::json!({ "token": token });
    fs::write(&powerless, config.to_string()).unwrap();
    refused(
        &powerless,
        &["--leader-elect"],
        &[
            "system:serviceaccount:default:default lacks rights",
            "list, watch pods",
            "patch deployments/scale (apps)",
            "patch scalingpolicies/status (plimsoll.dev)",
            "get, update, create leases",
            "grant them",
        ],
    );
}
