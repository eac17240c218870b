//! SIGHUP, by which operators ask a program to read its files anew.

use tokio::signal::unix::{SignalKind, signal};

use crate::CancellationToken;

/// Calls `reload` at each SIGHUP until shutdown.
///
/// # Errors
/// If the signal cannot be listened to.
pub async fn at_hangup(shutdown: CancellationToken, reload: impl Fn()) -> std::io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(()) = hangups.recv() => reload(),
        }
    }
}
