//! What recording and alerting rules store.

use super::*;
use crate::rules::alert::{Seen, Timing, advance};
use crate::rules::file::RuleKind;

fn rule(name: &str, labels: &[(&str, &str)]) -> Rule {
    let labels = labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Rule { name: name.to_owned(), query: "up".to_owned(), labels, kind: RuleKind::Recording }
}

fn result(series: &[&[(&str, &str)]]) -> Vec<(Labels, Point)> {
    let point = Point::Float(Sample { timestamp_ms: 7, value: 1.0 });
    series.iter().map(|labels| (Labels::new(labels.iter().copied()), point.clone())).collect()
}

fn names(series: Vec<(Labels, Point)>) -> Vec<String> {
    series.into_iter().map(|(labels, _)| labels.to_string()).collect()
}

#[test]
fn recorded_series_have_the_rules_name_and_labels() {
    let up = result(&[&[("__name__", "up"), ("job", "a"), ("team", "x")], &[("__name__", "up"), ("job", "b")]]);
    let rule = rule("job:up", &[("team", ""), ("job", "all"), ("site", "s")]);
    assert_eq!(recorded(&rule, up, 0), Err(RuleError::SameLabels("rule")));
    let one = result(&[&[("__name__", "up"), ("job", "a"), ("team", "x")]]);
    assert_eq!(names(recorded(&rule, one, 1).unwrap()), ["job:up{job=\"all\", site=\"s\"}"]);
}

#[test]
fn more_than_the_limit_is_nothing() {
    let two = result(&[&[("a", "1")], &[("a", "2")]]);
    assert_eq!(recorded(&rule("r", &[]), two.clone(), 2).unwrap().len(), 2);
    let error = recorded(&rule("r", &[]), two, 1).unwrap_err();
    assert_eq!(error.to_string(), "exceeded limit of 1 with 2 series");
}

#[test]
fn alerts_are_series_with_state_and_time() {
    let rule = rule("Down", &[("severity", "page"), ("empty", "{{ $labels.none }}")]);
    let texts = Texts::from([("severity".to_owned(), "page".to_owned()), ("empty".to_owned(), String::new())]);
    let labels = alert_labels(&Labels::new([("__name__", "up"), ("job", "a"), ("severity", "x")]), &texts, "Down");
    assert_eq!(labels.to_string(), "{alertname=\"Down\", job=\"a\", severity=\"page\"}");
    let mut alerts = Alerts::new();
    let seen = vec![Seen { labels, annotations: Texts::new(), value: 0.0 }];
    advance(&mut alerts, seen, Timing { hold_ms: 60_000, keep_firing_ms: 0 }, 61_500).unwrap();
    let samples = alert_samples(&rule, &alerts, 60_500);
    let texts: Vec<String> = samples.iter().map(|(labels, point)| format!("{labels} {point:?}")).collect();
    let labels = "alertname=\"Down\"";
    let rest = "empty=\"{{ $labels.none }}\", job=\"a\", severity=\"page\"";
    assert_eq!(
        texts,
        [
            format!(
                "ALERTS{{{labels}, alertstate=\"pending\", {rest}}} Float(Sample {{ timestamp_ms: 60500, value: 1.0 }})"
            ),
            format!("ALERTS_FOR_STATE{{{labels}, {rest}}} Float(Sample {{ timestamp_ms: 60500, value: 61.0 }})"),
        ]
    );
    assert_eq!(for_state_labels(&rule, &alerts.values().next().unwrap().clone()), samples[1].0);
}
