//! Rules in a running collector: what they record, how alerts live, what a reload changes, and what a killed process forgets.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector::Collector;
use lifecycle::CancellationToken;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::process::Process;
use crate::running::{Running, Target, options, scrape};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Set in the process that is to be killed: its folder.
const FOLDER: &str = "PLIMSOLL_TEST_RULES";

fn config(target: &Target) -> String {
    format!("rule_files: ['*.rules']\n{}", scrape(&[&target.address]))
}

fn write(folder: &Path, name: &str, rules: &str) {
    std::fs::write(folder.join(name), rules).unwrap();
}

async fn ask(address: &str, path: &str) -> Value {
    let response = reqwest::get(format!("http://{address}/api/v1/{path}")).await.unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// Waits until the API's data are as wanted.
async fn until(address: &str, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let data = ask(address, path).await["data"].take();
        if holds(&data) {
            return data;
        }
        assert!(Instant::now() < deadline, "{path}: never {what}: {data}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const BASIC: &str = "groups:\n- name: basic\n  interval: 100ms\n  labels: { team: x }\n  rules:\n  \
    - { record: 'load:double', expr: load * 2 }\n  \
    - alert: High\n    expr: 'load:double > 6'\n    labels: { severity: '{{ if gt $value 100.0 }}page{{ else }}ticket{{ end }}' }\n    \
    annotations: { summary: '{{ $labels.host }} has {{ $value }}' }\n";

#[tokio::test]
async fn rules_record_and_alert_and_end() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("load{host=\"a\"} 5\n");
    write(folder.path(), "a.rules", BASIC);
    let running = Running::start(&mut tasks, folder.path(), &config(&target)).await;
    let address = running.endpoints.http.to_string();
    running.becomes("load:double{host=\"a\",team=\"x\"}", 10.0).await;
    running
        .becomes("ALERTS{alertname=\"High\",alertstate=\"firing\",host=\"a\",severity=\"ticket\",team=\"x\"}", 1.0)
        .await;
    running.becomes("ALERTS_FOR_STATE{alertname=\"High\"} > bool 1e9", 1.0).await;

    let alert = &until(&address, "alerts", "an alert", |data| data["alerts"][0].is_object()).await["alerts"][0];
    assert_eq!(alert["annotations"], json!({ "summary": "a has 10" }));
    assert_eq!((&alert["state"], &alert["value"]), (&json!("firing"), &json!("1e+01")));
    let group = &ask(&address, "rules?type=record").await["data"]["groups"][0];
    assert_eq!(
        (&group["name"], &group["interval"], group["rules"].as_array().unwrap().len()),
        (&json!("basic"), &json!(0.1), 1)
    );

    target.prints("load{host=\"a\"} 1\n");
    running.ends("ALERTS").await;
    until(&address, "alerts", "empty", |data| data["alerts"] == json!([])).await;
    running.becomes("load:double", 2.0).await;
}

#[tokio::test]
async fn a_reload_changes_what_has_changed_and_nothing_else() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("load{host=\"a\"} 5\n");
    let one = |name: &str, rule: &str| format!("groups:\n- name: {name}\n  interval: 100ms\n  rules: [{rule}]\n");
    write(folder.path(), "a.rules", &one("kept", "{ alert: Kept, expr: load > 1, for: 1h }"));
    write(
        folder.path(),
        "b.rules",
        &one("changed", "{ alert: Changed, expr: load > 1, for: 1h }, { record: gone, expr: load }"),
    );
    write(folder.path(), "c.rules", &one("removed", "{ record: removed, expr: load }"));
    let running = Running::start(&mut tasks, folder.path(), &config(&target)).await;
    let address = running.endpoints.http.to_string();
    running.becomes("count(ALERTS{alertstate=\"pending\"})", 2.0).await;
    running.becomes("gone", 5.0).await;
    running.becomes("removed", 5.0).await;
    let since = |data: &Value| {
        let alerts = data["alerts"].as_array().unwrap().iter();
        let mut since: Vec<(String, String)> =
            alerts.map(|a| (a["labels"]["alertname"].to_string(), a["activeAt"].to_string())).collect();
        since.sort();
        since
    };
    let before = since(&ask(&address, "alerts").await["data"]);

    write(folder.path(), "b.rules", "groups: [{ name: changed, rules: [{ record: r, expr: 'sum(' }] }]\n");
    let (status, message) = running.post("/-/reload").await;
    assert_eq!(status, 500);
    assert!(message.contains("b.rules: document 1: groups[0].rules[0].expr: parse error"), "{message}");
    assert_eq!(ask(&address, "rules").await["data"]["groups"].as_array().unwrap().len(), 3);

    write(folder.path(), "b.rules", &one("changed", "{ alert: Changed, expr: load > 2, for: 2h }"));
    std::fs::remove_file(folder.path().join("c.rules")).unwrap();
    assert_eq!(running.post("/-/reload").await.0, 200);
    running.ends("gone").await;
    running.ends("removed").await;
    until(&address, "rules", "two groups", |data| data["groups"].as_array().unwrap().len() == 2).await;
    running.becomes("count(ALERTS{alertstate=\"pending\"})", 2.0).await;
    assert_eq!(since(&ask(&address, "alerts").await["data"]), before);

    let slow = one("kept", "{ alert: Kept, expr: load > 1, for: 1h }").replace("100ms", "1h");
    write(folder.path(), "a.rules", &slow);
    assert_eq!(running.post("/-/reload").await.0, 200);
    until(&address, "rules", "a slow group", |data| data["groups"][0]["interval"] == 3600).await;
    let data = ask(&address, "alerts").await["data"].take();
    assert_eq!(since(&data), before, "shown before the next evaluation, in an hour");
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_says_why_and_leaves_the_others_alone() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("load{host=\"a\"} 5\nload{host=\"b\"} 6\n");
    let rules = "groups:\n- name: g\n  interval: 100ms\n  limit: 1\n  rules:\n  - { record: same, expr: load, labels: { host: '' } }\n  \
        - { record: many, expr: load }\n  - { record: text, expr: '\"a\"' }\n  - { record: good, expr: sum(load) }\n  \
        - { alert: Many, expr: load }\n";
    write(folder.path(), "a.rules", rules);
    let running = Running::start(&mut tasks, folder.path(), &config(&target)).await;
    running.becomes("good", 11.0).await;
    let address = running.endpoints.http.to_string();
    let evaluated = |data: &Value| data["groups"][0]["rules"][4]["health"] == "err";
    let groups = until(&address, "rules", "evaluated", evaluated).await;
    let told: Vec<(Value, Value)> = groups["groups"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["health"].clone(), rule["lastError"].clone()))
        .collect();
    let bad = |reason: &str| (json!("err"), json!(reason));
    assert_eq!(
        told,
        [
            bad("vector contains metrics with the same labelset after applying rule labels"),
            bad("exceeded limit of 1 with 2 series"),
            bad("rule result is not a vector or scalar"),
            (json!("ok"), Value::Null),
            bad("exceeded limit of 1 with 2 alerts"),
        ]
    );
    let metrics = running.get("/metrics").await.1;
    assert!(metrics.contains("plimsoll_collector_rule_evaluation_failures_total{rule_group=\""), "{metrics}");
}

