//! A cluster in virtual time: services over a call graph, their replicas, and what becomes of the requests that are sent to
//! them. The same graph, seed and commands give the same bytes on every machine: no clock, no hash order, no arithmetic that
//! machines differ in. Decides nothing about replicas: `Simulation::scale` is told. Start at `Simulation`.
//!
//! How it is modelled, and what that leaves out:
//! - Time goes in steps (`STEP_MS` as a rule). In each, requests flow from the front door down the graph; a replica is a queue
//!   of its own (`station`), as a Service spreads requests at random, and what waits is shared by the replicas that serve.
//! - A request computes first and calls then, which is how load gets from callers to those they call within one step.
//! - Whoever finds no replica, no room, or waits longer than its caller does is refused. A caller repeats a refused call within
//!   the retry budget of its replicas, a step later. Circuit breakers are not modelled, nor are memory and nodes that are full.
//! - Waiting for those one calls takes up room (`in_flight_max`) and no CPU, so that a slow service fills its callers up.
//! - Latencies are sampled: `SAMPLES` requests a step, stratified over the requests of all journeys, walk the graph and draw
//!   waiting and service times. How many are refused is not sampled but worked out.

mod calls;
mod dice;
mod fleet;
mod flow;
mod graph;
mod latency;
mod station;

use std::sync::Arc;

pub use self::calls::Calls;
pub use self::fleet::{Fleet, Pod};
pub use self::flow::Flow;
pub use self::graph::{Call, Graph, GraphError, Journey, Life, Service};
pub use self::latency::Answers;
pub use self::station::{Advanced, Station, Waiting};

use self::flow::Flows;

/// The usual step: short beside a replica's start and a metric's age, long beside a request.
pub const STEP_MS: i64 = 1000;

/// Requests a step whose latency is drawn: 1,920 a minute, of which 19 lie beyond the 99th percentile.
pub const SAMPLES: u32 = 32;

/// A graph of services under load, at a moment of virtual time.
#[derive(Debug, Clone)]
pub struct Simulation {
    graph: Arc<Graph>,
    seed: u64,
    step_ms: i64,
    begins_ms: i64,
    now_ms: i64,
    fleets: Vec<Fleet>,
    flows: Flows,
    answers: Answers,
}

impl Simulation {
    /// At virtual time 0, with the replicas of the graph ready. `step_ms` is more than 0.
    pub fn new(graph: Arc<Graph>, seed: u64, step_ms: i64) -> Self {
        Self::beginning_at(graph, seed, step_ms, 0)
    }

    /// At a virtual time in milliseconds since the epoch. What happens does not depend on it.
    pub fn beginning_at(graph: Arc<Graph>, seed: u64, step_ms: i64, begins_ms: i64) -> Self {
        let fleet = |(number, service)| Fleet::new(service, number, seed, begins_ms);
        let fleets = graph.services().enumerate().map(fleet).collect();
        let flows = Flows::new(&graph);
        let (step_ms, now_ms, answers) = (step_ms.max(1), begins_ms, Answers::default());
        Self { graph, seed, step_ms, begins_ms, now_ms, fleets, flows, answers }
    }

    /// The virtual time in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Seconds of a step.
    pub fn step_seconds(&self) -> f64 {
        self.step_ms as f64 / 1000.0
    }

    /// What is simulated.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The replicas of a service, by the graph's number.
    pub fn fleet(&self, service: usize) -> &Fleet {
        &self.fleets[service]
    }

    /// What came to a service and what became of it, in all so far.
    pub fn flow(&self, service: usize) -> &Flow {
        self.flows.total(service)
    }

    /// Goes on with other numbers for the same services and calls, such as a service that a fault has made slow; whether it does:
    /// not with other services or calls.
    pub fn go_on_with(&mut self, graph: Arc<Graph>) -> bool {
        let is_same = graph.is_shaped_as(&self.graph);
        if is_same {
            self.graph = graph;
        }
        is_same
    }

    /// Who called whom, in all so far.
    pub fn calls(&self) -> &[Calls] {
        self.flows.calls()
    }

    /// Asks for a number of replicas.
    pub fn scale(&mut self, service: usize, replicas: u32) {
        self.fleets[service].set(replicas, self.now_ms);
    }

    /// Lets one step pass with so many journeys a second at the front door, and says how they were answered.
    pub fn step(&mut self, journeys_a_second: f64) -> &Answers {
        let (now_ms, seconds) = (self.now_ms, self.step_seconds());
        for fleet in &mut self.fleets {
            fleet.pass(now_ms);
        }
        let number = ((now_ms - self.begins_ms) / self.step_ms).unsigned_abs();
        self.flows.step(&self.graph, &mut self.fleets, self.seed, number, (now_ms, seconds), journeys_a_second);
        latency::sample(&self.graph, &self.flows, self.seed, number, &mut self.answers);
        self.now_ms += self.step_ms;
        for fleet in &mut self.fleets {
            fleet.pass(self.now_ms);
        }
        &self.answers
    }
}

#[cfg(test)]
mod tests;
