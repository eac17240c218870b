//! Sends what the user changes, one at a time and each once, and tells what came of it. Whatever the screen only reads is fetched
//! in `feed`.

use std::convert::Infallible;

use lifecycle::CancellationToken;
use tokio::sync::mpsc;

use crate::change::{Answer, Change};
use crate::feed::backends::Backends;

/// Changes that wait to be sent: the screen asks for the next one when this one is answered.
const WAITING_MAX: usize = 1;

/// The sender's side: what is asked comes in, what came of it goes out.
pub struct Changes {
    backends: Backends,
    asked: mpsc::Receiver<Change>,
    answers: mpsc::Sender<Answer>,
    shutdown: CancellationToken,
}

impl Changes {
    /// The sender, where to ask for changes, and where the answers come.
    pub fn new(
        backends: Backends,
        shutdown: CancellationToken,
    ) -> (Self, mpsc::Sender<Change>, mpsc::Receiver<Answer>) {
        let (ask, asked) = mpsc::channel(WAITING_MAX);
        let (answers, answered) = mpsc::channel(WAITING_MAX);
        (Self { backends, asked, answers, shutdown }, ask, answered)
    }

    /// Runs until shutdown. A change that was asked for before it is sent and waited for: who said yes and left meant it.
    pub async fn run(mut self) -> Result<(), Infallible> {
        loop {
            let change = tokio::select! {
                biased;
                change = self.asked.recv() => change,
                () = self.shutdown.cancelled() => return Ok(()),
            };
            let Some(change) = change else {
                self.shutdown.cancelled().await;
                return Ok(());
            };
            let result = self.backends.change(&change).await;
            // Nobody reads it when the screen was left meanwhile.
            let _ = self.answers.send(Answer { change, result }).await;
        }
    }
}
