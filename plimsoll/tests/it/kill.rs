//! `kill -9` of the demo itself: no child is left, and what was stored is there afterwards.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::process::{Demo, is_alive, query, turn, vector, wait_until};

#[test]
fn a_killed_demo_leaves_no_child_and_keeps_its_samples() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = ["--seconds", "60", "--profile", "steady", "--rate", "4", "--data", data];
    let mut demo = Demo::start(&arguments);
    let collector = demo.collector.clone();
    wait_until("ten services are scraped", Duration::from_secs(15), || {
        vector(query(&collector, "sum by (service) (up{job=\"shop\"})", None), "service").len() == 10
    });
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let before = vector(query(&collector, "sum by (service) (up{job=\"shop\"})", Some(at)), "service");
    let replicas = demo.replicas(None);
    assert!(replicas.len() >= 10);
    demo.kill();
    wait_until("no child is alive", Duration::from_secs(2), || !replicas.iter().any(|pid| is_alive(*pid)));

    let demo = Demo::start(&arguments);
    let after = vector(query(&demo.collector, "sum by (service) (up{job=\"shop\"})", Some(at)), "service");
    assert_eq!(before, after);
}
