//! Bad and all events of many objectives by one query over a range: each is a series without labels, told apart by a label that the query
//! gives it.

use std::collections::HashMap;
use std::time::Duration;

use protocol::prometheus::{PrometheusClient, QueryData};
use slo::Objective;
use slo::counters::{Events, STEP};

/// The label that tells the series of a query apart: `b3` has the bad events of the objective at place 3, `t3` all of them.
const LABEL: &str = "slo_part";

/// Bytes of a query: three quarters of what the collector takes, as longer windows are longer to write.
const QUERY_BYTES_MAX: usize = 48 * 1024;

/// Operators and brackets of a query: three quarters of what the collector's parser is let near.
const OPERATORS_MAX: usize = 1_500;

/// Objectives that are read together; all have the same budget window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Their places among all objectives.
    pub objectives: Vec<usize>,
    /// Their budget window.
    pub window: Duration,
}

/// The points that are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Milliseconds since the epoch of the last one.
    pub end_ms: i64,
    /// Time between two.
    pub step: Duration,
    /// How many.
    pub points: usize,
    /// The window that each is the events of.
    pub window: Duration,
}

/// What was read of one objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its place.
    pub objective: usize,
    /// The events by time in milliseconds since the epoch, oldest first; nothing where the server knows of nothing.
    pub points: Vec<(i64, Events)>,
}

/// Puts objectives into as few queries as they fit into.
pub fn batches(objectives: &[Objective]) -> Vec<Batch> {
    let mut places: Vec<usize> = (0..objectives.len()).collect();
    places.sort_by_key(|place| objectives[*place].window);
    let (mut batches, mut bytes, mut operators): (Vec<Batch>, _, _) = (Vec::new(), 0, 0);
    for place in places {
        let objective = &objectives[place];
        let text = query_of(place, objective, STEP);
        let signs = text.bytes().filter(|byte| b"(+-*/%^=!<>[".contains(byte)).count() + 2;
        (bytes, operators) = (bytes + text.len(), operators + signs);
        match batches.last_mut() {
            Some(batch)
                if batch.window == objective.window && bytes <= QUERY_BYTES_MAX && operators <= OPERATORS_MAX =>
            {
                batch.objectives.push(place);
            }
            _ => {
                batches.push(Batch { objectives: vec![place], window: objective.window });
                (bytes, operators) = (text.len(), signs);
            }
        }
    }
    batches
}

pub(super) fn query_of(place: usize, objective: &Objective, window: Duration) -> String {
    let (bad, total) = (objective.bad(window), objective.total(window));
    format!(
        "label_replace({bad}, \"{LABEL}\", \"b{place}\", \"\", \"\") or \
         label_replace({total}, \"{LABEL}\", \"t{place}\", \"\", \"\")"
    )
}

/// Reads a batch.
///
/// # Errors
/// Why the server did not answer.
pub async fn read(
    client: &PrometheusClient,
    objectives: &[Objective],
    batch: &Batch,
    range: Range,
) -> Result<Vec<Reading>, String> {
    let queries: Vec<String> =
        batch.objectives.iter().map(|place| query_of(*place, &objectives[*place], range.window)).collect();
    let step_ms = super::millis(range.step);
    let times = i64::try_from(range.points).unwrap_or(1);
    let first_ms = range.end_ms - (times - 1) * step_ms;
    let seconds = |at_ms: i64| at_ms as f64 / 1000.0;
    let (query, step) = (queries.join(" or "), range.step.as_secs_f64());
    let answer = client.query_range(&query, seconds(first_ms), seconds(range.end_ms), step).await;
    let series = match answer.map_err(|error| error.to_string())? {
        QueryData::Matrix(series) => series,
        _ => return Err("it answered with something else than ranges".to_owned()),
    };
    let mut amounts: HashMap<(&str, i64), f64> = HashMap::new();
    for series in &series {
        let Some(part) = series.metric.get(LABEL) else { continue };
        for point in &series.values {
            amounts.insert((part, (point.0 * 1000.0).round() as i64), point.value());
        }
    }
    let amount = |part: &str, at_ms: i64| {
        let value = amounts.get(&(part, at_ms)).copied().unwrap_or_default();
        if value.is_finite() { value.max(0.0) } else { 0.0 }
    };
    let reading = |place: &usize| {
        let (bad, total) = (format!("b{place}"), format!("t{place}"));
        let point = |number: i64| {
            let at_ms = first_ms + number * step_ms;
            let total = amount(&total, at_ms);
            (at_ms, Events { bad: amount(&bad, at_ms).min(total), total })
        };
        Reading { objective: *place, points: (0..times).map(point).collect() }
    };
    Ok(batch.objectives.iter().map(reading).collect())
}
