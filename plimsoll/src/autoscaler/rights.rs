//! What `plimsoll autoscaler` must be allowed to do, asked of the API server before anything runs: whoever lacks a right is told
//! all of them at once, and not one a minute by a log.

use cluster::kubernetes::access::Connection;
use cluster::kubernetes::review::{Right, in_words, missing};

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Namespaces; none means all.
    pub namespaces: &'a [String],
    /// Policies are objects of the cluster.
    pub objects: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// Namespace and name of the Lease.
    pub lease: Option<(&'a str, &'a str)>,
}

/// Without these it can do nothing.
const READ: [(&str, &str); 4] =
    [("", "pods"), ("apps", "deployments"), ("apps", "statefulsets"), ("apps", "replicasets")];

/// Without these it can steer nothing.
const WRITE: [(&str, &str, &str); 3] = [
    ("patch", "apps", "deployments/scale"),
    ("patch", "apps", "statefulsets/scale"),
    ("create", "events.k8s.io", "events"),
];

/// Asks for all of them.
pub async fn check(connection: &Connection, asked: Asked<'_>) -> Result<(), String> {
    let missing = missing(connection, wanted(asked))
        .await
        .map_err(|reason| format!("the API server {} does not answer: {reason}", connection.server))?;
    if missing.is_empty() {
        return Ok(());
    }
    let user = if connection.user.is_empty() { "this user" } else { &connection.user };
    Err(format!(
        "{user} lacks rights that the autoscaler needs: {}; grant them by a Role or ClusterRole such as the chart's, choose other \
         credentials with --kubeconfig or --context, or fewer namespaces with --namespace",
        in_words(&missing)
    ))
}

fn wanted(asked: Asked<'_>) -> Vec<Right> {
    let everywhere = [None];
    let some: Vec<Option<String>> = asked.namespaces.iter().cloned().map(Some).collect();
    let namespaces: &[Option<String>] = if some.is_empty() { &everywhere } else { &some };
    let mut wanted = Vec::new();
    for namespace in namespaces {
        let mut want = |verb, group, resource| {
            wanted.push(Right { verb, group, resource, namespace: namespace.clone(), name: None });
        };
        let policies = asked.objects.then_some(("plimsoll.dev", "scalingpolicies"));
        for (group, resource) in READ.into_iter().chain(policies) {
            want("list", group, resource);
            want("watch", group, resource);
        }
        let status = asked.objects.then_some(("patch", "plimsoll.dev", "scalingpolicies/status"));
        for (verb, group, resource) in WRITE.into_iter().chain(status).filter(|_| !asked.dry_run) {
            want(verb, group, resource);
        }
    }
    if let Some((namespace, name)) = asked.lease {
        // RBAC does not see the name of what is not there yet.
        for (verb, name) in [("get", Some(name)), ("update", Some(name)), ("create", None)] {
            let (namespace, name) = (Some(namespace.to_owned()), name.map(str::to_owned));
            wanted.push(Right { verb, group: "coordination.k8s.io", resource: "leases", namespace, name });
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_needs_no_right() {
        let words = |asked| in_words(&wanted(asked));
        let namespaces = ["shop".to_owned()];
        let least = Asked { namespaces: &[], objects: false, dry_run: true, lease: None };
        let read = "list, watch pods; list, watch deployments (apps); list, watch statefulsets (apps); \
                    list, watch replicasets (apps)";
        assert_eq!(words(least), read);
        let all = words(Asked {
            namespaces: &namespaces,
            objects: true,
            dry_run: false,
            lease: Some(("plimsoll", "plimsoll-autoscaler")),
        });
        for part in [
            "list, watch scalingpolicies (plimsoll.dev) in namespace shop",
            "patch deployments/scale (apps) in namespace shop",
            "patch scalingpolicies/status (plimsoll.dev) in namespace shop",
            "get, update, create leases (coordination.k8s.io) in namespace plimsoll",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }
}
