//! ScalingPolicy objects of an API server: the whole set as it is now, their statuses, and events about them. Knows nothing of
//! what a policy means: objects go out as JSON text, and whoever evaluates them says what the status is.

mod events;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use lifecycle::{CancellationToken, Supervisor, TaskEnded, words};
use serde_json::json;
use tokio::sync::watch as channel;

use self::events::Recorder;
use self::watch::Follower;
use self::watch::raw::Raw;
use super::access::Connection;
use super::fence::{Fence, Halted, as_leader, guarded, is_leader_unknown};
use super::writing::FIELD_MANAGER;
use crate::{EventKind, WorkloadRef};

/// The group of our custom resources.
pub const GROUP: &str = "plimsoll.dev";

/// The one version there is.
pub const VERSION: &str = "v1alpha1";

/// The one kind there is.
pub const KIND: &str = "ScalingPolicy";

/// What to do when the API server does not know them, or knows them as an older Plimsoll did.
pub const REMEDY: &str = "install or renew it with `plimsoll crd | kubectl apply -f -`";

/// Annotation by which a policy is paused, whoever set it: it goes on recommending, and writes nothing.
pub const PAUSED_ANNOTATION: &str = "plimsoll.dev/paused";

/// A ScalingPolicy object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyObject {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which of several objects that had this name one after the other.
    pub uid: String,
    /// Counts changes of its spec.
    pub generation: i64,
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Counts its changes, those of its status included.
    pub resource_version: String,
    /// Whether its annotation pauses it.
    pub paused: bool,
    /// The policy as a file would hold it, as JSON: apiVersion, kind, name, namespace and spec. Text, because thousands are kept.
    pub manifest: String,
    /// Its status as JSON; `null` where it has none.
    pub status: String,
}

/// All ScalingPolicy objects that are watched.
#[derive(Debug, Clone, Default)]
pub struct PolicyObjects {
    /// The objects, sorted by namespace and name; as last known where they cannot be read now.
    pub objects: Arc<Vec<Arc<PolicyObject>>>,
    /// Why the set is not known, or may be old; `None` when all is well.
    pub trouble: Option<String>,
}

/// Something worth telling about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEvent {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub name: String,
    /// The object's uid: `kubectl describe` asks for it.
    pub uid: String,
    /// Normal or Warning.
    pub kind: EventKind,
    /// CamelCase code, such as `SuccessfulRescale`.
    pub reason: String,
    /// What was being done, in CamelCase, such as `Rescale`.
    pub action: &'static str,
    /// One sentence.
    pub message: String,
    /// The workload that it is about too, where there is one.
    pub workload: Option<WorkloadRef>,
}

/// Why an object was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the lead.
    #[error("another autoscaler leads: {reason}")]
    NotLeader {
        /// Who.
        reason: String,
    },
    /// It has changed since it was read; what has become of it comes with the watch.
    #[error("it was changed in between")]
    Outrun,
    /// It is there no more.
    #[error("it does not exist any more")]
    Gone,
    /// The custom resource is older than this program.
    #[error("the custom resource ScalingPolicy is older than this program ({missing}); {REMEDY}")]
    OldDefinition {
        /// What it lacks.
        missing: &'static str,
    },
    /// The API server does not let us.
    #[error("not allowed: {reason}")]
    Forbidden {
        /// Its words.
        reason: String,
    },
    /// The API server did not answer, or with an error.
    #[error("the API server did not take it: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Where ScalingPolicy objects are kept.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// The objects as they are now; changes whenever one does.
    fn objects(&self) -> channel::Receiver<PolicyObjects>;

    /// Replaces the status of an object as it was read; the API server refuses it if the object has changed since. Fields that
    /// are `null` are taken away.
    async fn write_status(&self, object: &PolicyObject, status: &serde_json::Value) -> Result<(), StoreError>;

    /// Pauses or resumes a policy by its annotation; gives the object's version after it. Whatever else has changed in the object is
    /// left as it is.
    async fn set_paused(&self, namespace: &str, name: &str, paused: bool) -> Result<String, StoreError>;

    /// Records an event. The same one again within minutes is counted rather than recorded anew.
    async fn record_event(&self, event: PolicyEvent) -> Result<(), StoreError>;
}

/// How to watch and write ScalingPolicy objects.
#[derive(Clone, Default)]
pub struct PolicyOptions {
    /// Namespaces to watch; empty means all.
    pub namespaces: Vec<String>,
    /// Asked before each write; without one every write is allowed.
    pub fence: Option<Arc<dyn Fence>>,
    /// Who records events, such as the name of this pod.
    pub reporter: String,
}

