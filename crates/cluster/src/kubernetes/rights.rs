//! What to say when the API server forbids something: the verb, the resource, and the rule that would grant it.

use super::watching::Resource;

/// The right to read a kind of object is missing.
pub(super) fn missing(resource: &Resource, namespace: Option<&str>, verb: &str, user: &str) -> String {
    let place = match namespace {
        Some(namespace) if resource.namespaced => format!("in namespace {namespace}"),
        _ => "in the whole cluster".to_owned(),
    };
    let verbs = if verb == "list" || verb == "watch" { "list, watch" } else { verb };
    remedy(user, verb, resource.group, resource.plural, &place, verbs)
}

/// The right to write is missing.
pub(super) fn missing_write(user: &str, verb: &str, group: &str, resource: &str, namespace: &str) -> String {
    remedy(user, verb, group, resource, &format!("in namespace {namespace}"), verb)
}

fn remedy(user: &str, verb: &str, group: &str, resource: &str, place: &str, verbs: &str) -> String {
    let user = if user.is_empty() { "this user" } else { user };
    format!(
        "{user} may not {verb} {resource} {place}: add a rule {{apiGroups: [{group:?}], resources: [{resource}], \
         verbs: [{verbs}]}} to its Role or ClusterRole"
    )
}
