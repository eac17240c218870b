//! Tests of the evaluator that are not scripts: limits, places in notes, and that nothing makes it panic.

use std::time::Duration;

use proptest::prelude::*;

use super::memory::MemoryStore;
use super::*;
use crate::series::{Labels, stale_nan};

fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    for (index, job) in ["a", "b"].iter().enumerate() {
        let labels = Labels::new([("__name__", "requests_total"), ("job", job)]);
        for step in 0..60i32 {
            let value = f64::from(step * (1 + i32::try_from(index).unwrap()));
            store.add(&labels, Sample { timestamp_ms: i64::from(step) * 1_000, value });
        }
    }
    store
}

#[test]
fn too_many_samples_are_an_error() {
    let engine = Engine::new(EngineOptions { samples_max: 50, ..EngineOptions::default() });
    assert_eq!(engine.instant(&store(), "requests_total[1m]", 59_000).unwrap_err(), QueryError::TooManySamples(50));
    let long = "vector(1)[100y:1ms]";
    assert_eq!(engine.instant(&store(), long, 0).unwrap_err(), QueryError::TooManySamples(50));
}

#[test]
fn one_long_series_stops_at_the_deadline() {
    let stop = Stop::after(Duration::from_millis(50));
    let began = std::time::Instant::now();
    // Four times ten to the tenth samples to look at, all of one series.
    let query = "stddev_over_time(stddev_over_time(vector(1)[200000s:1s])[200000s:1s])";
    assert_eq!(Engine::default().instant_until(&store(), query, 0, &stop).unwrap_err(), QueryError::Timeout);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn numbers_that_are_no_durations_are_an_error() {
    for query in ["x offset NaN", "x offset inf", "x offset -Inf", "x offset 1e30", "x[1e30]", "x[1m:1e30]", "x[inf]"] {
        assert!(matches!(parse(query), Err(QueryError::Parse(_))), "{query}");
    }
    for query in ["x offset 0s", "x offset 0", "x[5m] offset -0m", "x[5m:1m] offset 0h0m @ 5"] {
        assert!(parse(query).is_ok(), "{query}: {:?}", parse(query));
    }
    for query in ["sum(x) offset 0s", "x offset 0x", "x offset", "x[0s]"] {
        assert!(matches!(parse(query), Err(QueryError::Parse(_))), "{query}");
    }
    for query in ["x offset 9e9", "x offset 1.5", "x[60]", "x offset 1m + 1e30", "rate(x[1m:]) > 1e30"] {
        assert!(parse(query).is_ok(), "{query}: {:?}", parse(query));
    }
}

#[test]
fn memory_that_is_given_back_is_not_counted() {
    let engine = Engine::new(EngineOptions { samples_max: 300, ..EngineOptions::default() });
    let sums = vec!["sum(requests_total)"; 20].join(" + ");
    assert!(engine.instant(&store(), &sums, 59_000).is_ok());
}

#[test]
fn a_query_stops_at_its_deadline_and_when_nobody_waits() {
    let engine = Engine::default();
    let late = Stop::after(Duration::ZERO);
    assert_eq!(engine.instant_until(&store(), "requests_total", 0, &late).unwrap_err(), QueryError::Timeout);
    let stop = Stop::after(Duration::from_secs(60));
    drop(stop.guard());
    assert_eq!(engine.instant_until(&store(), "requests_total", 0, &stop).unwrap_err(), QueryError::Cancelled);
}

#[test]
fn notes_say_where() {
    let output = Engine::default().instant(&store(), "1 +\n  rate({job=\"a\"}[1m])", 59_000).unwrap();
    assert_eq!(output.infos, Vec::<String>::new());
    let mut gauge = store();
    for timestamp_ms in [57_000, 58_000] {
        gauge.add(&Labels::new([("__name__", "load")]), Sample { timestamp_ms, value: 1.0 });
    }
    let output = Engine::default().instant(&gauge, "1 +\n  rate(load[1m])", 59_000).unwrap();
    let text =
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"load\" (2:8)";
    assert_eq!(output.infos, [text]);
}

#[test]
fn names_go_at_once_unless_told_otherwise() {
    let query = "sum by (__name__) (rate(requests_total[1m]))";
    let data = |late: bool| Engine::default().drop_names_late(late).instant(&store(), query, 59_000).unwrap().data;
    let QueryData::Vector(early) = data(false) else { panic!("not a vector") };
    assert!(early[0].labels.is_empty());
    let query = "label_replace(rate(requests_total[1m]), \"was\", \"$1\", \"__name__\", \"(.+)\")";
    let data = |late: bool| Engine::default().drop_names_late(late).instant(&store(), query, 59_000).unwrap().data;
    let (QueryData::Vector(early), QueryData::Vector(late)) = (data(false), data(true)) else { panic!("not vectors") };
    assert_eq!((early[0].labels.get("was"), late[0].labels.get("was")), (None, Some("requests_total")));
}

#[test]
fn a_printed_query_is_still_the_same_query() {
    for (query, wanted) in [
        ("sum(x)by(a)", "sum by (a) (x)"),
        // The parser does not know these, and reads comparisons.
        (" native </ 0.5 ", "native </ 0.5"),
        ("sum(rate(native[5m])>/2)", "sum(rate(native[5m])>/2)"),
    ] {
        assert_eq!(canonical(query).as_deref(), Ok(wanted));
        assert_eq!(parse(&prettified(query).unwrap()), parse(query), "{query}");
    }
    assert!(canonical("sum(").is_err());
}

#[test]
fn deep_and_long_queries_are_refused_or_answered_but_never_overflow() {
    let engine = Engine::default();
    for query in [
        format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("1{}", "+1".repeat(30_000)),
        format!("{}1", "-".repeat(60_000)),
        format!("vector(1){}", " or vector(1)".repeat(3_000)),
        format!("{}1{}", "abs(vector(".repeat(600), "))".repeat(600)),
        "x".repeat(70_000),
    ] {
        assert!(matches!(engine.instant(&store(), &query, 0), Err(QueryError::Parse(_))), "{}", &query[..20]);
    }
    let deep = format!("{}requests_total{}", "abs(".repeat(250), ")".repeat(250));
    assert!(engine.instant(&store(), &deep, 0).is_ok());
    let long = format!("requests_total{}", " or requests_total".repeat(250));
    assert!(engine.instant(&store(), &long, 0).is_ok());
}

#[test]
fn what_prometheus_refuses_is_refused() {
    for query in [
        "",
        "x{",
        "{}",
        "x[0s]",
        "x[5m:0s]",
        "1 + \"a\"",
        "sum(1)",
        "rate(x)",
        "x{a=\"1\" or b=\"2\"}",
        "x[5m] + 1",
        "info(x)",
    ] {
        assert!(matches!(parse(query), Err(QueryError::Parse(_))), "{query}");
    }
    let range = Engine::default().range(&store(), "requests_total[1m]", 0, 1, 1);
    assert!(matches!(range, Err(QueryError::Parse(text)) if text.contains("range vector")));
}

const NUMBERS: [&str; 9] = ["0", "1", "-1", "0.5", "NaN", "Inf", "-Inf", "1e300", "9223372036854775808"];
const SELECTORS: [&str; 4] = ["m", "h_bucket", "{a=~\".*\",__name__!=\"\"}", "none"];
const MODIFIERS: [&str; 6] = ["", " offset 7s", " offset -3s", " @ 20", " @ end()", " @ start() offset 1y"];
const OVER_TIME: [&str; 16] = [
    "rate",
    "increase",
    "irate",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "stddev_over_time",
    "absent_over_time",
    "last_over_time",
    "mad_over_time",
    "ts_of_max_over_time",
];
const OF_VECTORS: [&str; 12] = [
    "abs",
    "sgn",
    "year",
    "days_in_month",
    "day_of_year",
    "timestamp",
    "absent",
    "round",
    "sort_desc",
    "ln",
    "histogram_sum",
    "-",
];
const OPERATORS: [&str; 13] = [
    "+",
    "%",
    "^",
    "==",
    "> bool",
    "and",
    "or",
    "unless",
    "/ on(a) group_left()",
    "* ignoring(le) group_right(b)",
    "- on()",
    "atan2",
    "and on(a)",
];
const AGGREGATIONS: [&str; 6] = ["sum", "avg by (a) ", "stddev without (a) ", "count", "group by (le) ", "max"];
const CHOICES: [&str; 5] = ["topk", "bottomk", "limitk", "limit_ratio", "quantile"];

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

/// Selectors, numbers, and everything that combines them.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        one_of(&NUMBERS).prop_map(|number| format!("vector({number})")),
        (one_of(&SELECTORS), one_of(&MODIFIERS)).prop_map(|(selector, modifier)| format!("{selector}{modifier}")),
        Just("vector(time())".to_owned()),
        one_of(&OVER_TIME).prop_map(|function| format!("{function}(m[15s])")),
        (one_of(&NUMBERS), one_of(&NUMBERS)).prop_map(|(n, t)| format!("predict_linear(m[10s], {n}) + vector({t})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| prop_oneof![combined(&inner), computed(&inner)])
}

fn combined(inner: &BoxedStrategy<String>) -> impl Strategy<Value = String> + use<> {
    let x = || inner.clone();
    prop_oneof![
        (one_of(&OF_VECTORS), x()).prop_map(|(function, x)| format!("{function}({x})")),
        (x(), one_of(&OPERATORS), x()).prop_map(|(x, operator, y)| format!("({x}) {operator} ({y})")),
        (one_of(&AGGREGATIONS), x()).prop_map(|(function, x)| format!("{function}({x})")),
        (one_of(&CHOICES), one_of(&NUMBERS), x()).prop_map(|(function, n, x)| format!("{function} by (a) ({n}, {x})")),
        (one_of(&OVER_TIME), x(), one_of(&MODIFIERS))
            .prop_map(|(function, x, m)| format!("{function}(({x})[20s:3s]{m})")),
    ]
}

fn computed(inner: &BoxedStrategy<String>) -> impl Strategy<Value = String> + use<> {
    let x = || (one_of(&NUMBERS), inner.clone());
    prop_oneof![
        x().prop_map(|(n, x)| format!("histogram_quantile({n}, {x})")),
        x().prop_map(|(n, x)| format!("histogram_fraction({n}, 1, {x})")),
        x().prop_map(|(n, x)| format!("clamp({x}, {n}, scalar({x}))")),
        x().prop_map(|(n, x)| format!("quantile_over_time({n}, ({x})[10s:1s])")),
        x().prop_map(|(_, x)| format!("count_values(\"v\", {x})")),
        x().prop_map(|(_, x)| format!("label_replace({x}, \"a\", \"$1-$2\", \"b\", \"(.)(.*)\")")),
    ]
}

fn sample_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e3..1e3f64,
        1 => prop_oneof![Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(5e-324), Just(stale_nan())],
    ]
}

