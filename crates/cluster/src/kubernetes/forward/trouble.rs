//! What goes wrong on the way to a pod, in words with their remedy. Pure: tells nobody.

use std::time::Duration;

use crate::kubernetes::forward::Goal;

/// What the API server was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Which pods there are.
    List,
    /// A connection to one.
    Forward,
}

impl Asked {
    /// The right that it needs. A forward by WebSocket is a `get`; from Kubernetes 1.35 on the API server wants `create` too, as for
    /// a forward by SPDY.
    fn right(self) -> &'static str {
        match self {
            Self::List => "list on pods",
            Self::Forward => "get and create on pods/portforward",
        }
    }
}

/// Who talks to whom.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    /// The API server's address.
    pub server: String,
    /// Who it knows us as; empty when it does not say.
    pub user: String,
}

impl Speaker {
    /// An API server that did not do what it was asked.
    pub fn words(&self, error: &kube::Error, asked: Asked, goal: &Goal) -> String {
        let Self { server, user } = self;
        let status = match error {
            kube::Error::Api(status) => status,
            kube::Error::Auth(error) => return self.refused(&innermost(error)),
            other => return format!("the API server {server} does not answer: {}", innermost(other)),
        };
        match status.code {
            401 => self.refused(&status.message),
            403 => {
                let to = if user.is_empty() { String::new() } else { format!(" to {user}") };
                format!("not allowed: grant {} in namespace {}{to}", asked.right(), goal.namespace)
            }
            code => format!("the API server {server} answered {code}: {}", status.message),
        }
    }

    fn refused(&self, reason: &str) -> String {
        let server = &self.server;
        format!("the API server {server} does not accept these credentials any more ({reason}): log in and start again")
    }

    /// An API server that said nothing at all.
    pub fn silent(&self, patience: Duration) -> String {
        format!("the API server {} does not answer: nothing within {} s", self.server, patience.as_secs())
    }

    /// A connection that stood, and on which no answer came before the asker gave up.
    pub fn unanswered(&self, pod: &str) -> String {
        format!("pod {pod} does not answer through the API server {}", self.server)
    }

    /// A connection that was cut while an answer was due.
    pub fn cut(&self, pod: &str) -> String {
        format!("the connection to pod {pod} was cut before it answered")
    }
}

/// The cause of all: `Connection refused (os error 111)` rather than who passed it on.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string().replace('\n', " ")
}

/// A node that could not connect to the pod's port, or lost it.
pub(super) fn of_port(node: &str, pod: &str, goal: &Goal) -> String {
    format!("pod {pod} cannot be reached at its port {}: {}", goal.port, node.trim().replace('\n', " "))
}
