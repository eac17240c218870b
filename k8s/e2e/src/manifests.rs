//! Manifests as values, and what the suite changes in them: the image, volumes for clusters that provide none, addresses for
//! clusters without DNS. Reads nothing but the folder that it is asked for.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::kubectl::{name, text};

/// The volumes that the suite makes are this large on paper; a directory has no size.
const VOLUME_SIZE: &str = "1Ti";

/// Reads YAML of several documents; lists become their items.
pub fn parse(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in protocol::yaml::split("manifests".as_ref(), yaml) {
        let value: Value = document.parse().context("the manifests do not parse")?;
        match value["items"].as_array() {
            Some(items) if value["kind"] == "List" => objects.extend(items.iter().cloned()),
            _ => objects.push(value),
        }
    }
    Ok(objects)
}

/// The names of the Deployments in a folder's YAML files, sorted.
pub fn deployments(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let objects = parse(&text)?;
            let found = objects.iter().filter(|object| crate::kubectl::text(object, "/kind") == "Deployment");
            names.extend(found.map(|object| name(object).to_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// `KIND NAMESPACE/NAME`, for messages.
pub fn title(object: &Value) -> String {
    let namespace = text(object, "/metadata/namespace");
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{} {namespace}{slash}{}", text(object, "/kind"), name(object))
}

/// Kinds that are in no namespace, among those that we deploy.
const OF_THE_CLUSTER: [&str; 7] = [
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "PriorityClass",
];

/// Names the namespace in every object that has none and needs one, and labels those that are in none, so that they are found
/// again; not an admission policy that the chart keeps when it goes, for what it says there.
pub fn place(objects: &mut [Value], namespace: &str, label: (&str, &str)) {
    for object in objects {
        let kind = text(object, "/kind");
        let is_kept = object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
        if is_kept && kind.starts_with("ValidatingAdmissionPolicy") {
            continue;
        }
        if OF_THE_CLUSTER.contains(&kind) {
            object["metadata"]["labels"][label.0] = json!(label.1);
        } else if text(object, "/metadata/namespace").is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
    }
}

/// Gives every container of ours (its image is called `plimsoll`, wherever it lies) this image. Gives how many.
pub fn set_image(objects: &mut [Value], image: &str) -> usize {
    let mut changed = 0;
    for object in objects {
        for list in ["initContainers", "containers"] {
            let containers = object.pointer_mut(&format!("/spec/template/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                if is_ours(text(container, "/image")) {
                    container["image"] = json!(image);
                    container["imagePullPolicy"] = json!("IfNotPresent");
                    changed += 1;
                }
            }
        }
    }
    changed
}

fn is_ours(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next() == Some("plimsoll")
}

/// A claim to a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    modes: Value,
}

/// The claims in these objects, those that StatefulSets will make included.
pub fn claims(objects: &[Value]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for object in objects {
        let namespace = text(object, "/metadata/namespace").to_owned();
        match text(object, "/kind") {
            "PersistentVolumeClaim" => {
                let modes = object["spec"]["accessModes"].clone();
                claims.push(Claim { namespace, name: name(object).to_owned(), modes });
            }
            "StatefulSet" => {
                let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
                for template in object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
                    for ordinal in 0..replicas {
                        let name = format!("{}-{}-{ordinal}", name(template), name(object));
                        let modes = template["spec"]["accessModes"].clone();
                        claims.push(Claim { namespace: namespace.clone(), name, modes });
                    }
                }
            }
            _ => {}
        }
    }
    claims
}

/// A volume for one claim: a directory of the node. `label` marks it for removal.
pub fn volume(claim: &Claim, path: &str, label: (&str, &str)) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": format!("{}-{}", claim.namespace, claim.name), "labels": {label.0: label.1}},
        "spec": {
            "capacity": {"storage": VOLUME_SIZE},
            "accessModes": claim.modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": path, "type": "Directory"},
            "claimRef": {"namespace": claim.namespace, "name": claim.name},
        },
    })
}

/// Claims no class of storage, so that the claim waits for a volume made by hand.
pub fn without_storage_class(objects: &mut [Value]) {
    for object in objects {
        if text(object, "/kind") == "PersistentVolumeClaim" {
            object["spec"]["storageClassName"] = json!("");
        }
        let templates = object.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
        for template in templates.into_iter().flatten() {
            template["spec"]["storageClassName"] = json!("");
        }
    }
}

/// A Service and the address that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its cluster IP.
    pub ip: String,
}

/// Writes addresses for names of Services into the environment and arguments of every container, for a cluster without DNS.
/// A name alone is one of the object's own namespace.
pub fn without_dns(objects: &mut [Value], addresses: &[Address]) {
    for object in objects {
        let namespace = text(object, "/metadata/namespace").to_owned();
        for list in ["initContainers", "containers"] {
            let containers = object.pointer_mut(&format!("/spec/template/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                for field in ["args", "command", "env"] {
                    rewrite(&mut container[field], &namespace, addresses);
                }
                if let Some(map) = container.as_object_mut() {
                    map.retain(|_, value| !value.is_null());
                }
            }
        }
    }
}

fn rewrite(value: &mut Value, namespace: &str, addresses: &[Address]) {
    match value {
        Value::String(text) => {
            for address in addresses {
                *text = with_address(text, namespace, address);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, namespace, addresses)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rewrite(field, namespace, addresses)),
        _ => {}
    }
}

fn with_address(text: &str, namespace: &str, address: &Address) -> String {
    let Address { namespace: home, service, ip } = address;
    let mut names = vec![
        format!("{service}.{home}.svc.cluster.local"),
        format!("{service}.{home}.svc"),
        format!("{service}.{home}"),
    ];
    if home == namespace {
        names.push(service.clone());
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (host, after) = rest.split_at(end);
    if names.iter().any(|name| name.trim_end_matches('.') == host.trim_end_matches('.')) {
        return format!("{scheme}://{ip}{after}");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests;
