//! Turns one raw object into its checked form; every error names the field. What concerns several objects is in
//! `cross`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use protocol::quantity::Quantity;
use protocol::yaml::{Document, DocumentError};

use super::model::{
    Container, Deployment, Env, Key, Mount, PodField, Port, Probe, ProbeTarget, Service, ServicePort, Source, Template,
    Volume, resolve_port,
};
use super::raw;
use super::scalar::{NumberOrText, Share, Text};
use crate::{Resources, WorkloadKind, WorkloadRef};

/// Kubernetes' defaults (API reference, apps/v1 and core/v1).
const SURGE_DEFAULT: Share = Share::Percent(25);
const PROGRESS_DEADLINE_DEFAULT_SECONDS: u32 = 600;
const GRACE_DEFAULT_SECONDS: u32 = 30;
const PROBE_PERIOD_DEFAULT_SECONDS: u32 = 10;
const PROBE_TIMEOUT_DEFAULT_SECONDS: u32 = 1;
const PROBE_FAILURES_DEFAULT: u32 = 3;

/// Length of a DNS label (RFC 1123), which names of Services and Deployments must be.
const NAME_LENGTH_MAX: usize = 63;

/// How the executable may be called in `command`.
const EXECUTABLE_NAME: &str = "plimsoll";

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
        container: self::container(document, container)?,
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

fn container(document: &Document, raw: raw::Container) -> Checked<Container> {
    let args = arguments(document, &raw)?;
    let ports = ports(document, &raw.ports)?;
    let resources = resources(document, &raw.resources)?;
    let env = environment(document, raw.env_from, raw.env, &resources)?;
    let probe = |field: &str, raw: Option<raw::Probe>| {
        raw.map(|raw| self::probe(document, &format!("{CONTAINER}.{field}"), raw, &ports)).transpose()
    };
    Ok(Container {
        name: raw.name.0,
        args,
        env,
        readiness: probe("readinessProbe", raw.readiness_probe)?,
        liveness: probe("livenessProbe", raw.liveness_probe)?,
        startup: probe("startupProbe", raw.startup_probe)?,
        resources: resources.into(),
        ports,
    })
}

/// The arguments for this binary; refuses what only a container engine could run.
fn arguments(document: &Document, raw: &raw::Container) -> Checked<Vec<String>> {
    let image = &raw.image.0;
    let repository = image.rsplit('/').next().unwrap_or_default();
    let repository = repository.split(['@', ':']).next().unwrap_or_default();
    if repository != EXECUTABLE_NAME {
        let message = format!(
            "{image:?} cannot be run: the local runtime runs no containers, only processes of this binary, \
             whose image is called {EXECUTABLE_NAME:?}"
        );
        return Err(document.error(&format!("{CONTAINER}.image"), &message));
    }
    let mut command = raw.command.iter().map(|text| text.0.clone());
    if let Some(executable) = command.next()
        && executable.rsplit('/').next() != Some(EXECUTABLE_NAME)
    {
        let message = format!("{executable:?} cannot be run: only {EXECUTABLE_NAME:?} can");
        return Err(document.error(&format!("{CONTAINER}.command"), &message));
    }
    Ok(command.chain(raw.args.iter().map(|text| text.0.clone())).collect())
}

fn ports(document: &Document, raw: &[raw::ContainerPort]) -> Checked<Vec<Port>> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, port) in raw.iter().enumerate() {
        let field = format!("{CONTAINER}.ports[{index}]");
        tcp_only(document, &field, port.protocol.as_deref())?;
        if port.container_port == 0 {
            return Err(document.error(&format!("{field}.containerPort"), "must be 1 to 65535"));
        }
        let name = port.name.as_ref().map(|text| text.0.clone());
        if name.as_ref().is_some_and(|name| !seen.insert(name.clone())) {
            return Err(document.error(&format!("{field}.name"), "is used twice"));
        }
        ports.push(Port { name, number: port.container_port });
    }
    Ok(ports)
}

