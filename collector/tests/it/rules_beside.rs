//! Rules side by side with a real Prometheus: both scrape the same text and evaluate the same files, and must then tell the same
//! of rules, alerts, their series, and of every template in `src/rules/template/tests/cases.txt`. Needs
//! `PROMETHEUS=/path/to/prometheus`; without it nothing is compared, and it says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use collector::rules::template::Template;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::prometheus::Prometheus;
use crate::running::{Running, Target};

/// How long both may take to start, scrape and evaluate.
const DEADLINE: Duration = Duration::from_secs(40);

/// Where both say that they are reached.
const EXTERNAL_URL: &str = "http://example.org:9090/prefix";

/// Templates for both: `template => what it makes`.
const CASES: &str = include_str!("../../src/rules/template/tests/cases.txt");

const TEXT: &str = "load{host=\"a\"} 5\nload{host=\"b\"} 0.25\nload{host=\"c\"} 1e9\n\
    tmpl{instance=\"h.example.com:9100\",job=\"node\"} 1234.5678\n\
    two{instance=\"a:1\",job=\"t\"} 11.5\ntwo{instance=\"b:1\",job=\"t\"} 21\n";

const RULES: &str = r#"groups:
- name: recorded
  interval: 1s
  labels: { team: x, gone: y }
  rules:
  - { record: "job:load:sum", expr: "sum by(job)(load)" }
  - { record: "load:labelled", expr: load, labels: { team: z, host: "" , gone: "" } }
  - { record: "load:rate", expr: "rate(load[5m] offset 1s)", labels: { a: b } }
  - { record: "scalar", expr: "42" }
  - { record: "text", expr: "'text'" }
  - { record: "on", expr: "load * on(host) group_left(job) (load @ end())" }
  - { record: "quantile", expr: "quantile_over_time(0.9, load[30s:1s])" }
  - { record: "unless", expr: "-load unless ignoring (host) load{host!~'a|b'} or vector(1)" }
  - { record: "many", expr: "topk(2, load) > bool 1.5e3" }
- name: alerts
  interval: 1s
  limit: 5
  query_offset: 1s
  rules:
  - alert: Firing
    expr: load > 1
    labels: { severity: "{{ if gt $value 100.0 }}page{{ else }}ticket{{ end }}" }
    annotations: { summary: "{{ $labels.host }} has {{ $value | humanize }} of {{ $externalLabels.site }}", empty: "" }
  - { alert: Pending, expr: load < 1, for: 1h, keep_firing_for: 5m30s }
  - { alert: Silent, expr: load < 0 }
  - { alert: Same, expr: load, labels: { host: one } }
  - { alert: Wrong, expr: "load[1m]" }
- name: limited
  interval: 1s
  limit: 1
  rules:
  - { alert: TooMany, expr: load }
  - { record: "too:many", expr: load }
"#;

/// A rule for each template that can be read; those that cannot are refused by both.
fn template_rules() -> String {
    let mut rules = "groups:\n- name: templates\n  interval: 1s\n  rules:\n".to_owned();
    let cases = CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (i, line) in cases.enumerate() {
        let text = line.split_once(" => ").unwrap().0.replace("\\n", "\n");
        if Template::parse("t", &text).is_ok() {
            let annotations = json!({ "text": text });
            rules.push_str(&format!("  - {{ alert: T{i:03}, expr: tmpl, annotations: {annotations} }}\n"));
        }
    }
    rules
}

async fn ask(base: &str, path: &str) -> Value {
    match reqwest::get(format!("{base}/api/v1/{path}")).await {
        Ok(response) => serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    }
}

