//! What the API server's audit log says of the autoscalers: who wrote what, when, and whether two wrote as one. Pure but for
//! reading the file.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::kubectl::text;

/// One accepted or refused write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// When it reached the API server, in RFC 3339 with microseconds: sorts as text.
    pub at: String,
    /// The pod whose token was used; empty when the token names none.
    pub pod: String,
    /// Such as `patch deployments/scale shop/order`.
    pub what: String,
    /// Such as `deployments/scale`.
    pub resource: String,
    /// HTTP status.
    pub code: u64,
    /// `spec.replicas` of the request.
    pub replicas: Option<u64>,
    /// `spec.holderIdentity` of the request.
    pub holder: Option<String>,
}

/// The size of the log now, to read from later.
pub fn end(file: &Path) -> anyhow::Result<u64> {
    let metadata = std::fs::metadata(file).with_context(|| format!("cannot read the audit log {}", file.display()))?;
    Ok(metadata.len())
}

/// The writes of one user since the log had that size (all of them if it is smaller now), oldest first.
pub fn writes_since(file: &Path, size: u64, user: &str) -> anyhow::Result<Vec<Write>> {
    let failed = || format!("cannot read the audit log {}", file.display());
    let mut log = std::fs::File::open(file).with_context(failed)?;
    let from = if log.metadata().with_context(failed)?.len() < size { 0 } else { size };
    log.seek(SeekFrom::Start(from)).with_context(failed)?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).with_context(failed)?;
    let mut writes: Vec<Write> =
        String::from_utf8_lossy(&bytes).lines().filter_map(|line| write_in(line, user)).collect();
    writes.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(writes)
}

fn write_in(line: &str, user: &str) -> Option<Write> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let verb = text(&entry, "/verb");
    let is_write = ["create", "update", "patch", "delete"].contains(&verb);
    let is_dry = text(&entry, "/requestURI").contains("dryRun=");
    let is_impersonated = entry.get("impersonatedUser").is_some();
    if text(&entry, "/user/username") != user || !is_write || is_dry || is_impersonated {
        return None;
    }
    let subresource = text(&entry, "/objectRef/subresource");
    let slash = if subresource.is_empty() { "" } else { "/" };
    let resource = format!("{}{slash}{subresource}", text(&entry, "/objectRef/resource"));
    let (namespace, name) = (text(&entry, "/objectRef/namespace"), text(&entry, "/objectRef/name"));
    Some(Write {
        at: text(&entry, "/requestReceivedTimestamp").to_owned(),
        pod: text(&entry, "/user/extra/authentication.kubernetes.io~1pod-name/0").to_owned(),
        what: format!("{verb} {resource} {namespace}/{name}"),
        code: entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
        replicas: entry.pointer("/requestObject/spec/replicas").and_then(Value::as_u64),
        holder: entry.pointer("/requestObject/spec/holderIdentity").and_then(Value::as_str).map(str::to_owned),
        resource,
    })
}

impl Write {
    /// Whether the API server carried it out.
    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether it steers a workload: Leases, Events, reviews of rights and the policies' own status do not.
    pub fn steers(&self) -> bool {
        let kind = self.resource.split('/').next().unwrap_or_default();
        ["deployments", "statefulsets", "pods"].contains(&kind)
    }
}

/// Accepted writes that two leaders made as one: by a pod after another took the lead, or the same number of replicas twice in a
/// row. In words; empty when there is none.
pub fn double_writes(writes: &[Write]) -> Vec<String> {
    let mut found = Vec::new();
    let mut leader: Option<&str> = None;
    let mut last: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.accepted()) {
        if write.resource == "leases" {
            leader = write.holder.as_deref().filter(|holder| !holder.is_empty()).or(leader);
            continue;
        }
        if !write.steers() {
            continue;
        }
        if let Some(leader) = leader.filter(|leader| *leader != write.pod) {
            found.push(format!("{}: {} by {} while {leader} had the lead", write.at, write.what, write.pod));
        }
        if let Some(replicas) = write.replicas {
            if let Some((_, before)) = last.get(write.what.as_str()).filter(|(value, _)| *value == replicas) {
                found.push(format!("{}: {} to {replicas} again, after {before}", write.at, write.what));
            }
            last.insert(&write.what, (replicas, &write.at));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: &str, pod: &str, resource: &str, replicas: Option<u64>) -> Write {
        Write {
            at: at.to_owned(),
            pod: pod.to_owned(),
            what: format!("patch {resource} shop/order"),
            resource: resource.to_owned(),
            code: 200,
            replicas,
            holder: (resource == "leases").then(|| pod.to_owned()),
        }
    }

    #[test]
    fn a_line_of_the_log_is_read() {
        let line = r#"{"kind":"Event","verb":"patch","requestURI":"/apis/apps/v1/namespaces/shop/deployments/order/scale",
            "user":{"username":"system:serviceaccount:p:a","extra":{"authentication.kubernetes.io/pod-name":["a-1"]}},
            "objectRef":{"resource":"deployments","subresource":"scale","namespace":"shop","name":"order"},
            "responseStatus":{"code":200},"requestObject":{"spec":{"replicas":3}},
            "requestReceivedTimestamp":"2026-11-23T04:46:42.662813Z"}"#;
        let read = write_in(line, "system:serviceaccount:p:a").unwrap();
        assert_eq!(read, write("2026-11-23T04:46:42.662813Z", "a-1", "deployments/scale", Some(3)));
        assert!(write_in(line, "system:serviceaccount:p:b").is_none());
        assert!(
            write_in(&line.replace("order/scale", "order/scale?dryRun=All"), "system:serviceaccount:p:a").is_none()
        );
    }

    #[test]
    fn a_deposed_leader_that_still_writes_is_found() {
        let writes = [
            write("1", "a-1", "leases", None),
            write("2", "a-1", "deployments/scale", Some(2)),
            write("3", "a-2", "leases", None),
            write("4", "a-2", "deployments/scale", Some(3)),
            write("5", "a-1", "deployments/scale", Some(4)),
        ];
        assert_eq!(double_writes(&writes), ["5: patch deployments/scale shop/order by a-1 while a-2 had the lead"]);
        assert!(double_writes(&writes[..4]).is_empty());
        let asks_for_its_rights = write("5", "a-1", "selfsubjectaccessreviews", None);
        assert!(double_writes(&[&writes[..4], &[asks_for_its_rights]].concat()).is_empty());
    }

    #[test]
    fn the_same_replicas_twice_in_a_row_are_found_and_refused_writes_do_not_count() {
        let again = [write("1", "a", "deployments/scale", Some(2)), write("2", "b", "deployments/scale", Some(2))];
        assert_eq!(double_writes(&again), ["2: patch deployments/scale shop/order to 2 again, after 1"]);
        let refused = [again[0].clone(), Write { code: 409, ..again[1].clone() }];
        assert!(double_writes(&refused).is_empty());
    }
}