fn random_store() -> impl Strategy<Value = MemoryStore> {
    let bound = prop_oneof![Just(""), Just("0.1"), Just("1"), Just("+Inf"), Just("x")];
    let name = prop_oneof![Just("m"), Just("h_bucket"), Just("other")];
    let series = (name, "[ab]?", "[xyz]?", bound, prop::collection::btree_map(0..60_000i64, sample_value(), 0..20));
    prop::collection::vec(series, 0..8).prop_map(|all| {
        let mut store = MemoryStore::default();
        for (name, a, b, le, samples) in all {
            let labels = Labels::new([("__name__", name), ("a", &a), ("b", &b), ("le", le)]);
            for (timestamp_ms, value) in samples {
                store.add(&labels, Sample { timestamp_ms, value });
            }
        }
        store
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_panics_and_steps_agree_with_single_times(
        query in expression(), store in random_store(), late: bool, step_ms in 1_000..20_000i64,
    ) {
        let engine = Engine::default().drop_names_late(late);
        let expr = parse(&query);
        prop_assert!(expr.is_ok(), "{query}: {expr:?}");
        let range = engine.range(&store, &query, 0, 60_000, step_ms);
        let whole = query.contains("start()") || query.contains("end()");
        if let (Ok(QueryOutput { data: QueryData::Matrix(series), .. }), false) = (range, whole) {
            let at_ms = step_ms * 2;
            let QueryOutput { data: QueryData::Vector(single), .. } = engine.instant(&store, &query, at_ms).unwrap() else {
                return Err(TestCaseError::fail("not a vector"));
            };
            let stepped: Vec<&Labels> = series
                .iter()
                .filter(|one| one.samples.iter().any(|sample| sample.timestamp_ms == at_ms))
                .map(|one| &one.labels)
                .collect();
            let mut single: Vec<&Labels> = single.iter().map(|one| &one.labels).collect();
            single.sort();
            prop_assert_eq!(stepped, single, "{}", query);
        }
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9_(){}\\[\\]=~!<>+*/%^@:,.\"'` #$\\\\-]{0,40}") {
        let _ = Engine::default().instant(&MemoryStore::default(), &text, 0);
    }

    #[test]
    fn no_tokens_panic(words in prop::collection::vec(prop_oneof![
        Just("sum"), Just("("), Just(")"), Just("x"), Just("{"), Just("}"), Just("[5m]"), Just("[5m:1m]"), Just("by"), Just(","), Just("0x"),
        Just("08"), Just("@"), Just("offset"), Just("-"), Just("5m"), Just("1e"), Just("\"\\xff\""), Just("=~"), Just("\"(\""), Just("on"),
        Just("bool"), Just("=="), Just("é"), Just("start()"), Just("fill"), Just("smoothed"), Just("topk"), Just("1"), Just("or"),
    ], 0..12)) {
        let _ = Engine::default().instant(&MemoryStore::default(), &words.join(" "), 0);
    }
}
