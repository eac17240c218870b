//! How long requests at the front door take: some walk the graph, and each place on the way draws how long they wait and are
//! served there. Who walks is stratified over all requests of the step, so that rare journeys are there as often as they come.

use super::SAMPLES;
use super::dice::Dice;
use super::flow::Flows;
use super::graph::Graph;

/// What samples' random numbers are for; see `Dice::of`.
const PURPOSE: u64 = 3;

/// How the requests of a step were answered at the front door.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Requests that came.
    pub requests: f64,
    /// Of these, those refused, or without an answer in time.
    pub failed: f64,
    /// Seconds that answered requests took, one for each `(requests - failed) / latencies.len()` of them.
    pub latencies: Vec<f64>,
}

/// Fills in the answers of the latest step.
pub(super) fn sample(graph: &Graph, flows: &Flows, seed: u64, number: u64, answers: &mut Answers) {
    answers.latencies.clear();
    answers.requests = flows.front.iter().sum();
    answers.failed = 0.0;
    if answers.requests <= 0.0 {
        return;
    }
    let refused: f64 = flows.front.iter().zip(&flows.lost).map(|(requests, lost)| requests * lost).sum();
    let (mut root, mut before) = (0, 0.0);
    for sample in 0..SAMPLES {
        // A stream for each sample: whatever the others met, it draws the same numbers.
        let mut dice = Dice::of([seed, PURPOSE, number, u64::from(sample)]);
        let point = (f64::from(sample) + dice.uniform()) / f64::from(SAMPLES) * answers.requests;
        while root + 1 < flows.front.len() && before + flows.front[root] <= point {
            before += flows.front[root];
            root += 1;
        }
        let node = graph.roots[root].node;
        let (seconds, answered) = walk(graph, flows, node, &mut dice);
        if answered && seconds <= graph.nodes[node].timeout_seconds {
            answers.latencies.push(seconds);
        }
    }
    let in_time = answers.latencies.len() as f64 / f64::from(SAMPLES);
    answers.failed = refused + (answers.requests - refused) * (1.0 - in_time);
}

/// One call and all that it makes: how long it takes, and whether everybody that it needs answers in time.
fn walk(graph: &Graph, flows: &Flows, node: usize, dice: &mut Dice) -> (f64, bool) {
    let call = &graph.nodes[node];
    let (place, now) = (&graph.places[call.service], &flows.now[call.service]);
    let (wait, service) = (dice.uniform(), dice.uniform());
    let variation = place.service.variation;
    // Part of it fixed, part of it exponential: the mean is 1, the coefficient of variation as asked for.
    let drawn = 1.0 - variation - variation * libm::log(1.0 - service);
    let alone = place.alone_seconds(call.cpu_seconds * now.cost * drawn);
    let mut seconds = now.waiting.quantile(wait) + alone + place.service.other_seconds;
    let mut answered = true;
    for stage in &call.then {
        let mut slowest = 0.0f64;
        for next in stage {
            let next_call = &graph.nodes[*next];
            if next_call.share < 1.0 && dice.uniform() >= next_call.share {
                continue;
            }
            let (took, well) = walk(graph, flows, *next, dice);
            answered &= (well && took <= next_call.timeout_seconds) || !next_call.needed;
            slowest = slowest.max(took.min(next_call.timeout_seconds));
        }
        seconds += slowest;
    }
    (seconds, answered)
}
