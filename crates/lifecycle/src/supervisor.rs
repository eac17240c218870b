//! Owns every task of a program by name. The first task to fail or panic stops all others, and the program ends
//! with that task's name and reason; no task can die unseen.

use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::health::Liveness;

/// How long tasks may take to end after shutdown begins before they are dropped.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// A task that ended and took the program with it.
#[derive(Debug, thiserror::Error)]
pub enum TaskEnded {
    /// It returned an error.
    #[error("{task} failed: {reason}")]
    Failed {
        /// The task's name.
        task: String,
        /// Its error in words.
        reason: String,
    },
    /// It panicked.
    #[error("{task} panicked: {reason}")]
    Panicked {
        /// The task's name.
        task: String,
        /// The panic's message.
        reason: String,
    },
    /// It returned although nobody asked for shutdown.
    #[error("{task} ended although nobody asked it to")]
    Early {
        /// The task's name.
        task: String,
    },
}

type TaskResult = Result<(), String>;

/// Spawns tasks and waits for them.
#[derive(Debug)]
pub struct Supervisor {
    shutdown: CancellationToken,
    tasks: JoinSet<TaskResult>,
    names: Vec<(Id, String)>,
    deadline: Duration,
    liveness: Liveness,
}

impl Supervisor {
    /// Tasks end when `shutdown` is cancelled; the supervisor cancels it when one of them ends before.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            shutdown,
            tasks: JoinSet::new(),
            names: Vec::new(),
            deadline: SHUTDOWN_DEADLINE,
            liveness: Liveness::default(),
        }
    }

    /// Waits no longer than this for tasks after shutdown began.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Tells this one of a task that ended too soon, at once: the others may take their time to end.
    #[must_use]
    pub fn with_liveness(mut self, liveness: Liveness) -> Self {
        self.liveness = liveness;
        self
    }

    /// The token to hand to tasks.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task that runs until shutdown.
    pub fn spawn<F, E>(&mut self, name: &str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let handle = self.tasks.spawn(async move { task.await.map_err(|e| e.to_string()) });
        self.names.push((handle.id(), name.to_owned()));
    }

    /// Waits until shutdown is asked for or a task ends, then ends all tasks.
    ///
    /// # Errors
    /// The first task that failed, panicked, or returned before shutdown.
    pub async fn run(mut self) -> Result<(), TaskEnded> {
        let shutdown = self.shutdown.clone();
        let first = tokio::select! {
            () = shutdown.cancelled() => None,
            // Without tasks there is nothing to end early: then only shutdown is waited for.
            Some(ended) = self.tasks.join_next_with_id() => Some(ended),
        };
        let verdict = match first {
            Some(result) if !shutdown.is_cancelled() => Err(self.judge_early(result)),
            Some(result) => self.judge_late(result),
            None => Ok(()),
        };
        if let Err(ended) = &verdict {
            self.liveness.lose(ended);
        }
        shutdown.cancel();
        let drained = self.drain().await;
        verdict.and(drained)
    }

    async fn drain(&mut self) -> Result<(), TaskEnded> {
        let mut verdict = Ok(());
        let deadline = tokio::time::sleep(self.deadline);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = &mut deadline => {
                    tracing::warn!(tasks = self.tasks.len(), "tasks did not end in time and are dropped");
                    self.tasks.shutdown().await;
                    return verdict;
                }
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(result) => verdict = verdict.and(self.judge_late(result)),
                    None => return verdict,
                },
            }
        }
    }

    fn judge_early(&self, result: Result<(Id, TaskResult), JoinError>) -> TaskEnded {
        match result {
            Ok((id, Ok(()))) => TaskEnded::Early { task: self.name(id) },
            other => match self.judge_late(other) {
                Err(ended) => ended,
                Ok(()) => TaskEnded::Early { task: "a task".to_owned() },
            },
        }
    }

    fn judge_late(&self, result: Result<(Id, TaskResult), JoinError>) -> Result<(), TaskEnded> {
        match result {
            Ok((_, Ok(()))) => Ok(()),
            Ok((id, Err(reason))) => Err(TaskEnded::Failed { task: self.name(id), reason }),
            Err(error) => {
                let task = self.name(error.id());
                match error.try_into_panic() {
                    Ok(panic) => Err(TaskEnded::Panicked { task, reason: panic_message(panic.as_ref()) }),
                    Err(_) => Ok(()),
                }
            }
        }
    }

    fn name(&self, id: Id) -> String {
        self.names.iter().find(|(known, _)| *known == id).map_or_else(|| "a task".to_owned(), |(_, n)| n.clone())
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;
