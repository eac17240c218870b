//! One step of requests down the graph: what comes, what is served, waits and is refused, service after service, and what
//! that costs in CPU. Everything is a mean but the arrivals at the front door, which are drawn.

use super::calls::{Calls, Ledger};
use super::dice::Dice;
use super::fleet::Fleet;
use super::graph::{Graph, Place};
use super::station::{Advanced, Waiting};

/// Share of the calls that may be repeated (Envoy's retry budget, which the shop's peers keep to).
const RETRY_SHARE: f64 = 0.2;

/// Retries a second that each calling replica may make at any time (Envoy's `min_retry_concurrency` of 3, as a rate).
const RETRIES_A_SECOND: f64 = 3.0;

/// What arrivals' random numbers are for; see `Dice::of`.
const PURPOSE: u64 = 2;

/// What came to a service and what became of it: `arrivals + retries = served + refused + waiting`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flow {
    /// Requests that came for the first time.
    pub arrivals: f64,
    /// Requests that came again.
    pub retries: f64,
    /// Requests that were worked on.
    pub served: f64,
    /// Requests that were turned away or given up while they waited.
    pub refused: f64,
    /// Requests that wait now.
    pub waiting: f64,
    /// Requests that are under way now: waiting for their turn, worked on, or waiting for the calls they make.
    pub under_way: f64,
    /// Seconds that served requests have spent in the service itself, the wait for their turn included.
    pub own_seconds: f64,
}

/// A service in the latest step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Now {
    /// Share of the calls to it that fail in the end, retries included.
    pub failing: f64,
    pub waiting: Waiting,
    /// How much CPU a request costs, as a multiple of a warm replica's.
    pub cost: f64,
}

/// All services' flows, and what goes over from step to step.
#[derive(Debug, Clone)]
pub(super) struct Flows {
    totals: Vec<Flow>,
    ledger: Ledger,
    pub now: Vec<Now>,
    /// Requests of the front door in the latest step, by the graph's roots.
    pub front: Vec<f64>,
    /// Share of the front door's requests, by roots, that came to nothing.
    pub lost: Vec<f64>,
    /// Retries that come in the next step.
    retries: Vec<f64>,
    /// Share that finds no room, as what was under way in the last step says.
    shed: Vec<f64>,
    /// Requests of each call that were served in this step.
    served: Vec<f64>,
    /// Of each call, how long it takes and how likely it is answered.
    seconds: Vec<f64>,
    answered: Vec<f64>,
}

impl Flows {
    pub fn new(graph: &Graph) -> Self {
        let (services, nodes) = (graph.places.len(), graph.nodes.len());
        Self {
            totals: vec![Flow::default(); services],
            ledger: Ledger::new(graph),
            now: vec![Now { cost: 1.0, ..Now::default() }; services],
            front: vec![0.0; graph.roots.len()],
            lost: vec![0.0; graph.roots.len()],
            retries: vec![0.0; services],
            shed: vec![0.0; services],
            served: vec![0.0; nodes],
            seconds: vec![0.0; nodes],
            answered: vec![1.0; nodes],
        }
    }

    pub fn total(&self, service: usize) -> &Flow {
        &self.totals[service]
    }

    pub fn calls(&self) -> &[Calls] {
        &self.ledger.calls
    }

    pub fn step(
        &mut self,
        graph: &Graph,
        fleets: &mut [Fleet],
        seed: u64,
        number: u64,
        (now_ms, seconds): (i64, f64),
        journeys_a_second: f64,
    ) {
        let mut journeys = Vec::with_capacity(graph.journeys.len());
        for (index, journey) in graph.journeys.iter().enumerate() {
            let mut dice = Dice::of([seed, PURPOSE, number, index as u64]);
            journeys.push(dice.poisson(journeys_a_second * journey.share * seconds));
        }
        for (root, front) in graph.roots.iter().zip(&mut self.front) {
            *front = journeys[root.journey] * graph.nodes[root.node].share;
            self.served[root.node] = *front;
        }
        for service in &graph.order {
            self.serve(graph, fleets, *service, now_ms, seconds);
        }
        self.judge(graph, fleets, now_ms, seconds);
    }

