//! How an autoscaler is set up, and what can be wrong with that. Defaults stand beside the fields with their reasons.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::kubernetes::policies::PolicyStore;
use lifecycle::ListenError;
use protocol::api_token::TokenError;
use protocol::yaml::DocumentError;
use url::Url;

use crate::planner::observation::Startup;
use crate::policy::PolicySet;
use crate::policy::files::PolicyFiles;

/// HPA's `--horizontal-pod-autoscaler-sync-period`.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// Two scrapes at the shortest interval in common use (15 s): the shortest window in which a rate exists.
pub const RATE_WINDOW_DEFAULT: Duration = Duration::from_secs(30);

/// The port that ARCHITECTURE.md gives to the autoscaler.
pub const PORT_DEFAULT: u16 = 9091;

/// Where policies come from.
#[derive(Clone)]
pub enum Policies {
    /// Read once.
    Files(PolicySet),
    /// Of files and folders, which are read at the start and whenever it is asked for.
    Reloaded(PolicyFiles),
    /// Objects of a cluster, followed as they change; they are told what was decided.
    Objects(Arc<dyn PolicyStore>),
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(set) => write!(f, "Files({})", set.len()),
            Self::Reloaded(files) => write!(f, "Reloaded({files:?})"),
            Self::Objects(_) => f.write_str("Objects"),
        }
    }
}

/// How an autoscaler is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its API listens; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The command line's name for `listen`, for its errors.
    pub listen_flag: &'static str,
    /// Any Prometheus-compatible server.
    pub prometheus: Url,
    /// What it may scale, and how.
    pub policies: Policies,
    /// What is promised of services and journeys; none promises nothing.
    pub objectives: Vec<slo::Objective>,
    /// Time between ticks.
    pub interval: Duration,
    /// Window over which CPU use is averaged; at least two scrapes.
    pub rate_window: Duration,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
    /// The file with the token that whoever changes something by the API must know; without one only connections from this machine
    /// may.
    pub api_token: Option<PathBuf>,
    /// Folder for the decision log, and for who is paused where policies are files; none keeps them in memory only.
    pub data: Option<PathBuf>,
    /// Whether SIGHUP reads policy files anew; elsewhere it ends the process, as it does any program of a terminal.
    pub reload_at_hangup: bool,
    /// Plans everything and writes nothing: neither replicas nor statuses nor events.
    pub dry_run: bool,
}

impl Options {
    /// Defaults for all but the server and the policies.
    pub fn new(prometheus: Url, policies: PolicySet) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)),
            listen_flag: "--autoscaler",
            prometheus,
            policies: Policies::Files(policies),
            objectives: Vec::new(),
            interval: INTERVAL_DEFAULT,
            rate_window: RATE_WINDOW_DEFAULT,
            startup: Startup::default(),
            api_token: None,
            data: None,
            reload_at_hangup: false,
            dry_run: false,
        }
    }
}

/// Why an autoscaler could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its policies are wrong.
    #[error(transparent)]
    Policies(#[from] DocumentError),
    /// Its port could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its token could not be read.
    #[error("{0}; the file is set with --api-token-file")]
    Token(#[from] TokenError),
    /// Its folder could not be used.
    #[error("the folder {} cannot be used: {source}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An option is out of range.
    #[error("{option} must be more than 0")]
    Zero {
        /// The option.
        option: &'static str,
    },
}
