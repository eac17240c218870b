//! Single requests that change the cluster, or read one object: each within the time that the fence gives, none repeated by
//! itself, and each refusal in words that name the cause. Decides nothing about what to write.

use std::sync::Arc;

use kube::Client;
use kube::api::{GetParams, ListParams, Patch, PatchParams, PostParams, Request};
use lifecycle::words;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fence::{Fence, Halted, as_leader, guarded, is_leader_unknown};
use super::rights;
use super::wire::Bare;
use crate::{ClusterError, WorkloadKind, WorkloadRef};

/// Whom the API server's managedFields name.
pub(super) const FIELD_MANAGER: &str = "plimsoll-autoscaler";

/// The version from which API servers serve `pods/resize` by default (KEP-1287, beta).
const NEEDS_RESIZE: &str = " (in-place resize needs Kubernetes 1.33)";

/// Where an object is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Empty for the core group.
    pub group: &'static str,
    pub plural: &'static str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: Option<&'static str>,
}

impl<'a> Place<'a> {
    pub fn workload(workload: &'a WorkloadRef) -> Self {
        let plural = match workload.kind {
            WorkloadKind::Deployment => "deployments",
            WorkloadKind::StatefulSet => "statefulsets",
        };
        Self { group: "apps", plural, namespace: &workload.namespace, name: &workload.name, subresource: None }
    }

    pub fn pod(namespace: &'a str, name: &'a str) -> Self {
        Self { group: "", plural: "pods", namespace, name, subresource: None }
    }

    pub fn sub(self, subresource: &'static str) -> Self {
        Self { subresource: Some(subresource), ..self }
    }

    fn request(&self) -> Request {
        let Self { group, plural, namespace, .. } = self;
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        Request::new(format!("{root}/v1/namespaces/{namespace}/{plural}"))
    }

    fn resource(&self) -> String {
        self.subresource.map_or_else(|| self.plural.to_owned(), |sub| format!("{}/{sub}", self.plural))
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such object.
    NotFound,
    /// It is not as it was when the request was planned.
    Conflict,
    /// The object cannot be so, or the cluster's rules (quota, admission) are against it.
    Denied { reason: String },
    /// We may not.
    Forbidden { reason: String },
    /// Another one leads.
    NotLeader { reason: String },
    /// No answer, or none that says anything: it was not carried out.
    Unavailable { reason: String },
    /// It was sent, and may have been carried out.
    Unknown { reason: String },
}

impl Failure {
    /// Why, in words.
    pub fn reason(self) -> String {
        match self {
            Self::NotFound => "it does not exist".to_owned(),
            Self::Conflict => "it changed meanwhile".to_owned(),
            Self::Denied { reason }
            | Self::Forbidden { reason }
            | Self::NotLeader { reason }
            | Self::Unavailable { reason }
            | Self::Unknown { reason } => reason,
        }
    }

    /// The same in the words of `Cluster`.
    pub fn about(self, workload: &WorkloadRef) -> ClusterError {
        let workload = workload.clone();
        match self {
            Self::NotFound => ClusterError::NotFound { workload },
            Self::Conflict => {
                let reason = "it changed meanwhile; the next plan sees the change".to_owned();
                ClusterError::Refused { workload, reason }
            }
            Self::Denied { reason } => ClusterError::Refused { workload, reason },
            Self::Forbidden { reason } => ClusterError::Forbidden { workload, reason },
            Self::NotLeader { reason } => ClusterError::NotLeader { reason },
            Self::Unavailable { reason } => ClusterError::Unavailable { reason },
            Self::Unknown { reason } => ClusterError::Unknown { workload, reason },
        }
    }
}

/// Makes requests.
#[derive(Clone)]
pub(super) struct Writer {
    pub client: Client,
    pub fence: Option<Arc<dyn Fence>>,
    /// The user that the API server knows us as.
    pub user: String,
}

impl Writer {
    /// Changes an object; answers what the server says it is now.
    pub async fn patch<T: DeserializeOwned>(&self, place: Place<'_>, patch: &Patch<Value>) -> Result<T, Failure> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let built = match place.subresource {
            None => place.request().patch(place.name, &params, patch),
            Some(subresource) => place.request().patch_subresource(subresource, place.name, &params, patch),
        };
        self.write(&place, "patch", built).await
    }