/// Not a test of its own: a collector that runs until it is killed, and says where it is reached.
#[tokio::test]
async fn evaluates_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut options = options(&folder.join("scrape.yml"), folder);
    options.rules.for_grace_period = Duration::ZERO;
    let collector = Collector::bind(options).await.unwrap();
    println!("listens {}", collector.endpoints().http);
    collector.run(CancellationToken::new()).await.unwrap();
}

fn start(folder: &Path) -> Process {
    Process::start("rules::evaluates_until_killed", FOLDER, folder)
}

fn seconds(time: &Value) -> f64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_millisecond() as f64 / 1000.0
}

#[tokio::test]
async fn what_an_alert_has_waited_survives_a_killed_process() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("load{host=\"a\"} 5\n");
    let rules = "groups: [{ name: g, interval: 200ms, rules: [{ alert: High, expr: load > 1, for: 1h }] }]\n";
    write(folder.path(), "a.rules", rules);
    write(folder.path(), "scrape.yml", &config(&target));
    let waited = 3.0;
    {
        let process = start(folder.path());
        // So long that the difference shows in ALERTS_FOR_STATE, which counts whole seconds.
        let old = format!("query?query=time()-ALERTS_FOR_STATE>{waited}");
        until(&process.address, &old, "waited", |data| data["result"][0].is_object()).await;
    }
    let restarted = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let process = start(folder.path());
    let restored = |data: &Value| {
        data["alerts"][0].is_object() && seconds(&data["alerts"][0]["activeAt"]) < restarted - waited + 1.5
    };
    let data = until(&process.address, "alerts", "restored", restored).await;
    assert_eq!(data["alerts"][0]["state"], "pending");
}
