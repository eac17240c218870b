//! Turns one raw object into its checked form; every error names the field. Containers are checked in `container`, what
//! concerns several objects in `cross`.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use protocol::yaml::{Document, DocumentError};

use super::model::{Deployment, Key, Mount, Service, ServicePort, Template, Volume};
use super::raw;
use super::scalar::{NumberOrText, Share, Text};
use crate::{WorkloadKind, WorkloadRef};

mod container;

/// Kubernetes' defaults (API reference, apps/v1 and core/v1).
const SURGE_DEFAULT: Share = Share::Percent(25);
const PROGRESS_DEADLINE_DEFAULT_SECONDS: u32 = 600;
const GRACE_DEFAULT_SECONDS: u32 = 30;

/// Length of a DNS label (RFC 1123), which names of Services and Deployments must be.
const NAME_LENGTH_MAX: usize = 63;

const CONTAINER: &str = "spec.template.spec.containers[0]";

type Checked<T> = Result<T, DocumentError>;

fn seconds(number: u32) -> Duration {
    Duration::from_secs(u64::from(number))
}

pub(super) fn texts(map: BTreeMap<String, Text>) -> BTreeMap<String, String> {
    map.into_iter().map(|(key, text)| (key, text.0)).collect()
}

pub(super) fn name(document: &Document, field: &str, name: &str) -> Checked<()> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(|c| letters(c) || c == '.');
    if fits && !name.starts_with(['-', '.']) && !name.ends_with(['-', '.']) {
        return Ok(());
    }
    let message = format!("{name:?} is not a name: up to {NAME_LENGTH_MAX} of a-z, 0-9, - and .");
    Err(document.error(field, &message))
}

pub(super) fn secret(
    document: &Document,
    data: BTreeMap<String, Text>,
    string_data: BTreeMap<String, Text>,
) -> Checked<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for (key, text) in data {
        let field = format!("data.{key}");
        let bytes = BASE64_STANDARD
            .decode(text.0.trim())
            .map_err(|_| document.error(&field, "is not base64: plain text belongs in stringData"))?;
        let value = String::from_utf8(bytes).map_err(|_| document.error(&field, "does not decode to UTF-8 text"))?;
        values.insert(key, value);
    }
    values.extend(texts(string_data));
    Ok(values)
}

pub(super) fn service(document: &Document, (namespace, name): Key, spec: raw::ServiceSpec) -> Checked<Service> {
    if let Some(kind) = spec.kind.filter(|kind| !["ClusterIP", "NodePort", "LoadBalancer"].contains(&kind.as_str())) {
        return Err(document.error("spec.type", &format!("{kind:?} is not ClusterIP, NodePort or LoadBalancer")));
    }
    if spec.cluster_ip.is_some_and(|address| address != "None") {
        return Err(document.error("spec.clusterIP", "addresses are chosen by the runtime: leave it out, or \"None\""));
    }
    if spec.selector.is_empty() {
        return Err(document.error("spec.selector", "is missing: the local runtime has no other endpoints"));
    }
    if spec.ports.is_empty() {
        return Err(document.error("spec.ports", "needs at least one port"));
    }
    let named = spec.ports.iter().filter(|port| port.name.is_some()).count();
    if spec.ports.len() > 1 && named < spec.ports.len() {
        return Err(document.error("spec.ports", "each needs a name when there are several"));
    }
    let mut ports = Vec::new();
    for (index, port) in spec.ports.into_iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        tcp_only(document, &field, port.protocol.as_deref())?;
        if port.port == 0 {
            return Err(document.error(&format!("{field}.port"), "must be 1 to 65535"));
        }
        let target = port.target_port.unwrap_or(NumberOrText::Number(u32::from(port.port)));
        ports.push(ServicePort { name: port.name.map(|text| text.0), port: port.port, target });
    }
    Ok(Service { namespace, name, selector: texts(spec.selector), ports })
}

fn tcp_only(document: &Document, field: &str, protocol: Option<&str>) -> Checked<()> {
    match protocol {
        None | Some("TCP") => Ok(()),
        Some(other) => Err(document.error(&format!("{field}.protocol"), &format!("{other:?} is not TCP"))),
    }
}

