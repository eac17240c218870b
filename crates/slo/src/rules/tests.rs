//! The rule file: every expression is PromQL, and the alerts are the workbook's.

use std::path::Path;

use protocol::yaml::split;

use super::*;
use crate::{load::from_documents, promql};

const FILE: &str = "apiVersion: plimsoll.dev/v1alpha1\nkind: ServiceLevelObjectives\n\
    metadata: {name: shop, namespace: shop}\nspec:\n  objectives:\n\
    \x20   - {service: order, availability: 99.9%, latency: {quantile: 0.99, below: 250ms}}\n\
    \x20   - {journey: checkout, availability: 99.5%}\n";

fn rules() -> serde_json::Value {
    let objectives = from_documents(&split(Path::new("slo.yaml"), FILE)).unwrap();
    serde_saphyr::from_str(&yaml(&objectives)).unwrap()
}

#[test]
fn every_expression_is_promql() {
    let file = rules();
    let groups = file["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 6);
    let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut count = 0;
    for rule in all {
        let expr = rule["expr"].as_str().unwrap();
        promql::check(expr).unwrap_or_else(|error| panic!("{expr}: {error}"));
        count += 1;
    }
    assert_eq!(count, 3 * (2 + 8 + 4 + 2));
}

#[test]
fn a_page_is_of_two_windows_and_two_rates() {
    let file = rules();
    let page = &file["groups"][1]["rules"][0];
    let series = |window: &str| {
        format!("slo:sli_error:ratio_rate{window}{{namespace=\"shop\", service=\"order\", slo=\"availability\"}}")
    };
    let (h1, m5, h6, m30) = (series("1h"), series("5m"), series("6h"), series("30m"));
    assert_eq!(
        page["expr"],
        format!("({h1} > 14.4 * 0.001 and {m5} > 14.4 * 0.001) or ({h6} > 6 * 0.001 and {m30} > 6 * 0.001)")
    );
    assert_eq!(page["labels"]["severity"], "page");
    assert_eq!(
        page["annotations"]["summary"],
        "service shop/order burns the error budget of its objective availability (99.9% over 30d) too fast"
    );
    let ticket = file["groups"][1]["rules"][1]["expr"].as_str().unwrap();
    assert!(ticket.contains("ratio_rate1d") && ticket.contains("> 3 * 0.001") && ticket.contains("> 1 * 0.001"));
}
