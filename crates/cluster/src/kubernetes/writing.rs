//! Single requests that change the cluster, or read one object: each within the time that the fence gives, none repeated by
//! itself, and each refusal in words that name the cause. Decides nothing about what to write.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, Patch, PatchParams, PostParams, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::access::words;
use super::fence::{Fence, Halted, guarded};
use super::rights;
use super::wire::Bare;
use crate::{ClusterError, WorkloadKind, WorkloadRef};

/// Whom the API server's managedFields name.
pub(super) const FIELD_MANAGER: &str = "plimsoll-autoscaler";

/// What the chart's admission policy says to who does not lead.
pub(super) const ONLY_THE_LEADER: &str = "only the leader may write";

/// The API server's admission learns by a watch who leads, some moments after it took the Lease: what it denies to a leader that
/// it does not know yet is tried again so often, this long apart.
const LEADER_UNKNOWN_TRIES: u32 = 8;
const LEADER_UNKNOWN_PAUSE: Duration = Duration::from_millis(250);

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
    /// No answer, or none that says anything.
    Unavailable { reason: String },
}

impl Failure {
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
        self.write(&place, "get", built).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        place: &Place<'_>,
        verb: &'static str,
        built: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Failure> {
        let mut request = built.map_err(|error| Failure::Denied { reason: words(&error) })?;
        request.extensions_mut().insert(verb);
        let mut tries = 1;
        let text = loop {
            let failure = match guarded(self.fence.as_ref(), self.client.request_text(request.clone())).await {
                Ok(Ok(text)) => break text,
                Ok(Err(error)) => self.failure(&error, place, verb),
                Err(Halted::NotLeader { reason }) => return Err(Failure::NotLeader { reason }),
                Err(Halted::TooLate { within }) => {
                    let within = within.as_secs_f64();
                    let reason = format!("no answer to {verb} {} within {within:.1} s", place.resource());
                    return Err(Failure::Unavailable { reason });
                }
            };
            if !matches!(failure, Failure::NotLeader { .. }) || tries == LEADER_UNKNOWN_TRIES {
                return Err(failure);
            }
            tries += 1;
            tokio::time::sleep(LEADER_UNKNOWN_PAUSE).await;
        };
        serde_json::from_str(&text).map_err(|error| Failure::Unavailable { reason: format!("an odd answer: {error}") })
    }

    fn failure(&self, error: &kube::Error, place: &Place<'_>, verb: &str) -> Failure {
        let kube::Error::Api(status) = error else { return Failure::Unavailable { reason: words(error) } };
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
            403 | 422 if reason.contains(ONLY_THE_LEADER) => Failure::NotLeader { reason },
            // The words of RBAC; quotas and admission plugins answer 403 too, in other words.
            403 if reason.contains("cannot ") && reason.contains(" resource ") => Failure::Forbidden {
                reason: rights::missing_write(&self.user, verb, place.group, &place.resource(), place.namespace),
            },
            401 => Failure::Unavailable { reason: format!("the API server does not accept our credentials: {reason}") },
            400..=428 => Failure::Denied { reason },
            _ => Failure::Unavailable { reason },
        }
    }
}