    /// One service's step. `served` of its calls holds what comes of them at first, and what was served of it afterwards.
    fn serve(&mut self, graph: &Graph, fleets: &mut [Fleet], service: usize, now_ms: i64, seconds: f64) {
        let place = &graph.places[service];
        let mut arrivals = 0.0;
        for index in &place.nodes {
            let node = &graph.nodes[*index];
            if let Some(parent) = node.parent {
                self.served[*index] = self.served[parent] * node.share;
            }
            arrivals += self.served[*index];
        }
        self.ledger.count(service, &place.nodes, &self.served);
        let retries = std::mem::take(&mut self.retries[service]);
        let waiting = self.totals[service].waiting;
        let came = arrivals + retries;

        let (mut serving, mut speed) = (0.0, 0.0);
        for cost in fleets[service].serving(now_ms) {
            serving += 1.0;
            speed += 1.0 / cost;
        }
        let step = if serving > 0.0 {
            let shed = came * self.shed[service];
            let capacity = place.capacity() * speed / serving;
            let mut step = queue(place, waiting / serving, (came - shed) / serving, capacity, seconds);
            step.served *= serving;
            step.waiting *= serving;
            step.refused = step.refused * serving + shed;
            step
        } else {
            // Nobody listens: whoever waited is lost with the replica that is gone.
            Step { refused: came + waiting, ..Step::default() }
        };
        let failing = if came > 0.0 { (step.refused / came).min(1.0) } else { 0.0 };
        // Only a service repeats its calls; customers do not.
        let callers: f64 = place.callers.iter().map(|caller| fleets[*caller].serving(now_ms).count() as f64).sum();
        let budget = arrivals * RETRY_SHARE + callers * RETRIES_A_SECOND * seconds;
        let repeated = if callers > 0.0 { step.refused.min(budget) } else { 0.0 };
        self.retries[service] = repeated;
        self.ledger.repeat(service, repeated);
        let share_repeated = if step.refused > 0.0 { repeated / step.refused } else { 0.0 };

        self.now[service] = Now {
            failing: failing * (1.0 - share_repeated * (1.0 - failing)),
            waiting: step.behind,
            cost: if speed > 0.0 { serving / speed } else { 1.0 },
        };
        let total = &mut self.totals[service];
        total.arrivals += arrivals;
        total.retries += retries;
        total.served += step.served;
        total.refused += step.refused;
        total.waiting = step.waiting;
        // Whoever is served is of each kind of call as often as such calls come.
        let passing = if arrivals > 0.0 { step.served / arrivals } else { 0.0 };
        for index in &place.nodes {
            self.served[*index] *= passing;
        }
        let (idle, full) = (place.service.idle_cores * seconds, place.cores * seconds);
        fleets[service].use_cpu(now_ms, idle, full, step.served * place.cpu_seconds);
    }

    /// From the leaves up: how long calls take and how likely they are answered, and who has no more room.
    fn judge(&mut self, graph: &Graph, fleets: &[Fleet], now_ms: i64, seconds: f64) {
        let mut under_way = vec![0.0; graph.places.len()];
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let (place, now) = (&graph.places[node.service], &self.now[node.service]);
            let own =
                now.waiting.mean() + place.alone_seconds(node.cpu_seconds * now.cost) + place.service.other_seconds;
            self.totals[node.service].own_seconds += self.served[index] * own;
            let mut took = own;
            let mut answered = 1.0 - now.failing;
            for stage in &node.then {
                let mut slowest = 0.0f64;
                for call in stage {
                    let called = &graph.nodes[*call];
                    slowest = slowest.max(called.share * self.seconds[*call].min(called.timeout_seconds));
                    if called.needed {
                        answered *= 1.0 - called.share * (1.0 - self.answered[*call]);
                    }
                }
                took += slowest;
            }
            self.seconds[index] = took;
            self.answered[index] = answered;
            under_way[node.service] += self.served[index] / seconds * took;
        }
        for (service, place) in graph.places.iter().enumerate() {
            self.totals[service].under_way = under_way[service];
            let room = f64::from(place.service.in_flight_max) * fleets[service].serving(now_ms).count() as f64;
            let wanted = under_way[service] / (1.0 - self.shed[service]).max(1e-6);
            self.shed[service] = if wanted > room && wanted > 0.0 { 1.0 - room / wanted } else { 0.0 };
        }
        for (root, lost) in graph.roots.iter().zip(&mut self.lost) {
            *lost = 1.0 - self.answered[root.node];
        }
    }
}

/// What a step did to one replica's queue, and then to all of a service.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    served: f64,
    refused: f64,
    waiting: f64,
    behind: Waiting,
}

fn queue(place: &Place, waiting: f64, arrivals: f64, capacity_a_second: f64, seconds: f64) -> Step {
    let capacity = capacity_a_second * seconds;
    let Advanced { queue, load } = place.station.advance(waiting, arrivals, capacity);
    // No longer than there is room, and no longer than anybody waits for.
    let most = f64::from(place.service.in_flight_max).min(capacity_a_second * place.service.patience_seconds);
    let kept = queue.min(most);
    Step {
        served: capacity * load,
        refused: queue - kept,
        waiting: kept,
        behind: place.station.waiting(Advanced { queue: kept, load }, capacity_a_second),
    }
}

#[cfg(test)]
mod tests;
