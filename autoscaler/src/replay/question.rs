//! What a policy's signals ask, as far as the simulated cluster can answer. What it cannot answer is refused before anything runs: a
//! replay without a signal would be one of another policy.

use std::time::Duration;

use cluster::simulated::Graph;

use super::ReplayError;
use crate::policy::{Aim, Policy, Resource};

/// What one signal asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// CPU of the workload's own pods.
    Cpu,
    /// One number.
    Number(Metric),
    /// The numbers of a formula, in its order.
    Numbers(Vec<Metric>),
    /// The time alone.
    Clock,
    /// What the policy's service is asked to do, as spans tell it.
    Demand,
    /// What waits, and how much is done; `None` counts the requests of the policy's service, as spans tell them.
    Backlog { waiting: Metric, done: Option<Metric> },
}

/// A number that a Prometheus would know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Metric {
    /// Requests a second to a service.
    Requests { service: usize, window: Duration },
    /// Requests that a service has under way.
    UnderWay { service: usize },
}

/// The queries that can be answered, as errors show them.
const ANSWERED: &str = "sum(rate(http_server_request_duration_seconds_count{service=\"NAME\"}[WINDOW])) or \
                        sum(http_server_active_requests{service=\"NAME\"})";

impl Question {
    /// The questions of a policy's signals, in their order.
    pub fn of(policy: &Policy, graph: &Graph) -> Result<Vec<Self>, ReplayError> {
        policy
            .signals
            .iter()
            .map(|signal| {
                Self::of_aim(&signal.aim, policy, graph).map_err(|why| ReplayError::Unanswerable {
                    policy: named(policy),
                    signal: signal.name.clone(),
                    why,
                })
            })
            .collect()
    }

    fn of_aim(aim: &Aim, policy: &Policy, graph: &Graph) -> Result<Self, String> {
        match aim {
            Aim::Utilization { resource: Resource::Memory, .. } => {
                Err("memory is not simulated; replay the policy without this signal".to_owned())
            }
            Aim::Utilization { container: Some(container), .. } if *container != policy.target.name => {
                Err(format!("the only container that is simulated is called {}", policy.target.name))
            }
            Aim::Utilization { .. } => Ok(Self::Cpu),
            Aim::Query { promql, .. } => metric(promql, graph).map(Self::Number),
            Aim::Expression { queries, .. } => {
                queries.iter().map(|query| metric(&query.promql, graph)).collect::<Result<_, _>>().map(Self::Numbers)
            }
            Aim::Schedule(_) => Ok(Self::Clock),
            Aim::Demand(_) | Aim::Upstream(_) => known(policy, graph).map(|()| Self::Demand),
            Aim::Backlog { promql, throughput, .. } => {
                let done = match throughput {
                    Some((promql, _)) => Some(metric(promql, graph)?),
                    None => known(policy, graph).map(|()| None)?,
                };
                Ok(Self::Backlog { waiting: metric(promql, graph)?, done })
            }
        }
    }

    /// The numbers that it asks for.
    pub fn metrics(&self) -> Vec<Metric> {
        match self {
            Self::Number(metric) => vec![*metric],
            Self::Numbers(metrics) => metrics.clone(),
            Self::Backlog { waiting, done } => std::iter::once(*waiting).chain(*done).collect(),
            Self::Cpu | Self::Clock | Self::Demand => Vec::new(),
        }
    }

    /// Whether the answer comes from spans.
    pub fn asks_spans(&self) -> bool {
        matches!(self, Self::Demand | Self::Backlog { done: None, .. })
    }
}

/// A policy as errors name it.
pub(super) fn named(policy: &Policy) -> String {
    format!("{}/{}", policy.name.namespace, policy.name.name)
}

fn known(policy: &Policy, graph: &Graph) -> Result<(), String> {
    let service = &policy.service;
    graph.named(service).map(|_| ()).ok_or_else(|| format!("no service of the graph is called {service}"))
}

/// Reads a number of a service's requests, in the way everybody writes it.
fn metric(promql: &str, graph: &Graph) -> Result<Metric, String> {
    let bare: String = promql.chars().filter(|c| !c.is_whitespace()).collect();
    requests(&bare, graph)
        .or_else(|| under_way(&bare, graph))
        .ok_or_else(|| format!("the query {promql:?} is not simulated; expected {ANSWERED}"))
}

fn requests(bare: &str, graph: &Graph) -> Option<Metric> {
    let rest = bare.strip_prefix("sum(rate(http_server_request_duration_seconds_count{")?;
    let (labels, rest) = rest.split_once('}')?;
    let window = rest.strip_prefix('[')?.strip_suffix("]))")?;
    let window = protocol::duration::parse(window).ok().filter(|window| !window.is_zero())?;
    service(labels, graph).map(|service| Metric::Requests { service, window })
}

fn under_way(bare: &str, graph: &Graph) -> Option<Metric> {
    // Several series are summed anyway.
    let bare = bare.strip_prefix("sum(").and_then(|inner| inner.strip_suffix(')')).unwrap_or(bare);
    let labels = bare.strip_prefix("http_server_active_requests{")?.strip_suffix('}')?;
    service(labels, graph).map(|service| Metric::UnderWay { service })
}

/// The service that matchers name, and nothing else.
fn service(labels: &str, graph: &Graph) -> Option<usize> {
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
    let found = graph.services().nth(service?)?;
    service.filter(|_| namespace.is_none_or(|n| n == found.workload.namespace))
}
