//! The schema of one signal, whichever it is. Reads no policy.

use protocol::duration::Display;
use serde_json::{Value, json};

use super::{
    PERCENT, PERCENT_MAX, QUANTITY, SHARE_PERCENT, composite, duration, int_or_string, integer, object, one_of, text,
    words,
};
use crate::policy::check::{SIGNAL_NAME_MAX as NAME_MAX, WORKERS_MAX};
use crate::policy::{MAX_AGE_DEFAULT, UTILIZATION_MAX_DEFAULT, VARIABILITY_DEFAULT};

pub(super) fn signal() -> Value {
    let properties = json!({
        "utilization": utilization(),
        "query": query(),
        "expression": composite::expression(),
        "demand": sizing(
            "As many replicas as the requests that arrive need, so that the wait leaves room for objective.latency.",
        ),
        "upstream": sizing(
            "As demand, for the requests that the front door is getting times those that one of them makes here: the \
             whole chain is scaled at once. Needs the collector's call graph.",
        ),
        "backlog": backlog(),
        "schedule": composite::schedule(),
    });
    let kinds = ["utilization", "query", "expression", "demand", "upstream", "backlog", "schedule"];
    one_of(object("One reading of one kind.", &[], properties), &kinds)
}

fn sizing(description: &str) -> Value {
    let mut utilization_max = int_or_string(
        "The most that workers may be busy on average, whatever the objective would bear, such as 80%.",
        (1, Some(100)),
        SHARE_PERCENT,
        "expected a whole percentage from 1% to 100%, such as 80%",
    );
    utilization_max["default"] = json!(format!("{}%", UTILIZATION_MAX_DEFAULT * 100.0));
    let workers =
        "Requests that one replica works on at once. Left out, it is learnt from CPU: so many as keep it busy.";
    object(
        description,
        &[],
        json!({
            "utilizationMax": utilization_max,
            "workers": integer(workers, 1, WORKERS_MAX),
            "variability": {
                "type": "number",
                "description": "(Ca2 + Cs2) / 2, of the times between arrivals and of service times: 1 where they are \
                                exponential, more for bursts.",
                "minimum": 0,
                "default": VARIABILITY_DEFAULT,
            },
            "maxAge": max_age(),
        }),
    )
}

fn backlog() -> Value {
    let query = |description: &str| json!({"type": "string", "description": description, "minLength": 1});
    object(
        "As many replicas as work off in time what waits, beside what arrives, by what a replica was seen to do.",
        &["promql", "drainWithin"],
        json!({
            "name": name("query"),
            "promql": query("PromQL of how much waits, of at least one metric; several series are summed."),
            "drainWithin": duration("In what time it is to be done; more than 0, such as 60s."),
            "throughput": query("PromQL of how much is done a second. Left out, the requests that the service answers."),
            "maxAge": max_age(),
        }),
    )
}

fn utilization() -> Value {
    let target = int_or_string(
        "Percent of what the containers request, such as 65%.",
        (1, Some(PERCENT_MAX)),
        PERCENT,
        "expected a whole percentage from 1% to 1000%, such as 65%",
    );
    object(
        "Usage of the replicas as a share of what their containers request.",
        &["resource", "target"],
        json!({
            "resource": words("The resource.", &json!(["cpu", "memory"]), None),
            "container": {
                "type": "string",
                "description": "Only this container of each replica. Left out, all containers count.",
            },
            "target": target,
            "maxAge": max_age(),
        }),
    )
}

fn query() -> Value {
    let properties = json!({
        "name": name("query"),
        "promql": promql(),
        "perReplica": per_replica(),
        "target": in_all(),
        "maxAge": max_age(),
    });
    let query = object("A number from PromQL, with perReplica or target.", &["promql"], properties);
    one_of(query, &["perReplica", "target"])
}

pub(super) fn name(of: &str) -> Value {
    text(
        &format!("What records and sentences call it. Left out, the start of the {of}."),
        NAME_MAX,
        r"\S",
        "the name is empty; write one or leave it out",
    )
}

pub(super) fn promql() -> Value {
    json!({
        "type": "string",
        "description": "PromQL that reads at least one metric; several series are summed.",
        "minLength": 1,
    })
}

pub(super) fn per_replica() -> Value {
    target_number("So much for each replica, above 0: replicas are value / perReplica. Quote fractions.")
}

pub(super) fn in_all() -> Value {
    target_number("So much in all, above 0: replicas grow as value / target does. Quote fractions.")
}

fn target_number(description: &str) -> Value {
    int_or_string(description, (1, None), QUANTITY, "expected a quantity above 0, such as 50 or \"0.5\"")
}

pub(super) fn max_age() -> Value {
    let mut age = duration("A reading older than this is none; more than 0, such as 30s or 2m.");
    age["default"] = json!(Display(MAX_AGE_DEFAULT).to_string());
    age
}
