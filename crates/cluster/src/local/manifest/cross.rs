//! What must hold between objects: keys that are referred to exist, Services select something, mounts have a claim.
//! Looks at each object only through its checked form.

use std::collections::BTreeMap;

use protocol::yaml::DocumentError;

use super::model::{Env, Source, Volume};
use super::{Located, Objects, model};

pub(super) fn check(objects: &Objects) -> Result<(), DocumentError> {
    for deployment in &objects.deployments {
        check_environment(objects, deployment)?;
        check_claims(objects, deployment)?;
    }
    for service in &objects.services {
        check_service(objects, service)?;
    }
    Ok(())
}

fn check_environment(objects: &Objects, deployment: &Located<model::Deployment>) -> Result<(), DocumentError> {
    let namespace = &deployment.value.reference.namespace;
    let sources = &deployment.value.template.container.env;
    let all = sources.iter().filter(|env| matches!(env, Env::All { .. })).count();
    for (index, env) in sources.iter().enumerate() {
        let (source, object, key) = match env {
            Env::All { source, name, .. } => (*source, name, None),
            Env::Key { source, object, key, .. } => (*source, object, Some(key)),
            Env::Value { .. } | Env::Field { .. } => continue,
        };
        let list = if index < all { "envFrom" } else { "env" };
        let position = if index < all { index } else { index - all };
        let field = format!("spec.template.spec.containers[0].{list}[{position}]");
        let (kind, known) = match source {
            Source::ConfigMap => ("ConfigMap", &objects.config_maps),
            Source::Secret => ("Secret", &objects.secrets),
        };
        let Some(values) = known.get(&(namespace.clone(), object.clone())) else {
            return Err(deployment.document.error(&field, &format!("{kind} {namespace}/{object} does not exist")));
        };
        if let Some(key) = key.filter(|key| !values.contains_key(*key)) {
            let message = format!("{kind} {namespace}/{object} has no key {key:?}{}", keys(values));
            return Err(deployment.document.error(&field, &message));
        }
    }
    Ok(())
}

fn keys(values: &BTreeMap<String, String>) -> String {
    let names: Vec<&str> = values.keys().map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}

fn check_claims(objects: &Objects, deployment: &Located<model::Deployment>) -> Result<(), DocumentError> {
    let namespace = &deployment.value.reference.namespace;
    for mount in &deployment.value.template.mounts {
        if let Volume::Claim { name } = &mount.volume
            && !objects.claims.contains(&(namespace.clone(), name.clone()))
        {
            let message = format!("PersistentVolumeClaim {namespace}/{name} does not exist");
            return Err(deployment.document.error("spec.template.spec.volumes", &message));
        }
    }
    Ok(())
}

fn check_service(objects: &Objects, service: &Located<model::Service>) -> Result<(), DocumentError> {
    let selected: Vec<_> = objects
        .deployments
        .iter()
        .map(|located| &located.value)
        .filter(|d| service.value.selects(&d.reference.namespace, &d.template.labels))
        .collect();
    if selected.is_empty() {
        let message = format!("selects no Deployment of namespace {}", service.value.namespace);
        return Err(service.document.error("spec.selector", &message));
    }
    for (index, port) in service.value.ports.iter().enumerate() {
        for deployment in &selected {
            if port.resolve(&deployment.template.container.ports).is_none() {
                let field = format!("spec.ports[{index}].targetPort");
                let message = format!("{} has no such port", deployment.reference);
                return Err(service.document.error(&field, &message));
            }
        }
    }
    Ok(())
}