fn resources(document: &Document, raw: &raw::ResourceRequirements) -> Checked<Resources> {
    let pairs = [("cpu", raw.requests.cpu, raw.limits.cpu), ("memory", raw.requests.memory, raw.limits.memory)];
    for (name, request, limit) in pairs {
        if request.is_some_and(|request| request < Quantity::default())
            || limit.is_some_and(|l| l <= Quantity::default())
        {
            return Err(document.error(&format!("{CONTAINER}.resources"), &format!("{name} must be positive")));
        }
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            let field = format!("{CONTAINER}.resources.requests.{name}");
            return Err(document.error(&field, &format!("{request} is more than the limit {limit}")));
        }
    }
    // As Kubernetes does: a limit without a request is the request too.
    Ok(Resources {
        cpu_request: raw.requests.cpu.or(raw.limits.cpu),
        cpu_limit: raw.limits.cpu,
        memory_request: raw.requests.memory.or(raw.limits.memory),
        memory_limit: raw.limits.memory,
    })
}

fn probe(document: &Document, field: &str, raw: raw::Probe, ports: &[Port]) -> Checked<Probe> {
    let port = |field: String, wanted: &NumberOrText| {
        let unknown = || document.error(&field, "is not a port of this container");
        resolve_port(wanted, ports).ok_or_else(unknown)
    };
    let target = match (raw.http_get, raw.tcp_socket) {
        (Some(http), None) => {
            if let Some(scheme) = http.scheme.filter(|scheme| scheme != "HTTP") {
                return Err(document.error(&format!("{field}.httpGet.scheme"), &format!("{scheme:?} is not HTTP")));
            }
            let path = http.path.map_or_else(|| "/".to_owned(), |text| text.0);
            ProbeTarget::Http { port: port(format!("{field}.httpGet.port"), &http.port)?, path }
        }
        (None, Some(tcp)) => ProbeTarget::Tcp { port: port(format!("{field}.tcpSocket.port"), &tcp.port)? },
        _ => return Err(document.error(field, "needs one of httpGet and tcpSocket")),
    };
    let at_least_one = |name: &str, value: Option<u32>, default: u32| match value.unwrap_or(default) {
        0 => Err(document.error(&format!("{field}.{name}"), "must be at least 1")),
        number => Ok(number),
    };
    let successes = at_least_one("successThreshold", raw.success_threshold, 1)?;
    if successes > 1 && !field.ends_with("readinessProbe") {
        return Err(document.error(&format!("{field}.successThreshold"), "must be 1"));
    }
    Ok(Probe {
        target,
        initial_delay: seconds(raw.initial_delay_seconds.unwrap_or(0)),
        period: seconds(at_least_one("periodSeconds", raw.period_seconds, PROBE_PERIOD_DEFAULT_SECONDS)?),
        timeout: seconds(at_least_one("timeoutSeconds", raw.timeout_seconds, PROBE_TIMEOUT_DEFAULT_SECONDS)?),
        failures: at_least_one("failureThreshold", raw.failure_threshold, PROBE_FAILURES_DEFAULT)?,
        successes,
    })
}

fn environment(
    document: &Document,
    all: Vec<raw::EnvFrom>,
    single: Vec<raw::EnvVar>,
    resources: &Resources,
) -> Checked<Vec<Env>> {
    let mut env = Vec::new();
    for (index, raw) in all.into_iter().enumerate() {
        let field = format!("{CONTAINER}.envFrom[{index}]");
        let (source, reference) = match (raw.config_map_ref, raw.secret_ref) {
            (Some(reference), None) => (Source::ConfigMap, reference),
            (None, Some(reference)) => (Source::Secret, reference),
            _ => return Err(document.error(&field, "needs one of configMapRef and secretRef")),
        };
        refuse_optional(document, &field, reference.optional)?;
        env.push(Env::All { prefix: raw.prefix.0, source, name: reference.name.0 });
    }
    for (index, raw) in single.into_iter().enumerate() {
        env.push(variable(document, &format!("{CONTAINER}.env[{index}]"), raw, resources)?);
    }
    Ok(env)
}

