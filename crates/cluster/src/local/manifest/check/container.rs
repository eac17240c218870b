//! Checks the container of a replica: what it runs, its environment, ports, probes and resources.

use std::collections::BTreeSet;

use protocol::quantity::Quantity;
use protocol::yaml::Document;

use super::super::model::{Container, Env, PodField, Port, Probe, ProbeTarget, Source, resolve_port};
use super::super::raw;
use super::super::scalar::NumberOrText;
use super::{CONTAINER, Checked, seconds, tcp_only};
use crate::Resources;

/// Kubernetes' defaults (API reference, core/v1).
const PROBE_PERIOD_DEFAULT_SECONDS: u32 = 10;
const PROBE_TIMEOUT_DEFAULT_SECONDS: u32 = 1;
const PROBE_FAILURES_DEFAULT: u32 = 3;

/// How the executable may be called in `command`.
const EXECUTABLE_NAME: &str = "plimsoll";

pub(super) fn container(document: &Document, raw: raw::Container) -> Checked<Container> {
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
