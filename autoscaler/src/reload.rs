//! Reads policy files anew when it is asked to: by `POST /-/reload`, or by SIGHUP where the command line owns the process. Files that
//! are wrong change nothing but what is said of them: the policies that were read last go on steering.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use lifecycle::CancellationToken;
use tokio::sync::watch;

use crate::counts::Instruments;
use crate::policy::PolicySet;
use crate::policy::files::PolicyFiles;

/// Puts other policies in force.
pub struct Reload {
    /// Where they are read.
    pub files: PolicyFiles,
    /// Who evaluates them.
    pub policies: watch::Sender<Arc<PolicySet>>,
    /// What tells how it went.
    pub instruments: Instruments,
}

impl Reload {
    /// Reads the files. What they say holds from the next tick on, or what was before stays.
    fn reload(&self) -> Result<usize, String> {
        let read = self.files.load();
        self.instruments.reloaded(read.is_ok());
        match read {
            Ok(set) => {
                let policies = set.len();
                self.policies.send_replace(Arc::new(set));
                tracing::info!(policies, "the scaling policies are read anew");
                Ok(policies)
            }
            Err(error) => {
                tracing::error!(%error, "the scaling policies cannot be read anew; those before go on steering");
                Err(error.to_string())
            }
        }
    }

    /// `/-/reload`, as Prometheus has it; whoever may change something may.
    pub fn routes<S: Clone + Send + Sync + 'static>(self: Arc<Self>) -> Router<S> {
        Router::new().route("/-/reload", post(answer).put(answer)).with_state(self)
    }

    /// Reloads at each SIGHUP until shutdown.
    ///
    /// # Errors
    /// If the signal cannot be listened to.
    pub async fn at_hangup(self: Arc<Self>, shutdown: CancellationToken) -> std::io::Result<()> {
        // How it went is said in the log, and by the metric.
        lifecycle::at_hangup(shutdown, || drop(self.reload())).await
    }
}

async fn answer(State(reload): State<Arc<Reload>>) -> Response {
    match reload.reload() {
        Ok(policies) => axum::Json(serde_json::json!({ "policies": policies })).into_response(),
        Err(reason) => crate::api::error(StatusCode::UNPROCESSABLE_ENTITY, &reason),
    }
}
