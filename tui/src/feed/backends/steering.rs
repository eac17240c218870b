//! The calls behind a policy's page: what would change its decision, and pausing and resuming it, the only things that the screen
//! changes.

use std::path::{Path, PathBuf};

use protocol::api_token;
use protocol::http_client::CallError;
use protocol::scaling::ObjectName;

use crate::change::Change;
use crate::feed::backends::{Backend, Backends};
use crate::picture::{Explained, Trouble};

/// What is said where the autoscaler explains nothing.
const NO_EXPLANATION: &str = "this autoscaler does not tell what would change its decisions";

impl Backends {
    /// Sends the token in this file, as it is then, with whatever changes something.
    #[must_use]
    pub fn with_api_token(mut self, file: Option<PathBuf>) -> Self {
        self.api_token = file;
        self
    }

    /// What would have made the latest decision of a policy another.
    pub async fn explanation(&self, policy: ObjectName) -> Result<Explained, Trouble> {
        let (backend, scaling) = self.scaling()?;
        match scaling.explanation(&policy).await {
            Ok(explanation) => Ok(Explained { policy, explanation }),
            // The policy is not there, or nothing was decided yet: the autoscaler says which.
            Err(CallError::Refused { status: 404, message, .. }) if !message.is_empty() => {
                Err(Trouble::Missing(message))
            }
            Err(error) => Err(backend.trouble(&error, NO_EXPLANATION)),
        }
    }

    /// Pauses or resumes a policy, once. The error says why not, in words with their remedy.
    pub async fn change(&self, change: &Change) -> Result<(), String> {
        let (backend, scaling) = self.scaling().map_err(|trouble| match trouble {
            Trouble::Missing(reason) | Trouble::Down(reason) => reason,
        })?;
        let token = match &self.api_token {
            Some(file) => Some(api_token::read(file).await.map_err(|error| error.to_string())?),
            None => None,
        };
        let client = scaling.clone().with_token(token);
        let answer =
            if change.pause { client.pause(&change.policy).await } else { client.resume(&change.policy).await };
        match answer {
            Ok(status) if status.paused == change.pause => Ok(()),
            Ok(_) => Err("the autoscaler answered, and left it as it was".to_owned()),
            Err(error) => Err(refusal(backend, &error, self.api_token.as_deref())),
        }
    }
}

/// Why nothing was changed, or why nobody knows whether it was.
fn refusal(backend: &Backend, error: &CallError, token: Option<&Path>) -> String {
    match (error, token) {
        (CallError::Refused { status: 401, .. }, Some(file)) => {
            format!("the autoscaler has another token than {} holds (--api-token-file)", file.display())
        }
        (CallError::Refused { status: 401, .. }, None) => format!(
            "the autoscaler asks for a token (its chart keeps it in a Secret whose name ends in -api): start the screen with \
             --api-token-file FILE, or ${} set",
            api_token::VARIABLE
        ),
        (CallError::Refused { message, .. }, _) => message.clone(),
        (CallError::Unreachable { .. }, _) => match backend.trouble(error, "") {
            Trouble::Missing(reason) | Trouble::Down(reason) => {
                format!("{reason}; if the autoscaler took it all the same, the list will show it")
            }
        },
        (CallError::Malformed { .. }, _) => error.to_string(),
    }
}
