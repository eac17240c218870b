//! What a replica's process does first, before it starts threads: it ties its life to its parent's and enters its
//! cgroups. Does nothing in a process that the local runtime did not start.

use std::env;
use std::io;
use std::path::PathBuf;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Holds the process id of the runtime.
pub const PARENT_VARIABLE: &str = "PLIMSOLL_PARENT_PID";

/// Holds the directories of the cgroups to enter, separated by colons.
pub const CGROUPS_VARIABLE: &str = "PLIMSOLL_CGROUPS";

/// Why a replica's process must end at once.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The runtime ended before this process was tied to it.
    #[error("the runtime that started this process (pid {parent}) has ended")]
    Orphaned {
        /// The runtime's process id.
        parent: String,
    },
    /// The system refused the signal.
    #[error("cannot ask to be killed with the parent: {source}")]
    DeathSignal {
        /// What the system said.
        source: io::Error,
    },
    /// A cgroup could not be entered, so limits would not hold.
    #[error("cannot enter the cgroup {}: {source}", path.display())]
    Cgroup {
        /// Its directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the kernel kill this process when the runtime that started it ends, however it ends. Call it first in `main`,
/// on the main thread: the wish belongs to the thread that states it.
///
/// # Errors
/// If the runtime has ended already, or the system refuses. The process must then end.
pub fn die_with_parent() -> Result<(), ChildError> {
    let Ok(parent) = env::var(PARENT_VARIABLE) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| ChildError::DeathSignal { source: error.into() })?;
    // Asked only now: had the parent ended before the wish was stated, no signal would ever come.
    let actual = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if actual.as_deref() == Some(parent.as_str()) { Ok(()) } else { Err(ChildError::Orphaned { parent }) }
}

/// Puts this process into the cgroups that the runtime made for it. Call it right after [`die_with_parent`].
///
/// # Errors
/// If one cannot be entered. The process must then end, as its limits would not hold.
pub fn enter_cgroups() -> Result<(), ChildError> {
    let Ok(paths) = env::var(CGROUPS_VARIABLE) else { return Ok(()) };
    for path in paths.split(':').filter(|path| !path.is_empty()).map(PathBuf::from) {
        // A zero means the writing process itself, in both versions of cgroups.
        std::fs::write(path.join("cgroup.procs"), "0").map_err(|source| ChildError::Cgroup { path, source })?;
    }
    Ok(())
}
