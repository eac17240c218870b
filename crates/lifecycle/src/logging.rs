//! Log lines: fixed sentences with fields. WARN = coped, ERROR = someone must act. `PLIMSOLL_LOG` sets the filter.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// The environment variable with the filter, in `tracing`'s syntax: `info`, `collector=debug,warn`.
pub const FILTER_VARIABLE: &str = "PLIMSOLL_LOG";

/// What is logged unless the variable says otherwise: kube reports every try, and we each trouble once ourselves.
const FILTER_DEFAULT: &str = "info,kube_runtime=off,kube_client=off";

fn filter() -> EnvFilter {
    EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT))
}

/// Logs to standard error. Does nothing if logging is set up already.
pub fn to_stderr() {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(io::stderr).with_ansi(false);
    let _ = subscriber.try_init();
}

/// Logs to a file, so that the screen stays whole. Does nothing if logging is set up already.
///
/// # Errors
/// If the file cannot be opened for appending.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file: File = OpenOptions::new().create(true).append(true).open(path)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(Mutex::new(file)).with_ansi(false);
    let _ = subscriber.try_init();
    Ok(())
}