/// The ScalingPolicy objects of one API server; clones are the same ones.
#[derive(Clone)]
pub struct KubernetesPolicies {
    client: Client,
    fence: Option<Arc<dyn Fence>>,
    objects: channel::Receiver<PolicyObjects>,
    recorder: Arc<Recorder>,
}

/// What keeps [`KubernetesPolicies`] up to date: nothing is read until `run` does.
pub struct PolicyWatch {
    followers: Vec<Follower>,
}

impl KubernetesPolicies {
    /// Prepares to watch and write.
    pub fn start(connection: &Connection, options: PolicyOptions) -> (Self, PolicyWatch) {
        Self::over(connection.client().clone(), options)
    }

    fn over(client: Client, options: PolicyOptions) -> (Self, PolicyWatch) {
        let PolicyOptions { namespaces, fence, reporter } = options;
        let resource = resource();
        let apis: Vec<Api<Raw>> = if namespaces.is_empty() {
            vec![Api::all_with(client.clone(), &resource)]
        } else {
            namespaces.iter().map(|name| Api::namespaced_with(client.clone(), name, &resource)).collect()
        };
        let (followers, objects) = Follower::team(apis);
        let recorder = Arc::new(Recorder::new(client.clone(), reporter));
        (Self { client, fence, objects, recorder }, PolicyWatch { followers })
    }
}

impl PolicyWatch {
    /// Watches until `shutdown`.
    ///
    /// # Errors
    /// When one of its tasks failed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TaskEnded> {
        let mut supervisor = Supervisor::new(shutdown.child_token());
        for follower in self.followers {
            supervisor.spawn("the watch of scaling policies", follower.run(supervisor.shutdown()));
        }
        supervisor.run().await
    }
}

/// How the API server calls them.
fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, KIND), "scalingpolicies")
}

#[async_trait]
impl PolicyStore for KubernetesPolicies {
    fn objects(&self) -> channel::Receiver<PolicyObjects> {
        self.objects.clone()
    }

    async fn write_status(&self, object: &PolicyObject, status: &serde_json::Value) -> Result<(), StoreError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, &resource());
        // Merged, so that a field of another version is left alone; on condition of the version that was judged.
        let patch = json!({"metadata": {"resourceVersion": object.resource_version}, "status": status});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let answer = self.guarded(|| api.patch_status(&object.name, &params, &patch)).await?;
        match answer.data["status"]["observedGeneration"].as_i64() {
            Some(_) => Ok(()),
            // The API server drops what its definition does not know.
            None => Err(StoreError::OldDefinition { missing: "fields of its status" }),
        }
    }

    async fn set_paused(&self, namespace: &str, name: &str, paused: bool) -> Result<String, StoreError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource());
        let value = paused.then_some("true");
        let patch = json!({"metadata": {"annotations": {PAUSED_ANNOTATION: value}}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&patch);
        let answer = self.guarded(|| api.patch(name, &params, &patch)).await?;
        Ok(answer.metadata.resource_version.unwrap_or_default())
    }

    async fn record_event(&self, event: PolicyEvent) -> Result<(), StoreError> {
        self.guarded(|| self.recorder.record(&event)).await
    }
}

impl KubernetesPolicies {
    /// Makes a write within the time that the fence gives, again while admission does not know this leader yet.
    async fn guarded<T, F>(&self, write: impl Fn() -> F + Sync) -> Result<T, StoreError>
    where
        T: Send,
        F: Future<Output = Result<T, kube::Error>> + Send,
    {
        let attempt = || async {
            match guarded(self.fence.as_ref(), write()).await {
                Ok(answer) => answer.map_err(|error| (refused(&error), is_leader_unknown(&error))),
                Err(Halted::NotLeader { reason }) => Err((StoreError::NotLeader { reason }, false)),
                Err(Halted::TooLate { within }) => {
                    let reason = format!("no answer within {:.1} s", within.as_secs_f64());
                    Err((StoreError::Unavailable { reason }, false))
                }
            }
        };
        as_leader(attempt).await
    }
}

fn refused(error: &kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) => match status.code {
            403 | 422 if is_leader_unknown(error) => StoreError::NotLeader { reason: status.message.clone() },
            403 => StoreError::Forbidden { reason: status.message.clone() },
            // A path that the API server does not serve has no name in its answer.
            404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                StoreError::OldDefinition { missing: "its status subresource" }
            }
            404 => StoreError::Gone,
            409 => StoreError::Outrun,
            _ => StoreError::Unavailable { reason: status.message.clone() },
        },
        error => StoreError::Unavailable { reason: words(error) },
    }
}

#[cfg(test)]
mod tests;
