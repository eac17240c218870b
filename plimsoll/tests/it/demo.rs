//! A whole run: the report's promises, PromQL while it runs, a replica that is killed.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::process::{Demo, is_alive, query, turn, vector, wait_until};

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
