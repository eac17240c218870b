//! A configuration file: it is taken or refused in words that name the file. What it lists becomes targets, whatever relabelling
//! makes of them.
//!
//! Input: the file, in which a piece may be repeated (`input::repeated`).

use std::fs;
use std::sync::Arc;

use collector::config::{self, Config, Discovery};
use collector::discovery::Group;
use collector::discovery::relabel::{LabelSet, relabel};
use collector::discovery::target::place;
use protocol::yaml;

use crate::input::repeated;
use crate::stored::folder;

pub(crate) const FULL: &str = r#"global:
  scrape_interval: 15s
  scrape_timeout: 1s500ms
  evaluation_interval: 1m
  external_labels: {site: a, "la bel": b}
storage: {tsdb: {out_of_order_time_window: 30m}}
otlp: {promote_resource_attributes: [service.name], keep_identifying_resource_attributes: true}
alerting:
  alert_relabel_configs: [{action: labeldrop, regex: pod}]
  alertmanagers:
  - {scheme: http, timeout: 5s, static_configs: [{targets: ["a:9093"]}]}
remote_write:
- url: http://r:9090/api/v1/write
  remote_timeout: 30s
  queue_config: {max_shards: 4, min_backoff: 30ms}
  write_relabel_configs: [{source_labels: [__name__], regex: "go_.*", action: drop}]
scrape_configs:
- job_name: shop
  metrics_path: /m
  scheme: https
  params: {a: [b, c]}
  honor_labels: true
  body_size_limit: 10MB
  basic_auth: {username: u, password: hunter2}
  tls_config: {insecure_skip_verify: true, server_name: x}
  static_configs:
  - {targets: ["h:1", "[::1]:2", "other"], labels: {zone: b, __meta_port: "80"}}
  relabel_configs:
  - {source_labels: [__address__, zone], separator: "@", regex: "(.+):(\\d+)@(.)", target_label: x, replacement: "${1}-$3"}
  - {source_labels: [x], modulus: 7, target_label: __tmp_hash, action: hashmod}
  - {regex: "__meta_(.+)", action: labelmap}
  - {source_labels: [zone], target_label: zone, action: uppercase}
  - {source_labels: [__tmp_hash], regex: "[0-6]", action: keep}
  metric_relabel_configs:
  - {regex: "tmp_.*", action: labeldrop}
- job_name: files
  file_sd_configs: [{files: ["*.json"], refresh_interval: 1m}]
- job_name: asked
  http_sd_configs: [{url: "http://sd:80/x"}]
- job_name: pods
  kubernetes_sd_configs: [{role: pod, namespaces: {names: [a]}, selectors: [{role: pod, label: "app=x"}]}]
"#;

/// Files.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        FULL,
        "",
        "scrape_configs: []\n---\nglobal: {}\n",
        "scrape_configs: [{job_name: \"\x1e\x0ca\x1e\"}]",
        "global: &a {scrape_interval: 1s}\nother: *a\n<<: *a\n",
        "a: \x1e\x0b[\x1e",
        "\x1e\x0ca: {\x1e",
        "scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {regex: \"\x1e\x0a(a|\x1e\"}\n",
        "scrape_configs:\n- {job_name: x, scrape_interval: 292y, static_configs: [{targets: ['\u{e9}:99999', 'a b', 'h/x']}]}\n",
        "rule_files: ['*.none', '[a-']\nscrape_configs: !!str x\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let text = repeated(bytes);
    let dir = folder();
    let path = dir.path().join("collector.yml");
    fs::write(&path, &text).expect("there is room");
    match config::load(&path) {
        Ok(config) => put_to_work(&config),
        Err(error) => {
            let words = error.to_string();
            let told = words.strip_prefix(dir.path().to_str().expect("the folder's name is a text"));
            assert!(told.is_some_and(|told| told.len() > 4), "a mistake is said with its file: {words}");
        }
    }
}

fn put_to_work(config: &Config) {
    let shown = yaml::split("shown.yml".as_ref(), &config.text);
    for document in shown {
        assert!(document.parse::<serde_json::Value>().is_ok(), "what is shown is YAML: {}", config.text);
    }
    for job in &config.jobs {
        for discovery in &job.discovery {
            let Discovery::Static(groups) = discovery else { continue };
            for group in groups {
                let group = Arc::new(Group::from(group.clone()));
                assert_eq!(place(job, &group).len(), group.targets.len(), "each target is placed");
            }
        }
        let mut labels: LabelSet = [("__name__", "go_gc"), ("zone", "b"), ("tmp_x", "\u{e9}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        relabel(&job.metric_relabel, &mut labels);
    }
}
