//! Claims about reading PromQL answers.

use protocol::prometheus::{Point, RangeSeries};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> LabelMap {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// A service of which nothing tells the namespace.
fn bare(name: &str) -> ServiceKey {
    ServiceKey::new("", name)
}

fn instant(series: &[(&[(&str, &str)], f64)]) -> Option<QueryData> {
    let one = |(pairs, value): &(&[(&str, &str)], f64)| InstantSeries {
        metric: labels(pairs),
        value: Point::new(100.0, *value),
        histogram: None,
    };
    Some(QueryData::Vector(series.iter().map(one).collect()))
}

#[test]
fn counts_5xx_as_errors_and_4xx_not() {
    let answers = Answers {
        rate_by_code: instant(&[
            (&[("service", "order"), ("http_response_status_code", "200")], 6.0),
            (&[("service", "order"), ("http_response_status_code", "404")], 2.0),
            (&[("service", "order"), ("http_response_status_code", "503")], 2.0),
            (&[("http_response_status_code", "503")], 9.0),
        ]),
        ..Answers::default()
    };
    let metrics = metrics(&answers, 30.0);
    assert_eq!(metrics.services.len(), 1);
    let red = metrics.services[&bare("order")].red;
    assert_eq!((red.rate, red.error_ratio), (10.0, 0.2));
}

#[test]
fn the_last_seconds_count_where_enough_happened_in_them() {
    let answers = |payment_ok, payment_failed, browse_failed| Answers {
        rate_by_code: instant(&[
            (&[("service", "payment"), ("http_response_status_code", "200")], payment_ok),
            (&[("service", "payment"), ("http_response_status_code", "500")], payment_failed),
            (&[("service", "user"), ("http_response_status_code", "200")], 0.1),
        ]),
        journeys: instant(&[
            (&[("journey", "browse"), ("outcome", "ok")], 8.0),
            (&[("journey", "browse"), ("outcome", "error")], browse_failed),
        ]),
        ..Answers::default()
    };
    let wide = || metrics(&answers(2.0, 2.0, 2.0), 30.0);
    let mut over = wide();
    sharpen(&mut over, &answers(3.0, 0.0, 0.0), 10.0);
    assert_eq!((over.services[&bare("payment")].red.rate, over.services[&bare("payment")].red.error_ratio), (3.0, 0.0));
    assert_eq!(over.journeys["browse"].error_ratio, 0.0);
    let mut quiet = wide();
    sharpen(&mut quiet, &answers(0.9, 0.1, 0.0), 10.0);
    assert_eq!(quiet.services[&bare("payment")].red.error_ratio, 0.5);
    let mut cleared = wide();
    sharpen(&mut cleared, &answers(0.6, 0.0, 0.0), 10.0);
    assert_eq!(cleared.services[&bare("payment")].red.error_ratio, 0.0);
    let mut behind_a_breaker = wide();
    sharpen(&mut behind_a_breaker, &answers(0.0, 0.6, 0.0), 10.0);
    assert_eq!(behind_a_breaker.services[&bare("payment")].red.error_ratio, 1.0);
    let mut unanswered = wide();
    sharpen(&mut unanswered, &Answers::default(), 10.0);
    assert_eq!(unanswered, wide());
}

#[test]
fn quantiles_are_those_of_histogram_quantile() {
    let buckets = [(0.1, 50.0), (0.2, 90.0), (0.5, 100.0), (f64::INFINITY, 100.0)];
    assert_eq!(quantile(&buckets, 0.5), Some(0.1));
    assert!((quantile(&buckets, 0.7).unwrap() - 0.15).abs() < 1e-9);
    assert!((quantile(&buckets, 0.99).unwrap() - 0.47).abs() < 1e-9);
    let beyond = [(0.1, 50.0), (0.2, 90.0), (f64::INFINITY, 100.0)];
    assert_eq!(quantile(&beyond, 0.99), Some(0.2));
    assert_eq!(quantile(&[(0.1, 0.0), (f64::INFINITY, 0.0)], 0.99), None);
    assert_eq!(quantile(&[(0.1, 1.0)], 0.99), None);
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn only_breakers_that_are_not_closed_count() {
    let answers = Answers {
        breakers: instant(&[
            (&[("service", "order"), ("peer", "payment")], 2.0),
            (&[("service", "order"), ("peer", "inventory")], 0.0),
            (&[("service", "gateway"), ("peer", "order")], 1.0),
        ]),
        ..Answers::default()
    };
    let found = metrics(&answers, 30.0).breakers;
    let found: Vec<_> = found.iter().map(|b| (b.service.as_str(), b.peer.as_str(), b.half_open)).collect();
    assert_eq!(found, [("order", "payment", false), ("gateway", "order", true)]);
}

#[test]
fn journeys_sum_their_outcomes() {
    let answers = Answers {
        journeys: instant(&[
            (&[("journey", "checkout"), ("outcome", "ok")], 3.0),
            (&[("journey", "checkout"), ("outcome", "error")], 1.0),
            (&[("journey", "browse"), ("outcome", "ok")], 8.0),
        ]),
        ..Answers::default()
    };
    let journeys = metrics(&answers, 30.0).journeys;
    assert_eq!((journeys["checkout"].rate, journeys["checkout"].error_ratio), (4.0, 0.25));
    assert_eq!(journeys["browse"].error_ratio, 0.0);
}

#[test]
fn a_history_has_every_step_and_zero_in_the_gaps() {
    let series = |code: &str, values: &[(f64, f64)]| RangeSeries {
        metric: labels(&[("service", "order"), ("http_response_status_code", code)]),
        values: values.iter().map(|(at, value)| Point::new(*at, *value)).collect(),
        histograms: Vec::new(),
    };
    let answer = QueryData::Matrix(vec![
        series("200", &[(100.0, 4.0), (110.0, 1.0)]),
        series("500", &[(110.0, 3.0), (999.0, 7.0)]),
    ]);
    let history = history(&answer, 100.0, 5.0, 4);
    assert_eq!(history[&bare("order")].rate, [4.0, 0.0, 4.0, 0.0]);
    assert_eq!(history[&bare("order")].error_ratio, [0.0, 0.0, 0.75, 0.0]);
}

#[test]
fn curves_have_gaps_where_there_was_nothing_and_the_greatest_comes_first() {
    let series = |client: &str, values: &[(f64, f64)]| RangeSeries {
        metric: labels(&[("client", client), ("empty", "")]),
        values: values.iter().map(|(at, value)| Point::new(*at, *value)).collect(),
        histograms: Vec::new(),
    };
    let answer =
        QueryData::Matrix(vec![series("order", &[(105.0, 1.0)]), series("user", &[(100.0, 0.5), (115.0, 4.0)])]);
    let curves = curves(&answer, 100.0, 5.0, 4);
    assert_eq!(curves.iter().map(|(labels, _)| labels.as_str()).collect::<Vec<_>>(), ["client=user", "client=order"]);
    let bits = |values: &[f64]| values.iter().map(|value| value.is_nan()).collect::<Vec<_>>();
    assert_eq!(bits(&curves[0].1), [false, true, true, false]);
    assert_eq!(bits(&curves[1].1), [true, false, true, true]);
}

#[test]
fn buckets_are_requests_in_each_step_and_operations_are_in_order() {
    let series = |le: &str, rate: f64| RangeSeries {
        metric: labels(&[("le", le)]),
        values: vec![Point::new(105.0, rate)],
        histograms: Vec::new(),
    };
    let answer = QueryData::Matrix(vec![series("0.1", 2.0), series("+Inf", 3.0), series("none", 9.0)]);
    assert_eq!(
        heat_buckets(&answer, 100.0, 5.0, 3),
        [(0.1, vec![0.0, 10.0, 0.0]), (f64::INFINITY, vec![0.0, 15.0, 0.0])]
    );
    let named = instant(&[
        (&[("http_request_method", "POST"), ("http_route", "/orders")], 1.0),
        (&[("http_request_method", "GET"), ("http_route", "/orders")], 1.0),
        (&[("http_request_method", "GET"), ("http_route", "/a")], 1.0),
        (&[], 1.0),
    ]);
    let names = |max| -> Vec<String> {
        operations(&named.clone().unwrap(), Measured::Requests, max).iter().map(Operation::name).collect()
    };
    assert_eq!(names(9), ["GET /a", "GET /orders", "POST /orders"]);
    assert_eq!(names(1), ["GET /a"]);
}

#[test]
fn nothing_answered_is_no_service_and_no_panic() {
    let metrics = metrics(&Answers::default(), 30.0);
    assert!(metrics.services.is_empty() && metrics.journeys.is_empty());
}

#[test]
fn a_trace_that_several_services_know_is_listed_once() {
    use crate::fixtures::{span, trace};
    let early = || trace("a", vec![span("1", None, "gateway", 0, 5)]);
    let late = || trace("b", vec![span("2", None, "gateway", 10, 5)]);
    let ids = |traces: Vec<Trace>| traces.into_iter().map(|t| t.trace_id).collect::<Vec<_>>();
    assert_eq!(ids(newest_traces(vec![vec![early(), late()], vec![late()], vec![]], 9)), ["b", "a"]);
    assert_eq!(ids(newest_traces(vec![vec![early(), late()]], 1)), ["b"]);
}
