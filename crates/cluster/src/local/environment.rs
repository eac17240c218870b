//! The environment and arguments of a replica, as the kubelet would build them: service variables, then `envFrom`, then
//! `env`, with `$(NAME)` expanded from what came before. Pure: knows no process and no file system.
//!
//! There is no container file system, so a path below a volume's `mountPath` is rewritten to the directory that stands
//! in for the volume, wherever it occurs in a value or an argument.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::manifest::Manifests;
use super::manifest::model::{Env, PodField, Source, Template};

/// A pod as its environment sees it.
pub(super) struct Pod<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub ip: IpAddr,
    pub template: &'a Template,
}

/// A Service as environment variables tell of it.
#[derive(Debug, Clone)]
pub(super) struct ServiceVariables {
    pub name: String,
    pub ip: IpAddr,
    /// Names and numbers of its ports; the first one is the port without a name.
    pub ports: Vec<(Option<String>, u16)>,
}

/// Variables and arguments of a replica.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Environment {
    pub variables: BTreeMap<String, String>,
    pub args: Vec<String>,
}

/// Builds the environment. `mounts` pairs each mount path with its stand-in, longest path first.
pub(super) fn build(
    pod: &Pod<'_>,
    manifests: &Manifests,
    services: &[ServiceVariables],
    mounts: &[(String, PathBuf)],
) -> Environment {
    let mut variables = BTreeMap::new();
    if pod.template.service_links {
        for service in services {
            add_service(&mut variables, service);
        }
    }
    for env in &pod.template.container.env {
        add(&mut variables, env, pod, manifests);
    }
    // Arguments expand what is not relocated yet: a stand-in may lie below a path that is itself a mount's.
    let args = pod.template.container.args.iter().map(|arg| relocate(&expand(arg, &variables), mounts)).collect();
    for value in variables.values_mut() {
        *value = relocate(value, mounts);
    }
    Environment { variables, args }
}

fn add_service(variables: &mut BTreeMap<String, String>, service: &ServiceVariables) {
    let prefix = format!("{}_SERVICE", variable_name(&service.name));
    variables.insert(format!("{prefix}_HOST"), service.ip.to_string());
    for (index, (name, port)) in service.ports.iter().enumerate() {
        if index == 0 {
            variables.insert(format!("{prefix}_PORT"), port.to_string());
        }
        if let Some(name) = name {
            variables.insert(format!("{prefix}_PORT_{}", variable_name(name)), port.to_string());
        }
    }
}

fn variable_name(name: &str) -> String {
    name.to_ascii_uppercase().replace(['-', '.'], "_")
}

fn add(variables: &mut BTreeMap<String, String>, env: &Env, pod: &Pod<'_>, manifests: &Manifests) {
    let object = |source: Source, name: &str| {
        let known = match source {
            Source::ConfigMap => &manifests.config_maps,
            Source::Secret => &manifests.secrets,
        };
        known.get(&(pod.namespace.to_owned(), name.to_owned()))
    };
    match env {
        Env::All { prefix, source, name } => {
            for (key, value) in object(*source, name).into_iter().flatten() {
                variables.insert(format!("{prefix}{key}"), value.clone());
            }
        }
        Env::Value { name, value } => {
            let value = expand(value, variables);
            variables.insert(name.clone(), value);
        }
        Env::Key { name, source, object: from, key } => {
            if let Some(value) = object(*source, from).and_then(|values| values.get(key)) {
                variables.insert(name.clone(), value.clone());
            }
        }
        Env::Field { name, field } => {
            variables.insert(name.clone(), field_value(pod, field));
        }
    }
}

fn field_value(pod: &Pod<'_>, field: &PodField) -> String {
    match field {
        PodField::Name => pod.name.to_owned(),
        PodField::Namespace => pod.namespace.to_owned(),
        PodField::Ip => pod.ip.to_string(),
        PodField::Label(key) => pod.template.labels.get(key).cloned().unwrap_or_default(),
        PodField::Annotation(key) => pod.template.annotations.get(key).cloned().unwrap_or_default(),
        PodField::Fixed(value) => value.clone(),
    }
}

/// Expands `$(NAME)`; `$$` is a dollar sign, and a name that is not known stays as it is written.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        expanded.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some((name, tail)) = reference {
            match variables.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&rest[position..rest.len() - tail.len()]),
            }
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// Rewrites every path below a mount. A mount path only counts where a path begins and where a segment ends, so that
/// `/data` is found in `sqlite:///data/a.db`, but neither in `/var/data`, `/database` nor `http://data`.
fn relocate(text: &str, mounts: &[(String, PathBuf)]) -> String {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut relocated = String::with_capacity(text.len());
    let mut rest = text;
    'text: while !rest.is_empty() {
        if !relocated.ends_with(part_of_name) && !relocated.ends_with(":/") {
            for (path, stand_in) in mounts {
                if let Some(tail) = rest.strip_prefix(path.as_str())
                    && !tail.starts_with(part_of_name)
                {
                    relocated.push_str(&stand_in.to_string_lossy());
                    rest = tail;
                    continue 'text;
                }
            }
        }
        let length = rest.chars().next().map_or(0, char::len_utf8);
        relocated.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    relocated
}

#[cfg(test)]
mod tests;