fn refuse_optional(document: &Document, field: &str, optional: bool) -> Checked<()> {
    if optional { Err(document.error(&format!("{field}.optional"), "true is not supported")) } else { Ok(()) }
}

fn variable(document: &Document, field: &str, raw: raw::EnvVar, resources: &Resources) -> Checked<Env> {
    let name = raw.name.0;
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(document.error(&format!("{field}.name"), "is not the name of an environment variable"));
    }
    let Some(source) = raw.value_from else {
        return Ok(Env::Value { name, value: raw.value.unwrap_or_default().0 });
    };
    let field = format!("{field}.valueFrom");
    if raw.value.is_some() {
        return Err(document.error(&field, "cannot stand beside value"));
    }
    match (source.config_map_key_ref, source.secret_key_ref, source.field_ref, source.resource_field_ref) {
        (Some(key), None, None, None) => key_variable(document, &field, name, Source::ConfigMap, key),
        (None, Some(key), None, None) => key_variable(document, &field, name, Source::Secret, key),
        (None, None, Some(reference), None) => {
            let field = format!("{field}.fieldRef.fieldPath");
            Ok(Env::Field { name, field: pod_field(document, &field, &reference.field_path.0)? })
        }
        (None, None, None, Some(reference)) => {
            let field = format!("{field}.resourceFieldRef");
            Ok(Env::Field { name, field: resource_field(document, &field, &reference, resources)? })
        }
        _ => Err(document.error(&field, "needs one of configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef")),
    }
}

fn key_variable(document: &Document, field: &str, name: String, source: Source, key: raw::KeyRef) -> Checked<Env> {
    refuse_optional(document, field, key.optional)?;
    Ok(Env::Key { name, source, object: key.name.0, key: key.key.0 })
}

fn pod_field(document: &Document, field: &str, path: &str) -> Checked<PodField> {
    let key = |prefix: &str| {
        let quoted = path.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?;
        Some(quoted.trim_matches(['\'', '"']).to_owned())
    };
    match path {
        "metadata.name" => Ok(PodField::Name),
        "metadata.namespace" => Ok(PodField::Namespace),
        "status.podIP" => Ok(PodField::Ip),
        _ => key("metadata.labels").map(PodField::Label).or_else(|| key("metadata.annotations").map(PodField::Annotation)).ok_or_else(|| {
            let expected = "metadata.name, metadata.namespace, status.podIP, metadata.labels['KEY'] or metadata.annotations['KEY']";
            document.error(field, &format!("{path:?} is not known here: expected {expected}"))
        }),
    }
}

fn resource_field(
    document: &Document,
    field: &str,
    reference: &raw::ResourceFieldRef,
    resources: &Resources,
) -> Checked<PodField> {
    let value = match reference.resource.0.as_str() {
        "requests.cpu" => resources.cpu_request,
        "limits.cpu" => resources.cpu_limit,
        "requests.memory" => resources.memory_request,
        "limits.memory" => resources.memory_limit,
        other => {
            let expected = "expected requests.cpu, limits.cpu, requests.memory or limits.memory";
            return Err(document.error(&format!("{field}.resource"), &format!("{other:?} is not known: {expected}")));
        }
    };
    let Some(value) = value else {
        return Err(document.error(&format!("{field}.resource"), "is not set for this container"));
    };
    let divisor = reference.divisor.unwrap_or(Quantity::from_units(1)).millis();
    if divisor <= 0 {
        return Err(document.error(&format!("{field}.divisor"), "must be positive"));
    }
    let quotient = value.millis().div_euclid(divisor) + i64::from(value.millis().rem_euclid(divisor) != 0);
    Ok(PodField::Fixed(quotient.to_string()))
}
