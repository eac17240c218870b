//! `plimsoll replay` as users meet it: a table, a file of the promised shape, the same bytes each time, and mistakes that are named.

use std::fs;
use std::process::Command;

use super::process::PLIMSOLL;

fn replay(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PLIMSOLL).arg("replay").args(arguments).output().expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_replay_prints_a_table_and_writes_its_figures_and_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (trace, json, svg) = (file("rps.csv"), file("out.json"), file("out.svg"));
    fs::write(&trace, "seconds,rps\n0,10\n120,10\n121,40\n240,40\n").unwrap();
    let arguments = ["--trace", &trace, "--against", "static,hpa", "--seeds", "2", "--json", &json, "--svg", &svg];
    let (code, table, errors) = replay(&arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{table}");
    for word in ["4 minutes judged, 2 seeds", "SLO-missing min", "plimsoll", "static", "cpu 80 %, down after 300 s"] {
        assert!(table.contains(word), "{word:?} is not in {table}");
    }
    let first = fs::read_to_string(&json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&first).unwrap();
    let names: Vec<_> = report["contenders"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["plimsoll", "static", "hpa"]);
    assert_eq!((report["trace"].as_str(), report["seeds"].as_u64()), (Some(trace.as_str()), Some(2)));
    for key in ["slo_missing_minutes", "cpu_hours", "changes", "p99_ms", "recovery_s"] {
        let estimate = &report["contenders"][2][key];
        assert!(estimate["mean"].is_number() && estimate["ci95"].is_number(), "{key}: {estimate}");
    }
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    replay(&arguments);
    assert_eq!(first, fs::read_to_string(&json).unwrap());
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let trace = file("bad.csv", "seconds,rps\n0,1\n60;2\n");
    let policy = file(
        "query.yaml",
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: order, namespace: shop}\nspec:\n  \
         target: {kind: Deployment, name: order}\n  replicas: {max: 3}\n  signals: [{query: {promql: up, perReplica: 1}}]\n",
    );
    let elsewhere = file(
        "elsewhere.yaml",
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: bakery, namespace: shop}\nspec:\n  \
         target: {kind: Deployment, name: bakery}\n  replicas: {max: 3}\n",
    );
    for (arguments, expected) in [
        (vec!["--trace", "sawtooth"], vec!["--trace", "sawtooth", "seconds,rps", "flash-sale"]),
        (vec!["--trace", &trace], vec!["bad.csv:3", "\"60;2\" has no comma"]),
        (vec!["--trace", "constant", "--against", "hpa,vpa"], vec!["--against", "vpa", "static, hpa, keda"]),
        (vec!["--trace", "constant", "--graph", "bakery"], vec!["--graph", "bakery", "shop"]),
        (vec!["--trace", "constant", "--seeds", "0"], vec!["--seeds"]),
        (vec!["--trace", "constant", "--peak", "-1"], vec!["--peak", "journeys a second"]),
        (vec!["--trace", "constant", "--latency-p99", "0s"], vec!["--latency-p99", "more than 0"]),
        (vec!["--trace", "constant", "--availability", "100.5%"], vec!["--availability", "99.9%"]),
        (vec!["--trace", "constant", "--compress", "1000"], vec!["14 s long", "compress it less"]),
        (vec!["--trace", "constant", "--json", "/nowhere/a.json"], vec!["/nowhere/a.json", "--json"]),
        (vec!["--trace", "constant", "--svg", "/nowhere/a.svg"], vec!["/nowhere/a.svg", "--svg"]),
        (vec!["--trace", "constant", "--policy", &policy], vec!["shop/order", "\"up\"", "expected sum(rate("]),
        (vec!["--trace", "constant", "--policy", &elsewhere], vec!["shop/bakery", "is not in the graph"]),
        (vec!["--trace", "constant", "--replicas-max", "0"], vec!["--replicas-max"]),
        (vec!["--trace", "constant", "--manifests", "/nowhere"], vec!["/nowhere"]),
    ] {
        let (code, _, message) = replay(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {message}");
        for text in expected {
            assert!(message.contains(text), "{arguments:?}: {text:?} is not in {message:?}");
        }
        assert!(!message.contains("panicked"), "{message}");
    }
}
