//! What is right is read, what is wrong is refused at its field.

use std::path::Path;

use protocol::yaml::split;

use super::*;
use crate::load::from_documents;

fn read(spec: &str) -> Result<Vec<Objective>, String> {
    let text =
        format!("apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: shop, namespace: shop}}\nspec:\n{spec}");
    from_documents(&split(Path::new("slo.yaml"), &text)).map_err(|error| error.to_string())
}

#[test]
fn reads_objectives_of_services_and_journeys() {
    let found = read(
        "  window: 28d\n  objectives:\n\
         \x20   - {service: order, availability: 99.9%, latency: {quantile: 0.99, below: 250ms}, packing: true}\n\
         \x20   - journey: checkout\n      window: 7d\n      queries:\n\
         \x20       - {name: paid, target: 99%, bad: 'sum(rate(b[{{.window}}]))', total: 'sum(rate(t[{{.window}}]))'}\n",
    )
    .unwrap();
    let shown: Vec<String> = found
        .iter()
        .map(|o| format!("{} {} {} {} {}", o.subject, o.name, o.target, duration::Display(o.window), o.packing))
        .collect();
    assert_eq!(
        shown,
        [
            "service shop/order availability 99.9% 28d true",
            "service shop/order latency 99% 28d true",
            "journey checkout paid 99% 7d false"
        ]
    );
}

#[test]
fn refuses_with_the_field_and_what_was_expected() {
    let query = |rest: &str| format!("  objectives: [{{service: a, queries: [{{name: q, target: 99%, {rest}}}]}}]\n");
    let cases = [
        ("  objectives: []\n".to_owned(), "spec.objectives: expected at least one"),
        ("  objectives: [{service: a}]\n".to_owned(), "spec.objectives[0]: expected availability, latency or queries"),
        ("  objectives: [{availability: 99%}]\n".to_owned(), "exactly one of service or journey"),
        ("  objectives: [{service: a, availability: 100%}]\n".to_owned(), "spec.objectives[0].availability: found"),
        ("  objectives: [{service: a, availability: '0.999'}]\n".to_owned(), "such as 99.9%"),
        ("  objectives: [{service: a b, availability: 99%}]\n".to_owned(), "spec.objectives[0].service"),
        (
            "  window: 1d\n  objectives: [{service: a, availability: 99%}]\n".to_owned(),
            "spec.window: found 1d, expected 7d to 365d",
        ),
        ("  objectives: [{journey: a, packing: true, availability: 99%}]\n".to_owned(), "a journey has no replicas"),
        ("  objectives: [{service: a, latency: {quantile: 99, below: 1s}}]\n".to_owned(), "latency.quantile: found 99"),
        ("  objectives: [{service: a, latency: {quantile: 0.9, below: 0}}]\n".to_owned(), "latency.below"),
        ("  objectives: [{service: a, availability: 99%}, {service: a, availability: 98%}]\n".to_owned(), "already"),
        (query("bad: 'x[{{.window}}]'"), "queries[0]: expected bad and total"),
        (query("errorRatio: 'rate(x[5m])'"), "queries[0].errorRatio: write {{.window}}"),
        (query("errorRatio: 'rate(x[{{.window}}]'"), "queries[0].errorRatio"),
        ("  objectives: [{service: a, availabilty: 99%}]\n".to_owned(), "availabilty"),
    ];
    for (spec, expected) in cases {
        let message = read(&spec).expect_err(&spec);
        assert!(message.starts_with("slo.yaml: document 1: ") && message.contains(expected), "{spec}: {message}");
    }
}
