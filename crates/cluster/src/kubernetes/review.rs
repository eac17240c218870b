//! Asks the API server, before anything runs, what this user may do. Grants nothing and steers nothing; what is missing comes
//! back as one message.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use lifecycle::words;
use tokio::time::timeout;

use super::access::Connection;

/// Questions under way at once: a start asks a few dozen.
const QUESTIONS_AT_ONCE: usize = 8;

/// Longest time for an answer: as long as the first greeting has.
const PATIENCE: Duration = Duration::from_secs(10);

/// A right to do something with one kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource, with its subresource where one is meant: `deployments/scale`.
    pub resource: &'static str,
    /// Where; `None` means everywhere.
    pub namespace: Option<String>,
    /// One object by its name; `None` means all.
    pub name: Option<String>,
}

/// Rights that the API server says are missing. One that cannot be asked about counts as there: the first call tells.
///
/// # Errors
/// Why the API server did not answer.
pub async fn missing(connection: &Connection, rights: Vec<Right>) -> Result<Vec<Right>, String> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(connection.client().clone());
    let mut answers = stream::iter(rights.into_iter().enumerate())
        .map(|(place, right)| {
            let reviews = reviews.clone();
            async move {
                let answer = timeout(PATIENCE, reviews.create(&PostParams::default(), &question(&right))).await;
                (place, right, answer)
            }
        })
        .buffer_unordered(QUESTIONS_AT_ONCE);
    let mut missing = Vec::new();
    while let Some((place, right, answer)) = answers.next().await {
        match answer {
            Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
            Ok(Ok(review)) if review.status.as_ref().is_some_and(|status| !status.allowed) => {
                missing.push((place, right));
            }
            Ok(Ok(_) | Err(kube::Error::Api(_))) => {}
            Ok(Err(error)) => return Err(words(&error)),
        }
    }
    missing.sort_by_key(|(place, _)| *place);
    Ok(missing.into_iter().map(|(_, right)| right).collect())
}

fn question(right: &Right) -> SelfSubjectAccessReview {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.to_owned()),
                group: Some(right.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                namespace: right.namespace.clone(),
                name: right.name.clone(),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

/// The rights in words, those of one resource together: `list, watch pods; patch deployments/scale (apps) in namespace shop`.
pub fn in_words(rights: &[Right]) -> String {
    let mut parts: Vec<(&Right, Vec<&str>)> = Vec::new();
    for right in rights {
        let is_same = |known: &&Right| {
            (known.group, known.resource, &known.namespace) == (right.group, right.resource, &right.namespace)
        };
        match parts.iter_mut().find(|(known, _)| is_same(known)) {
            Some((_, verbs)) => verbs.push(right.verb),
            None => parts.push((right, vec![right.verb])),
        }
    }
    let part = |(right, verbs): &(&Right, Vec<&str>)| {
        let group = if right.group.is_empty() { String::new() } else { format!(" ({})", right.group) };
        let place = right.namespace.as_ref().map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
        format!("{} {}{group}{place}", verbs.join(", "), right.resource)
    };
    parts.iter().map(part).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_one_resource_are_said_together() {
        let right = |verb, group, resource, namespace: Option<&str>| Right {
            verb,
            group,
            resource,
            namespace: namespace.map(str::to_owned),
            name: None,
        };
        let rights = [
            right("list", "", "pods", None),
            right("watch", "", "pods", None),
            right("patch", "apps", "deployments/scale", Some("shop")),
        ];
        assert_eq!(in_words(&rights), "list, watch pods; patch deployments/scale (apps) in namespace shop");
    }

    #[test]
    fn a_subresource_is_asked_for_as_one() {
        let right = Right { verb: "patch", group: "apps", resource: "deployments/scale", namespace: None, name: None };
        let asked = question(&right).spec.resource_attributes.unwrap();
        assert_eq!((asked.resource.as_deref(), asked.subresource.as_deref()), (Some("deployments"), Some("scale")));
    }
}
