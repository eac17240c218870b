//! Tests of the throw-away cluster: with programs on PATH that only write down how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::ValueEnum;

use super::plan::{Call, Cluster, Tool};
use super::{Arguments, Machine};

fn arguments(with: Option<Tool>) -> Arguments {
    Arguments { with, name: "plimsoll".to_owned(), image: "plimsoll:e2e".to_owned(), no_build: false }
}

fn lines(calls: &[Call]) -> Vec<String> {
    calls.iter().map(Call::to_string).collect()
}

#[test]
fn each_tool_is_told_the_cluster_its_own_kubeconfig_and_the_image() {
    let up = |tool| Cluster { tool, name: "x".to_owned(), kubeconfig: "/c".into() }.up("plimsoll:e2e");
    assert_eq!(
        lines(&up(Tool::Kind)),
        ["kind create cluster --name x --kubeconfig /c --wait 120s", "kind load docker-image plimsoll:e2e --name x"]
    );
    assert_eq!(
        lines(&up(Tool::K3d)),
        [
            "k3d cluster create x --wait --timeout 120s --kubeconfig-update-default=false",
            "k3d kubeconfig get x > /c",
            "k3d image import plimsoll:e2e --cluster x",
        ]
    );
    let minikube = up(Tool::Minikube);
    assert_eq!(
        lines(&minikube),
        ["minikube start --profile x --wait all", "minikube image load plimsoll:e2e --profile x"]
    );
    assert!(minikube.iter().all(|call| call.kubeconfig.as_deref() == Some(Path::new("/c"))));
}

/// A machine with these programs; each writes its name, arguments and KUBECONFIG into `calls`, and `failing` fails.
fn machine(folder: &Path, programs: &[&str], failing: &str) -> Machine {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in programs {
        let file = bin.join(program);
        let end = i32::from(*program == failing);
        let calls = folder.join("calls");
        let text = format!(
            "#!/bin/sh\necho \"$(basename \"$0\") $* [$KUBECONFIG]\" >> {}\necho of-{program}\nexit {end}\n",
            calls.display()
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::join_paths([bin, "/usr/bin".into(), "/bin".into()]).unwrap();
    Machine { path, root: folder.to_owned() }
}

fn calls(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn the_first_tool_that_is_installed_is_used_and_the_image_is_built_before() {
    let folder = tempfile::tempdir().unwrap();
    machine(folder.path(), &["k3d", "minikube", "docker"], "").up(&arguments(None)).unwrap();
    let calls = calls(folder.path());
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls[0].starts_with("docker build --tag plimsoll:e2e ."), "{calls:?}");
    assert!(calls[1..].iter().all(|call| call.starts_with("k3d ")), "{calls:?}");
    let kubeconfig = folder.path().join("target/cluster/plimsoll.kubeconfig");
    assert_eq!(fs::read_to_string(kubeconfig).unwrap(), "of-k3d\n");
}

#[test]
fn the_users_own_kubeconfig_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("target/cluster/plimsoll.kubeconfig");
    let machine = machine(folder.path(), &["minikube", "docker"], "");
    machine.up(&arguments(None)).unwrap();
    machine.down(&arguments(None)).unwrap();
    let calls = calls(folder.path());
    let minikube: Vec<&String> = calls.iter().filter(|call| call.starts_with("minikube")).collect();
    assert_eq!(minikube.len(), 3, "{calls:?}");
    assert!(minikube.iter().all(|call| call.ends_with(&format!("[{}]", own.display()))), "{calls:?}");
}

#[test]
fn down_removes_the_kubeconfig_and_may_be_said_twice() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), &["k3d", "docker"], "");
    machine.up(&arguments(None)).unwrap();
    machine.down(&arguments(None)).unwrap();
    machine.down(&arguments(None)).unwrap();
    assert!(!folder.path().join("target/cluster/plimsoll.kubeconfig").exists());
}

#[test]
fn without_any_tool_it_says_which_are_looked_for_and_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = machine(folder.path(), &["docker"], "");
    machine.path = folder.path().join("bin").into();
    let message = machine.up(&arguments(None)).unwrap_err().to_string();
    for tool in Tool::value_variants() {
        assert!(message.contains(tool.program()) && message.contains(tool.remedy()), "{message}");
    }
    let message = machine.up(&arguments(Some(Tool::Kind))).unwrap_err().to_string();
    assert!(message.starts_with("kind is not installed: see https://kind.sigs.k8s.io"), "{message}");
    assert!(calls(folder.path()).is_empty());
}

#[test]
fn a_build_that_fails_leaves_no_cluster_behind() {
    let folder = tempfile::tempdir().unwrap();
    let message = machine(folder.path(), &["kind", "docker"], "docker").up(&arguments(None)).unwrap_err().to_string();
    assert!(message.starts_with("`docker build --tag plimsoll:e2e .` failed"), "{message}");
    assert_eq!(calls(folder.path()).len(), 1);
}
