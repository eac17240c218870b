//! How a subcommand ends: well, with bad input (exit code 2), or with a failure (exit code 1). Prints the reason once.

use std::fmt::Display;
use std::process::ExitCode;

use lifecycle::CancellationToken;

/// The end of a subcommand.
#[derive(Debug)]
pub enum Outcome {
    /// As asked.
    Done,
    /// The command line, a file it names, or a port is wrong: exit code 2.
    BadInput(String),
    /// It started, and then failed: exit code 1.
    Failed(String),
}

impl Outcome {
    /// Something in what the user gave is wrong.
    pub fn bad_input(error: impl Display) -> Self {
        Self::BadInput(error.to_string())
    }

    /// It was well begun and ended badly.
    pub fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// `Done`, or failed with the error.
    pub fn of<E: Display>(result: Result<(), E>) -> Self {
        result.map_or_else(Self::failed, |()| Self::Done)
    }

    /// Prints the reason and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::BadInput(reason) => {
                eprintln!("error: {reason}");
                ExitCode::from(2)
            }
            Self::Failed(reason) => {
                eprintln!("error: {reason}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs a program on a runtime of its own until it ends or the process is asked to stop (SIGINT, SIGTERM).
pub fn run_until_signal<F>(program: impl FnOnce(CancellationToken) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(format!("cannot start the runtime: {error}")),
    };
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let program = program(shutdown.clone());
        tokio::pin!(program);
        tokio::select! {
            // Signals first: one that comes during the program's first step must already find somebody listening.
            biased;
            () = stop_signal() => shutdown.cancel(),
            outcome = &mut program => return outcome,
        }
        program.await
    })
}

/// Resolves at SIGINT or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() { std::future::pending::<()>().await },
    }
}
