//! What a policy's signals ask of metrics, as far as the simulated cluster can answer. What it cannot answer is refused before
//! anything runs: a replay without a signal would be one of another policy.

use std::time::Duration;

use cluster::simulated::Graph;

use super::ReplayError;
use crate::policy::{Aim, Policy, Resource};

/// What one signal asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Question {
    /// CPU of the workload's own pods.
    Cpu,
    /// Requests a second to a service.
    Requests { service: usize, window: Duration },
}

/// The one query that can be answered, as errors show it.
const ANSWERED: &str = "sum(rate(http_server_request_duration_seconds_count{service=\"NAME\"}[WINDOW]))";

impl Question {
    /// The questions of a policy's signals, in their order.
    pub fn of(policy: &Policy, graph: &Graph) -> Result<Vec<Self>, ReplayError> {
        let refuse = |signal: &str, why: String| ReplayError::Unanswerable {
            policy: named(policy),
            signal: signal.to_owned(),
            why,
        };
        let question = |signal: &crate::policy::Signal| match &signal.aim {
            Aim::Utilization { resource: Resource::Memory, .. } => {
                Err(refuse(&signal.name, "memory is not simulated; replay the policy without this signal".to_owned()))
            }
            Aim::Utilization { container: Some(container), .. } if *container != policy.target.name => {
                let only = &policy.target.name;
                Err(refuse(&signal.name, format!("the only container that is simulated is called {only}")))
            }
            Aim::Utilization { .. } => Ok(Self::Cpu),
            Aim::Query { promql, .. } => requests(promql, graph).ok_or_else(|| {
                refuse(&signal.name, format!("the query {promql:?} is not simulated; expected {ANSWERED}"))
            }),
            Aim::Expression { .. } | Aim::Schedule(_) => {
                let what = "expressions and schedules are not simulated; replay the policy without this signal";
                Err(refuse(&signal.name, what.to_owned()))
            }
            Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. } => {
                let what =
                    "what it reads of traces and backlogs is not simulated; replay the policy without this signal";
                Err(refuse(&signal.name, what.to_owned()))
            }
        };
        policy.signals.iter().map(question).collect()
    }

    /// Whose requests it asks for, over which window.
    pub fn requests(self) -> Option<(usize, Duration)> {
        match self {
            Self::Cpu => None,
            Self::Requests { service, window } => Some((service, window)),
        }
    }
}

/// A policy as errors name it.
pub(super) fn named(policy: &Policy) -> String {
    format!("{}/{}", policy.name.namespace, policy.name.name)
}

/// Reads the rate of a service's requests, in the way everybody writes it.
fn requests(promql: &str, graph: &Graph) -> Option<Question> {
    let bare: String = promql.chars().filter(|c| !c.is_whitespace()).collect();
    let rest = bare.strip_prefix("sum(rate(http_server_request_duration_seconds_count{")?;
    let (labels, rest) = rest.split_once('}')?;
    let window = rest.strip_prefix('[')?.strip_suffix("]))")?;
    let window = protocol::duration::parse(window).ok().filter(|window| !window.is_zero())?;
    let (mut service, mut namespace) = (None, None);
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        match name {
            "service" => service = Some(graph.named(value)?),
            "namespace" => namespace = Some(value),
            _ => return None,
        }
    }
    let service = service?;
    let is_there = graph.services().nth(service).is_some_and(|s| namespace.is_none_or(|n| n == s.workload.namespace));
    is_there.then_some(Question::Requests { service, window })
}
