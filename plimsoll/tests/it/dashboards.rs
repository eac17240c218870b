//! Every query of the exported dashboards is answered by the collector of a running demo.

use std::time::Duration;

use protocol::prometheus::QueryData;

use super::process::{Demo, query, turn, vector, wait_until};

/// Queries that may rightly find nothing in a healthy demo: limits are not enforced everywhere. That nothing fails is an
/// answer, a zero.
fn is_empty_when_all_is_well(expression: &str) -> bool {
    ["oom", "throttled"].iter().any(|mark| expression.contains(mark))
}

#[test]
fn every_query_is_answered_with_data() {
    let _turn = turn();
    let demo = Demo::start(&["--seconds", "180", "--profile", "steady", "--rate", "6"]);
    wait_until("the shoppers are scraped", Duration::from_secs(30), || {
        vector(query(&demo.collector, "count(rate(journey_duration_seconds_bucket[5s]) > 0)", None), "").len() == 1
            && vector(query(&demo.collector, "count(traces_service_graph_request_total)", None), "").len() == 1
    });
    // Error budgets are counted by whole minutes.
    wait_until("a minute is counted", Duration::from_secs(120), || {
        vector(query(&demo.collector, "count(plimsoll_autoscaler_slo_burn_rate{window=\"1h\"})", None), "").len() == 1
    });
    let mut empty = Vec::new();
    for (panel, expression) in dashboards::queries() {
        let expression = substitute(&expression);
        let found = match query(&demo.collector, &expression, None) {
            QueryData::Vector(series) => series.len(),
            QueryData::Scalar(_) => 1,
            other => panic!("{panel}: {expression}: {other:?}"),
        };
        if found == 0 && !is_empty_when_all_is_well(&expression) {
            empty.push(format!("{panel}: {expression}"));
        }
    }
    assert!(empty.is_empty(), "no data for:\n{}", empty.join("\n"));
}

/// Grafana's variables as Grafana fills them in for this demo.
fn substitute(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5s")
        .replace("$__interval", "5s")
        .replace("$__range", "30s")
        .replace("${namespace}", "shop")
        .replace("$namespace", "shop")
        .replace("${service:regex}", ".*")
        .replace("${service}", ".*")
        .replace("$service", ".*")
}
