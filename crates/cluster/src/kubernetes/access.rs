//! Which API server, and as whom: a kubeconfig's context, or the service account of the pod that this runs in. Turns whatever
//! goes wrong into one message with its remedy. Watches and writes nothing.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use lifecycle::words;

/// How long the API server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long the first question may take: kubectl's own patience is 32 s, which nobody waits for at a prompt.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// What the command line says about the cluster; empty means what `kubectl` would use, and inside a pod its service account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig; else `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it; else the current one.
    pub context: Option<String>,
}

/// An API server that has answered, and who it takes us for.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    /// The kubeconfig's context; empty in a pod.
    pub context: String,
    /// The context's or the pod's own namespace.
    pub namespace: String,
    /// The API server's address.
    pub server: String,
    /// The user that the API server knows us as.
    pub user: String,
}

/// Why there is no connection. Each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "no cluster to talk to: no kubeconfig was found, and this is no pod with a service account; set KUBECONFIG, or name a file \
         with --kubeconfig"
    )]
    NoCluster,
    /// The kubeconfig is wrong.
    #[error("{path}: {reason}; choose another file with --kubeconfig, or compare with `kubectl config view`")]
    Kubeconfig {
        /// The file or files.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The kubeconfig has no such context.
    #[error("{path}: there is no context {context:?}; there are: {known}; choose one with --context")]
    NoContext {
        /// The file or files.
        path: String,
        /// Asked for.
        context: String,
        /// Those that there are.
        known: String,
    },
    /// A pod's service account that cannot be used.
    #[error(
        "the pod's service account cannot be used: {reason}; does the pod have automountServiceAccountToken: false?"
    )]
    ServiceAccount {
        /// Why.
        reason: String,
    },
    /// No answer.
    #[error(
        "the API server {server} does not answer: {reason}; is the cluster up, and does `kubectl version` reach it?"
    )]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        reason: String,
    },
    /// It does not know us.
    #[error(
        "the API server {server} does not accept these credentials ({reason}): an expired token or certificate is renewed by \
             logging in again; `kubectl auth whoami` shows the same"
    )]
    Unauthorized {
        /// Its address.
        server: String,
        /// Its words.
        reason: String,
    },
}

impl Connection {
    /// Finds the cluster, greets it, and learns who it takes us for.
    ///
    /// # Errors
    /// What is wrong with the kubeconfig, the service account, the network or the credentials.
    pub async fn open(access: &Access) -> Result<Self, AccessError> {
        let (context, mut config) = configuration(access).await?;
        config.connect_timeout = Some(CONNECT_PATIENCE);
        // A write repeated by itself may be the second, and come after its writer was deposed; whoever asks repeats.
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = config.default_namespace.clone();
        let unreachable = |reason: String| AccessError::Unreachable { server: server.clone(), reason };
        let client = Client::try_from(config)
            .map_err(|error| AccessError::Kubeconfig { path: kubeconfig_path(access), reason: words(&error) })?;
        let whoami: Api<SelfSubjectReview> = Api::all(client.clone());
        let (params, asked) = (PostParams::default(), SelfSubjectReview::default());
        let review = match tokio::time::timeout(GREETING_PATIENCE, whoami.create(&params, &asked)).await {
            Err(_) => return Err(unreachable(format!("no answer within {} s", GREETING_PATIENCE.as_secs()))),
            Ok(Ok(review)) => review,
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => {
                return Err(AccessError::Unauthorized { server, reason: status.message.clone() });
            }
            // An API server that forbids the question, or is older than it (1.28), has still let us in.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => SelfSubjectReview::default(),
            Ok(Err(kube::Error::Auth(error))) => {
                return Err(AccessError::Unauthorized { server, reason: words(&error) });
            }
            Ok(Err(error)) => return Err(unreachable(words(&error))),
        };
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap_or_default();
        Ok(Self { client, context, namespace, server, user })
    }

    /// The client, for the homes of kube.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// The context and what it says; no context inside a pod.
async fn configuration(access: &Access) -> Result<(String, Config), AccessError> {
    let chosen = access.kubeconfig.is_some() || access.context.is_some() || std::env::var_os("KUBECONFIG").is_some();
    let read = match &access.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match read {
        Ok(kubeconfig) => {
            let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
            if let Some(context) = access.context.as_ref().filter(|context| !known.contains(context)) {
                return Err(AccessError::NoContext {
                    path: kubeconfig_path(access),
                    context: context.clone(),
                    known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
                });
            }
            let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
            let context = access.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            config
                .map(|config| (context, config))
                .map_err(|error| AccessError::Kubeconfig { path: kubeconfig_path(access), reason: words(&error) })
        }
        Err(error) if chosen => Err(AccessError::Kubeconfig { path: kubeconfig_path(access), reason: words(&error) }),
        Err(KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath) => {
            in_cluster().map(|config| (String::new(), config))
        }
        Err(error) => Err(AccessError::Kubeconfig { path: kubeconfig_path(access), reason: words(&error) }),
    }
}

fn in_cluster() -> Result<Config, AccessError> {
    Config::incluster().map_err(|error| match error {
        InClusterError::ReadEnvironmentVariable(_) => AccessError::NoCluster,
        other => AccessError::ServiceAccount { reason: words(&other) },
    })
}

fn kubeconfig_path(access: &Access) -> String {
    match (&access.kubeconfig, std::env::var("KUBECONFIG")) {
        (Some(path), _) => path.display().to_string(),
        (None, Ok(paths)) => paths,
        (None, Err(_)) => "~/.kube/config".to_owned(),
    }
}

#[cfg(test)]
mod tests;
