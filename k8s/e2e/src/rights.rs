//! What a service account may do, as the API server enumerates it, beside what it is meant to. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// `verb resource.group` or `verb resource.group=name`, such as `patch deployments/scale.apps`; the core group has no name.
pub type Right = String;

/// All rights in a `SelfSubjectRulesReview`'s status.
pub fn rights(status: &Value) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for rule in list(&status["resourceRules"]) {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let dot = if group.is_empty() { "" } else { "." };
                let names = texts(&rule["resourceNames"]);
                for verb in texts(&rule["verbs"]) {
                    if names.is_empty() {
                        all.insert(format!("{verb} {resource}{dot}{group}"));
                    }
                    all.extend(names.iter().map(|name| format!("{verb} {resource}{dot}{group}={name}")));
                }
            }
        }
    }
    for rule in list(&status["nonResourceRules"]) {
        for url in texts(&rule["nonResourceURLs"]) {
            all.extend(texts(&rule["verbs"]).iter().map(|verb| format!("{verb} {url}")));
        }
    }
    all
}

/// The rights that a table means: lines of `resource.group[,resource.group..]: verb verb`.
pub fn table(lines: &str) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (resources, verbs) = line.split_once(':').unwrap_or((line, ""));
        for resource in resources.split(',').map(str::trim) {
            all.extend(verbs.split_whitespace().map(|verb| format!("{verb} {resource}")));
        }
    }
    all
}

/// What is granted beyond what is meant, and what is missing, in words; empty when neither.
pub fn difference(granted: &BTreeSet<Right>, meant: &BTreeSet<Right>) -> String {
    let list = |title: &str, a: &BTreeSet<Right>, b: &BTreeSet<Right>| {
        let only: Vec<&str> = a.difference(b).map(String::as_str).collect();
        if only.is_empty() { String::new() } else { format!("{title}: {}. ", only.join(", ")) }
    };
    format!("{}{}", list("granted beyond need", granted, meant), list("missing", meant, granted))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_verb_too_many_is_found() {
        let status = json!({
            "resourceRules": [
                {"verbs": ["get", "patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"]},
                {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            ],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}],
        });
        let meant = table("deployments/scale.apps: get\npods=a, /metrics: get\nnodes: list");
        let found = difference(&rights(&status), &meant);
        assert_eq!(found, "granted beyond need: patch deployments/scale.apps. missing: list nodes. ");
    }
}