    /// Makes an object.
    pub async fn create(&self, place: Place<'_>, body: &Value) -> Result<(), Failure> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let built = place.request().create(&params, body.to_string().into_bytes());
        self.write::<serde::de::IgnoredAny>(&place, "create", built).await.map(drop)
    }

    /// Reads an object's metadata.
    pub async fn metadata(&self, place: Place<'_>) -> Result<Bare, Failure> {
        let built = place.request().get_metadata(place.name, &GetParams::default());
        self.write(&place, "get", built).await.map_err(Self::of_read)
    }

    /// Reads an object, whoever leads.
    pub async fn read<T: DeserializeOwned>(&self, place: Place<'_>) -> Result<T, Failure> {
        self.ask(&place, "get", place.request().get(place.name, &GetParams::default())).await
    }

    /// Reads an object as a list of at most one, whoever leads: for kinds of which no single one may be read.
    pub async fn find<T: DeserializeOwned>(&self, place: Place<'_>) -> Result<T, Failure> {
        let params = ListParams::default().fields(&format!("metadata.name={}", place.name));
        self.ask(&place, "list", place.request().list(&params)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        place: &Place<'_>,
        verb: &'static str,
        built: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Failure> {
        let mut request = built.map_err(|error| Failure::Denied { reason: words(&error) })?;
        request.extensions_mut().insert(verb);
        let answer = self.client.request_text(request).await;
        let text = answer.map_err(|error| Self::of_read(self.failure(&error, place, verb)))?;
        serde_json::from_str(&text).map_err(|error| Failure::Unavailable { reason: format!("an odd answer: {error}") })
    }

    /// A question changes nothing.
    fn of_read(failure: Failure) -> Failure {
        match failure {
            Failure::Unknown { reason } => Failure::Unavailable { reason },
            other => other,
        }
    }

    async fn write<T: DeserializeOwned>(
        &self,
        place: &Place<'_>,
        verb: &'static str,
        built: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Failure> {
        let mut request = built.map_err(|error| Failure::Denied { reason: words(&error) })?;
        request.extensions_mut().insert(verb);
        let attempt = || async {
            match guarded(self.fence.as_ref(), self.client.request_text(request.clone())).await {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(error)) => Err((self.failure(&error, place, verb), is_leader_unknown(&error))),
                Err(Halted::NotLeader { reason }) => Err((Failure::NotLeader { reason }, false)),
                Err(Halted::TooLate { within }) => {
                    let within = within.as_secs_f64();
                    let reason = format!("no answer to {verb} {} within {within:.1} s", place.resource());
                    Err((Failure::Unknown { reason }, false))
                }
            }
        };
        let text = as_leader(attempt).await?;
        serde_json::from_str(&text).map_err(|error| Failure::Unknown { reason: format!("an odd answer: {error}") })
    }

    fn failure(&self, error: &kube::Error, place: &Place<'_>, verb: &str) -> Failure {
        let kube::Error::Api(status) = error else {
            let reason = words(error);
            return if was_sent(error) { Failure::Unknown { reason } } else { Failure::Unavailable { reason } };
        };
        let reason = status.message.clone();
        match status.code {
            // A path that the API server does not serve has no name in its answer.
            404 if place.subresource.is_some()
                && status.details.as_ref().is_none_or(|details| details.name.is_empty()) =>
            {
                let needs = if place.subresource == Some("resize") { NEEDS_RESIZE } else { "" };
                Failure::Denied { reason: format!("this API server has no {}{needs}", place.resource()) }
            }
            404 => Failure::NotFound,
            409 if status.reason != "AlreadyExists" => Failure::Conflict,
            // The chart's admission policy knows who leads.
            403 | 422 if is_leader_unknown(error) => Failure::NotLeader { reason },
            // The words of RBAC; quotas and admission plugins answer 403 too, in other words.
            403 if reason.contains("cannot ") && reason.contains(" resource ") => Failure::Forbidden {
                reason: rights::missing_write(&self.user, verb, place.group, &place.resource(), place.namespace),
            },
            401 => Failure::Unavailable { reason: format!("the API server does not accept our credentials: {reason}") },
            400..=428 => Failure::Denied { reason },
            // Whoever timed out may be its store, which goes on.
            504 => Failure::Unknown { reason },
            500 if reason.contains("timed out") => Failure::Unknown { reason },
            _ => Failure::Unavailable { reason },
        }
    }
}

/// Whether a request that has no answer was on its way: one without a connection was not.
fn was_sent(error: &kube::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return false;
        }
        cause = error.source();
    }
    true
}
