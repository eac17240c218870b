//! What can be wrong with a watch, in one sentence that names the remedy. Pure.

use std::path::PathBuf;

use kube::runtime::watcher;
use lifecycle::words;

use super::scope::Scope;

/// Why a watch gives nothing new.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No service account.
    #[error(
        "{reason}; outside a cluster, kubernetes_sd_configs need kubeconfig_file or api_server; inside, does the pod have \
         automountServiceAccountToken: false?"
    )]
    NoCluster { reason: String },
    /// The file is wrong.
    #[error("{}: {reason}; compare with `kubectl config view --kubeconfig {}`", path.display(), path.display())]
    Kubeconfig { path: PathBuf, reason: String },
    /// The credentials cannot be used.
    #[error("the credentials for the API server cannot be used: {reason}")]
    Credentials { reason: String },
    /// It does not know us.
    #[error("the API server does not accept the credentials ({reason}): has the token or the certificate expired?")]
    Unauthorized { reason: String },
    /// It knows us, and will not tell.
    #[error("{reason}; grant the verbs get, list and watch on {what} to the collector's user")]
    Forbidden { reason: String, what: String },
    /// It does not answer, or not as it should.
    #[error("the API server does not answer: {reason}")]
    Unreachable { reason: String },
    /// What it had said is too old to go on from: nothing to worry about.
    #[error("the watch was too far behind and begins anew: {reason}")]
    Behind { reason: String },
}

impl Trouble {
    /// What an error of a watch means.
    pub fn of(error: &watcher::Error, scope: &Scope) -> Self {
        let status = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => status,
            watcher::Error::InitialListFailed(kube::Error::Auth(error))
            | watcher::Error::WatchStartFailed(kube::Error::Auth(error)) => {
                return Self::Credentials { reason: words(error) };
            }
            other => return Self::Unreachable { reason: words(other) },
        };
        let reason = status.message.clone();
        match status.code {
            401 => Self::Unauthorized { reason },
            403 => Self::Forbidden { reason, what: scope.to_string() },
            410 => Self::Behind { reason },
            code => Self::Unreachable { reason: format!("it answered {code} {reason}") },
        }
    }

    /// Whether only an engineer can mend it, so that asking often is of no use.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::NoCluster { .. } | Self::Kubeconfig { .. })
    }
}
