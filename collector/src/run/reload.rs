//! Reads the configuration anew when it is asked to: by `POST /-/reload`, or by SIGHUP where the command line owns the process.
//! A configuration that cannot be read changes nothing but what is said of it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use lifecycle::{CancellationToken, Clock};
use tokio::sync::watch;

use crate::config::{self, Config};
use crate::scrape::ScrapeReport;

/// Puts another configuration in force.
pub(super) struct Reload {
    pub path: PathBuf,
    pub configs: watch::Sender<Arc<Config>>,
    pub report: Arc<ScrapeReport>,
    pub clock: Arc<dyn Clock>,
}

impl Reload {
    /// Reads the file; what it says is in force before this returns, or what was before stays.
    fn reload(&self) -> Result<(), String> {
        match config::load(&self.path) {
            Ok(config) => {
                self.report.set_config(config.text.clone(), self.clock.now_ms());
                self.configs.send_replace(Arc::new(config));
                tracing::info!(config = %self.path.display(), "the configuration is read anew");
                Ok(())
            }
            Err(error) => {
                self.report.reload_failed();
                tracing::error!(%error, "the configuration cannot be read anew; the one before stays in force");
                Err(error.to_string())
            }
        }
    }

    /// `/-/reload`, as Prometheus has it.
    pub fn routes(self: Arc<Self>) -> Router {
        Router::new().route("/-/reload", post(answer).put(answer)).with_state(self)
    }

    /// Reloads at each SIGHUP until shutdown.
    pub async fn at_hangup(self: Arc<Self>, shutdown: CancellationToken) -> std::io::Result<()> {
        // How it went is said in the log, and by the metric.
        lifecycle::at_hangup(shutdown, || drop(self.reload())).await
    }
}

async fn answer(State(reload): State<Arc<Reload>>) -> (StatusCode, String) {
    match reload.reload() {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(reason) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {reason}\n")),
    }
}