async fn both_until(bases: [&str; 2], path: &str, holds: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    for base in bases {
        loop {
            let data = ask(base, path).await["data"].take();
            if holds(&data) {
                break;
            }
            assert!(Instant::now() < deadline, "{base} is not there: {path}: {data}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Without what depends on when and where it was asked: times become whether there is one.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.remove("evaluationTime");
            for (name, field) in fields.iter_mut() {
                *field = match name.as_str() {
                    "lastEvaluation" | "activeAt" | "keepFiringSince" => {
                        json!(field.as_str().unwrap().starts_with("20"))
                    }
                    "file" => json!(Path::new(field.as_str().unwrap()).file_name().unwrap().to_str()),
                    _ => timeless(field.take()),
                };
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| *item = timeless(item.take()));
            // Prometheus keeps alerts without order.
            if items.iter().all(|item| item.get("activeAt").is_some()) {
                items.sort_by_key(ToString::to_string);
            }
        }
        _ => {}
    }
    value
}

/// Series of an instant query without their times.
fn series(answer: &Value) -> BTreeMap<String, Value> {
    let series = answer["data"]["result"].as_array().unwrap().iter();
    series.map(|one| (one["metric"].to_string(), one["value"][1].clone())).collect()
}

fn compare(wrong: &mut Vec<String>, what: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(our), Value::Object(their)) => {
            for name in our.keys().chain(their.keys().filter(|name| !our.contains_key(*name))) {
                let none = json!("(absent)");
                let of = |fields: &serde_json::Map<String, Value>| fields.get(name).unwrap_or(&none).clone();
                compare(wrong, &format!("{what}.{name}"), &of(our), &of(their));
            }
        }
        (Value::Array(our), Value::Array(their)) if our.len() == their.len() => {
            for (i, (our, their)) in our.iter().zip(their).enumerate() {
                let name = our.get("name").and_then(Value::as_str).map_or_else(|| i.to_string(), str::to_owned);
                compare(wrong, &format!("{what}[{name}]"), our, their);
            }
        }
        (ours, theirs) if ours != theirs => wrong.push(format!("{what}\n    ours   {ours}\n    theirs {theirs}")),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_tells_the_same_of_rules() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints(TEXT);
    let config = format!(
        "global: {{ scrape_interval: 1s, external_labels: {{ site: s }} }}\nrule_files: ['{}/*.rules']\nscrape_configs:\n\
         - job_name: t\n  honor_labels: true\n  static_configs: [{{ targets: [{:?}] }}]\n",
        folder.path().display(),
        target.address
    );
    std::fs::write(folder.path().join("a.rules"), RULES).unwrap();
    std::fs::write(folder.path().join("b.rules"), template_rules()).unwrap();
    let external = format!("--web.external-url={EXTERNAL_URL}");
    let arguments = [external.as_str(), "--web.route-prefix=/"];
    let Some(prometheus) = Prometheus::start_with(&folder.path().join("prometheus"), &config, &arguments) else {
        return;
    };
    let running = Running::start_with(&mut tasks, folder.path(), &config, |options| {
        options.external_url = Some(EXTERNAL_URL.parse().unwrap());
    })
    .await;
    let (ours, theirs) = (format!("http://{}", running.endpoints.http), format!("http://{}", prometheus.address));
    let bases = [ours.as_str(), theirs.as_str()];
    both_until(bases, "query?query=count(quantile)", |data| data["result"][0]["value"][1] == "3").await;
    both_until(bases, "query?query=count(load:rate)", |data| data["result"][0]["value"][1] == "3").await;
    both_until(bases, "query?query=count(ALERTS{alertname=\"Pending\"})", |data| data["result"][0].is_object()).await;
    both_until(bases, "query?query=count(ALERTS{alertname=~\"T.*\"})>50", |data| data["result"][0].is_object()).await;

    let (mut wrong, mut asked) = (Vec::new(), 0);
    for path in [
        "rules",
        "alerts",
        "rules?type=alert&exclude_alerts=true",
        "rules?type=record&rule_group[]=recorded",
        "rules?rule_name[]=Firing&rule_name[]=on",
        "rules?match[]={team=\"z\"}&match[]={severity=~\".*page.*\"}",
        "rules?file[]=nowhere",
        "rules?type=other",
        "rules?exclude_alerts=perhaps",
        "rules?group_limit=2&type=record",
        "rules?group_limit=0",
        "rules?group_limit=x",
        "rules?group_next_token=x",
        "rules?group_limit=1&group_next_token=x",
        "alertmanagers",
    ] {
        asked += 1;
        let without_token = |mut answer: Value| {
            // A token is of a path, and both have their own.
            if let Some(data) = answer["data"].as_object_mut().filter(|data| data.contains_key("groupNextToken")) {
                data.insert("groupNextToken".to_owned(), json!("there"));
            }
            timeless(answer)
        };
        let (our, their) = (without_token(ask(&ours, path).await), without_token(ask(&theirs, path).await));
        compare(&mut wrong, path, &our, &their);
    }
    for query in ["ALERTS", "ALERTS_FOR_STATE > bool 1", "{__name__=~\".*:.*|scalar|on|quantile|unless|many\"}"] {
        asked += 1;
        let path = format!("query?query={query}");
        let (our, their) = (series(&ask(&ours, &path).await), series(&ask(&theirs, &path).await));
        compare(&mut wrong, query, &json!(our), &json!(their));
    }
    println!("{asked} questions about rules, {} differences", wrong.len());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
