//! A whole run: the report's promises, PromQL while it runs, a replica that is killed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::{Demo, PLIMSOLL, is_alive, query, turn, vector, wait_until};

#[test]
fn a_run_with_a_payment_outage_and_a_killed_replica_loses_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut demo = Demo::start(&[
        "--seconds",
        "30",
        "--profile",
        "steady",
        "--rate",
        "8",
        "--fault",
        "payment:error=1@6+8",
        "--report",
        report.to_str().unwrap(),
    ]);
    assert_eq!(demo.replicas(None).len(), 10);
    demo.wait_for("payment:error=1 off", Duration::from_secs(30));

    let victim = demo.replicas(Some("review"))[0];
    rustix::process::kill_process(pid(victim), rustix::process::Signal::KILL).unwrap();
    wait_until("the killed replica is gone", Duration::from_secs(2), || !is_alive(victim));
    let collector = demo.collector.clone();
    let ready = "kube_deployment_status_replicas_ready{deployment=\"review\"}";
    let took = wait_until("a replica of review is ready again", Duration::from_secs(5), || {
        demo.replicas(Some("review")).iter().any(|p| *p != victim)
            && vector(query(&collector, ready, None), "deployment").get("review") == Some(&1.0)
    });
    println!("review was ready again after {took:?}");

    let rates =
        query(&demo.collector, "sum by (service) (rate(http_server_request_duration_seconds_count[10s]))", None);
    let rates = vector(rates, "service");
    assert!(rates.get("gateway").is_some_and(|rate| *rate > 1.0), "{rates:?}");

    assert_eq!(demo.wait_end(Duration::from_secs(90)), Some(0), "{}", demo.output());
    let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    check_report(&report);
    let truth = &report["faults"][0];
    assert_eq!((&truth["service"], &truth["kind"], &truth["value"]), (&json!("payment"), &json!("error"), &json!("1")));
    let (start, end) = (truth["start"].as_f64().unwrap(), truth["end"].as_f64().unwrap());
    assert!((6.0..8.0).contains(&start) && (14.0..17.0).contains(&end), "{truth}");
}

fn pid(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn check_report(report: &Value) {
    let names: Vec<&str> = report["services"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    let mut expected = demo_services::service::NAMES.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for service in report["services"].as_array().unwrap() {
        let name = service["name"].as_str().unwrap();
        let restarts = service["restarts"].as_u64().unwrap();
        assert_eq!(restarts, u64::from(name == "review"), "{name}: {service}");
        assert!(service["requests"].as_u64().unwrap() > 0, "{service}");
    }
    for journey in report["journeys"].as_array().unwrap() {
        let name = journey["name"].as_str().unwrap();
        assert!(journey["requests"].as_u64().unwrap() > 0, "{journey}");
        if ["search", "sign-in"].contains(&name) {
            assert_eq!(journey["errors"].as_u64(), Some(0), "{journey}");
        }
    }
    let orders = &report["orders"];
    assert!(orders["placed"].as_u64().unwrap() > 0, "{orders}");
    assert_eq!(orders["pending"].as_u64(), Some(0), "{orders}");
    for field in ["lost", "charged_twice", "oversold"] {
        assert_eq!(orders[field].as_u64(), Some(0), "{orders}");
    }
    let collector = &report["collector"];
    assert_eq!(collector["targets"], collector["targets_up"], "{collector}");
    for field in ["targets", "samples", "series", "spans", "traces"] {
        assert!(collector[field].as_u64().unwrap() > 0, "{collector}");
    }
    assert!(report["decisions"]["total"].as_u64().unwrap() > 0);
}

#[test]
fn a_fault_without_an_end_ends_with_the_load_so_that_orders_settle() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut demo = Demo::start(&[
        "--seconds",
        "9",
        "--profile",
        "steady",
        "--rate",
        "6",
        "--fault",
        "payment:error=1@2",
        "--fault",
        "order:error=1@6",
        "--report",
        report.to_str().unwrap(),
    ]);
    assert_eq!(demo.wait_end(Duration::from_secs(60)), Some(0), "{}", demo.output());
    assert!(demo.output().contains("fault order:error=1 off, as the load has ended"), "{}", demo.output());
    let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let orders = &report["orders"];
    assert!(orders["placed"].as_u64().unwrap() > 0, "{orders}");
    for field in ["pending", "lost", "charged_twice", "oversold"] {
        assert_eq!(orders[field].as_u64(), Some(0), "{orders}");
    }
}

#[test]
fn a_run_that_is_asked_to_stop_leaves_nothing_behind() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start_with(&["--seconds", "60", "--rate", "4"], |command| {
        command.env("TMPDIR", folder.path());
    });
    let replicas = demo.replicas(None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    rustix::process::kill_process(pid(demo.id()), rustix::process::Signal::TERM).unwrap();
    assert_eq!(demo.wait_end(Duration::from_secs(10)), Some(1), "it did not do what it was asked to");
    assert!(!replicas.iter().any(|pid| is_alive(*pid)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_service_that_cannot_start_ends_the_demo_with_its_last_words() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/shop");
    copy_yaml(&shop.join("base"), folder.path());
    copy_yaml(&shop.join("policies"), &folder.path().join("policies"));
    let file = folder.path().join("user.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("name: TOKEN_SECRET", "name: TOKEN_SEKRET")).unwrap();
    let began = Instant::now();
    let output = Command::new(PLIMSOLL)
        .args(["demo", "--headless", "--seconds", "30", "--collector", "127.0.0.1:0", "--autoscaler", "127.0.0.1:0"])
        .args(["--gateway", "127.0.0.1:0", "--manifests", folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for text in ["the shop cannot start", "user: 0 of 1 ready", "its last words", "TOKEN_SECRET"] {
        assert!(message.contains(text), "{text:?} is not in {message}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

fn copy_yaml(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
