//! Objectives as files: our own, OpenSLO v1, and Sloth's `prometheus/v1`. What is exported can be imported again, and asks the same.

use std::collections::BTreeMap;

use protocol::duration;
use serde::Serialize;
use serde_json::{Value, json};

use crate::check::{API_VERSION, KIND};
use crate::objective::{Indicator, Objective, Subject};
use crate::promql::WINDOW;
use crate::query::RATIO_EVENT;
use crate::raw::{RawEntry, RawFile, RawLatency, RawMetadata, RawQuery, RawSpec};
use crate::windows::BUDGET_WINDOW_DEFAULT;

/// Our own file: a document for each namespace, journeys in the first.
pub fn plimsoll(objectives: &[Objective]) -> String {
    let first = objectives.iter().map(|o| o.subject.namespace()).find(|namespace| !namespace.is_empty());
    let first = first.unwrap_or("default");
    let mut documents: BTreeMap<&str, Vec<RawEntry>> = BTreeMap::new();
    for objective in objectives {
        let namespace = match &objective.subject {
            Subject::Service { namespace, .. } => namespace,
            Subject::Journey { .. } => first,
        };
        let entries = documents.entry(namespace).or_default();
        let (service, journey) = match &objective.subject {
            Subject::Service { name, .. } => (Some(name.clone()), None),
            Subject::Journey { name } => (None, Some(name.clone())),
        };
        let window = (objective.window != BUDGET_WINDOW_DEFAULT).then_some(objective.window);
        let packing = objective.packing.then_some(true);
        let takes = |entry: &RawEntry| {
            let same = (&entry.service, &entry.journey) == (&service, &journey);
            same && entry.window == window && entry.packing == packing
        };
        let place = entries.iter().position(takes).unwrap_or_else(|| {
            entries.push(RawEntry { service, journey, window, packing, ..RawEntry::default() });
            entries.len() - 1
        });
        write(objective, &mut entries[place]);
    }
    let documents = documents.into_iter().map(|(namespace, objectives)| {
        text(&RawFile {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: RawMetadata {
                name: namespace.to_owned(),
                namespace: Some(namespace.to_owned()),
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
            },
            spec: RawSpec { window: None, objectives },
        })
    });
    documents.collect::<Vec<_>>().join("---\n")
}

fn write(objective: &Objective, entry: &mut RawEntry) {
    let query = RawQuery { name: objective.name.clone(), target: objective.target.to_string(), ..RawQuery::default() };
    match &objective.indicator {
        Indicator::Availability => entry.availability = Some(objective.target.to_string()),
        Indicator::Latency { below } => {
            entry.latency = Some(RawLatency { quantile: objective.target.share(), below: *below });
        }
        Indicator::Events { bad, total } => {
            let (bad, total) = (Some(bad.to_string()), Some(total.to_string()));
            entry.queries.push(RawQuery { bad, total, ..query });
        }
        Indicator::GoodEvents { good, total } => {
            let (good, total) = (Some(good.to_string()), Some(total.to_string()));
            entry.queries.push(RawQuery { good, total, ..query });
        }
        Indicator::ErrorRatio { ratio } => {
            entry.queries.push(RawQuery { error_ratio: Some(ratio.to_string()), ..query });
        }
    }
}

/// OpenSLO v1, a document an objective. Queries hold `{{.window}}` where the window is to stand, as Sloth's do.
pub fn openslo(objectives: &[Objective]) -> String {
    let documents = objectives.iter().map(|objective| {
        let source = |query: String| json!({"metricSource": {"type": "Prometheus", "spec": {"query": query}}});
        let metric = match &objective.indicator {
            Indicator::ErrorRatio { ratio } => json!({"rawType": "failure", "raw": source(ratio.to_string())}),
            _ => {
                let (bad, total) = templates(objective);
                json!({"counter": true, "bad": source(bad), "total": source(total)})
            }
        };
        text(&json!({
            "apiVersion": "openslo/v1",
            "kind": "SLO",
            "metadata": {"name": name(objective)},
            "spec": {
                "service": service(&objective.subject),
                "indicator": {"metadata": {"name": name(objective)}, "spec": {"ratioMetric": metric}},
                "timeWindow": [{"duration": duration::Display(objective.window).to_string(), "isRolling": true}],
                "budgetingMethod": "Occurrences",
                "objectives": [{"target": objective.target.share()}],
            },
        }))
    });
    documents.collect::<Vec<_>>().join("---\n")
}

/// Sloth's files, a document a service or journey. Budget windows are an option of Sloth's command line and not in its file.
pub fn sloth(objectives: &[Objective]) -> String {
    let mut subjects: Vec<(&Subject, Vec<Value>)> = Vec::new();
    for objective in objectives {
        let sli = match &objective.indicator {
            Indicator::ErrorRatio { ratio } => json!({"raw": {"error_ratio_query": ratio.to_string()}}),
            _ => {
                let (bad, total) = templates(objective);
                json!({"events": {"error_query": bad, "total_query": total}})
            }
        };
        let slo = json!({
            "name": objective.name,
            "objective": (objective.target.share() * 1e11).round() / 1e9,
            "sli": sli,
            "alerting": {"name": "SLOErrorBudgetBurn"},
        });
        match subjects.iter_mut().find(|(subject, _)| *subject == &objective.subject) {
            Some((_, slos)) => slos.push(slo),
            None => subjects.push((&objective.subject, vec![slo])),
        }
    }
    let documents = subjects
        .into_iter()
        .map(|(subject, slos)| text(&json!({"version": "prometheus/v1", "service": service(subject), "slos": slos})));
    documents.collect::<Vec<_>>().join("---\n")
}

/// What the other tools, which know services alone, call a subject: a journey may have a service's name.
fn service(subject: &Subject) -> String {
    match subject {
        Subject::Service { name, .. } => name.clone(),
        Subject::Journey { name } => format!("journey-{name}"),
    }
}

fn name(objective: &Objective) -> String {
    format!("{}-{}", service(&objective.subject), objective.name)
}

/// The queries of bad and all events with the window left open.
fn templates(objective: &Objective) -> (String, String) {
    match &objective.indicator {
        Indicator::Events { bad, total } => (bad.to_string(), total.to_string()),
        Indicator::GoodEvents { good, total } => {
            (format!("({total}) - (({good}) or ({total}) * 0)"), total.to_string())
        }
        _ => {
            let open =
                |query: String| query.replace(&format!("[{}]", duration::Display(RATIO_EVENT)), &format!("[{WINDOW}]"));
            (open(objective.bad(RATIO_EVENT)), open(objective.total(RATIO_EVENT)))
        }
    }
}

fn text(document: &impl Serialize) -> String {
    serde_saphyr::to_string(document).expect("texts and numbers in lists and maps have a form in YAML")
}

#[cfg(test)]
mod tests;