pub(super) fn deployment(
    document: &Document,
    (namespace, name): Key,
    spec: raw::DeploymentSpec,
) -> Checked<Deployment> {
    if let Some(kind) = spec.strategy.kind.as_deref().filter(|kind| *kind != "RollingUpdate") {
        return Err(document.error("spec.strategy.type", &format!("{kind:?}: only RollingUpdate is supported")));
    }
    let rolling = spec.strategy.rolling_update.unwrap_or_default();
    let max_surge = rolling.max_surge.unwrap_or(SURGE_DEFAULT);
    let max_unavailable = rolling.max_unavailable.unwrap_or(SURGE_DEFAULT);
    let zero = |share| matches!(share, Share::Count(0) | Share::Percent(0));
    if zero(max_surge) && zero(max_unavailable) {
        let field = "spec.strategy.rollingUpdate.maxUnavailable";
        return Err(document.error(field, "cannot be 0 when maxSurge is 0 too"));
    }
    let selector = texts(spec.selector.match_labels);
    let labels = texts(spec.template.metadata.labels);
    if selector.is_empty() {
        return Err(document.error("spec.selector.matchLabels", "needs at least one label"));
    }
    if let Some((key, value)) = selector.iter().find(|(key, value)| labels.get(*key) != Some(*value)) {
        let message = format!("{key}: {value} is not among spec.template.metadata.labels");
        return Err(document.error("spec.selector.matchLabels", &message));
    }
    let annotations = texts(spec.template.metadata.annotations);
    let template = template(document, labels, annotations, spec.template.spec)?;
    Ok(Deployment {
        reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace, name },
        replicas: spec.replicas.unwrap_or(1),
        max_surge,
        max_unavailable,
        min_ready: seconds(spec.min_ready_seconds),
        progress_deadline: seconds(spec.progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE_DEFAULT_SECONDS)),
        template,
    })
}

fn template(
    document: &Document,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: raw::PodSpec,
) -> Checked<Template> {
    if let Some(policy) = spec.restart_policy.filter(|policy| policy != "Always") {
        let message = format!("{policy:?}: a Deployment's replicas are restarted Always");
        return Err(document.error("spec.template.spec.restartPolicy", &message));
    }
    let count = spec.containers.len();
    let Ok([container]) = <[raw::Container; 1]>::try_from(spec.containers) else {
        let message = format!("has {count} containers; the local runtime runs exactly one a replica today");
        return Err(document.error("spec.template.spec.containers", &message));
    };
    let mounts = mounts(document, &container.volume_mounts, &spec.volumes)?;
    Ok(Template {
        labels,
        annotations,
        container: container::container(document, container)?,
        mounts,
        grace: seconds(spec.termination_grace_period_seconds.unwrap_or(GRACE_DEFAULT_SECONDS)),
        service_links: spec.enable_service_links.unwrap_or(true),
    })
}

fn mounts(document: &Document, mounts: &[raw::VolumeMount], volumes: &[raw::Volume]) -> Checked<Vec<Mount>> {
    let mut known = BTreeMap::new();
    for (index, volume) in volumes.iter().enumerate() {
        let field = format!("spec.template.spec.volumes[{index}]");
        let name = volume.name.0.clone();
        let value = match (volume.empty_dir, &volume.persistent_volume_claim) {
            (true, None) => Volume::Empty { name: name.clone() },
            (false, Some(claim)) => Volume::Claim { name: claim.claim_name.0.clone() },
            _ => return Err(document.error(&field, "needs one of emptyDir and persistentVolumeClaim")),
        };
        self::name(document, &format!("{field}.name"), &name)?;
        if known.insert(name, value).is_some() {
            return Err(document.error(&format!("{field}.name"), "is used twice"));
        }
    }
    let mut checked = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("{CONTAINER}.volumeMounts[{index}]");
        let path = mount.mount_path.0.trim_end_matches('/');
        if !path.starts_with('/') {
            return Err(document.error(&format!("{field}.mountPath"), "must be an absolute path other than /"));
        }
        let Some(volume) = known.get(&mount.name.0) else {
            let message = format!("{:?} is not among spec.template.spec.volumes", mount.name.0);
            return Err(document.error(&format!("{field}.name"), &message));
        };
        checked.push(Mount { path: path.to_owned(), volume: volume.clone() });
    }
    // The longest path first: a mount inside another one wins, as on a real file system.
    checked.sort_by_key(|mount| std::cmp::Reverse(mount.path.len()));
    Ok(checked)
}
