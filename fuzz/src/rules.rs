//! A rule file: it is taken or refused in words that name the file. What is taken can be evaluated: its queries are still the
//! queries that were written.
//!
//! Input: the file, in which a piece may be repeated (`input::repeated`).

use std::fs;
use std::time::Duration;

use collector::promql;
use collector::rules::file::{self, Defaults};

use crate::input::repeated;
use crate::stored::folder;

pub(crate) const FULL: &str = r#"groups:
- name: shop
  interval: 30s
  query_offset: 1s
  limit: 10
  labels: {team: a}
  rules:
  - record: job:requests:rate5m
    expr: sum by (job) (rate(requests_total[5m]))
    labels: {x: ""}
  - alert: Failing
    expr: |
      # Errors of all.
      sum(rate(requests_total{code=~"5.."}[5m])) > 0.1
        and on () native </ 0.5
    for: 5m
    keep_firing_for: 1h
    labels: {severity: "{{ if gt $value 0.5 }}page{{ else }}ticket{{ end }}"}
    annotations:
      summary: "{{ $labels.job }} fails {{ $value | humanizePercentage }}"
"#;

/// Files.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        FULL,
        "groups:\n",
        "groups:\n- {name: a, rules: [{record: x, expr: 'vector(1) or up offset -5m'}, {alert: A, expr: '\x1e\x09(\x1eup'}]}\n",
        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {a: '\x1e\x09{{ if .Labels }}\x1e'}}]}]",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let text = repeated(bytes);
    let dir = folder();
    let path = dir.path().join("rules.yml");
    fs::write(&path, &text).expect("there is room");
    let defaults = Defaults { interval: Duration::from_secs(60), query_offset: Duration::ZERO };
    match file::read(&path, defaults) {
        Ok(groups) => {
            for rule in groups.iter().flat_map(|group| &group.rules) {
                assert_eq!(promql::canonical(&rule.query).as_ref(), Ok(&rule.query), "the query of {}", rule.name);
            }
        }
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains("rules.yml: "), "a mistake is said with its file: {words}");
        }
    }
}
