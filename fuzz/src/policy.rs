//! A file of scaling policies: each is taken or refused in words that name the file and the document.
//!
//! Input: the file, in which a piece may be repeated (`input::repeated`).

use autoscaler::policy;
use protocol::yaml;

use crate::input::repeated;

pub(crate) const FULL: &str = r#"apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: gateway, namespace: shop, labels: {a: b}}
spec:
  target: {kind: Deployment, name: gateway}
  mode: Auto
  replicas: {min: 1, max: 4}
  signals:
    - utilization: {resource: cpu, target: 60%}
    - query:
        name: requests
        promql: sum(rate(requests_total{code!~"5.."}[10s] offset 1m @ end())) / on () group_left count(up)
        perReplica: 150
        maxAge: 15s
    - expression:
        formula: max(a, -b * 2e1 / (3 - 1)) ?? ceil(abs(a ?? .5))
        queries: [{name: a, promql: up, unit: requests/s}, {name: b, promql: down}]
        unit: requests/s
        target: 5
    - schedule: {cron: "*/5 8-17 1,L * MON-FRI", timezone: Europe/Madrid, replicas: 2, for: 1h}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      selectPolicy: Max
      policies: [{type: Pods, value: 2, periodSeconds: 10}, {type: Percent, value: 100, periodSeconds: 10}]
    scaleDown:
      stabilizationWindowSeconds: 20
      policies: [{type: Pods, value: 1, periodSeconds: 10}]
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: order, namespace: shop}
spec:
  target: {kind: StatefulSet, name: order}
  replicas: {min: 1, max: 2}
  signals: [{query: {name: q, promql: "up", target: 1.5Ki}}]
  fallback: {afterMissing: 5m, replicas: 2}
"#;

/// Files.
pub fn seeds() -> Vec<Vec<u8>> {
    let nested = FULL.replace("promql: \"up\"", "promql: \"\x1e\x0e-(\x1eup\"");
    let durations = FULL.replace("[10s]", "[1e300]").replace("15s", "292y").replace("60%", "99999999999%");
    [FULL, &nested, &durations, "", "---\n---\n"].iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let text = repeated(bytes);
    let documents = yaml::split("policies.yml".as_ref(), &String::from_utf8_lossy(&text));
    let count = documents.len();
    match policy::from_documents(documents) {
        Ok(policies) => {
            assert_eq!(policies.len(), count, "each document is a policy");
            for policy in policies.iter() {
                assert!(1 <= policy.bounds.min && policy.bounds.min <= policy.bounds.max, "{policy:?}");
                assert!(!policy.signals.is_empty(), "{policy:?}");
            }
        }
        Err(error) => {
            let words = error.to_string();
            assert!(words.starts_with("policies.yml: document "), "a mistake is said with its place: {words}");
        }
    }
}
