//! The parser: what each line means, what is a problem, and that nothing makes it panic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::series::METRIC_NAME;

/// The series in canonical form, the value, the time.
fn sample(line: &str, format: Format) -> Result<(String, f64, Option<i64>), &'static str> {
    match parse_line(line, format)? {
        Line::Sample { series, reading } => {
            let parts = parse_series(series)?;
            let labels = Labels::new(parts.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())));
            Ok((labels.to_string(), reading.value, reading.timestamp_ms))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_samples() {
    for (line, series, value, timestamp_ms) in [
        ("a 1", "a{}", 1.0, None),
        ("a{} 1.5e3 17", "a{}", 1_500.0, Some(17)),
        ("a{b=\"c\"} +Inf", "a{b=\"c\"}", f64::INFINITY, None),
        ("a{b=\"c\"}-inf", "a{b=\"c\"}", f64::NEG_INFINITY, None),
        ("a { b = \"c\" , d=\"e\", }\t2\t-3", "a{b=\"c\", d=\"e\"}", 2.0, Some(-3)),
        ("  a:b{le=\"0.1\"} 0x", "", 0.0, None),
        ("a{b=\"x,y=} \\\" z\"} 1", "a{b=\"x,y=} \\\" z\"}", 1.0, None),
        ("a{b=\"one\\ntwo\\\\three\\q\"} 1", "a{b=\"one\\ntwo\\\\three\\\\q\"}", 1.0, None),
        ("a{b=\"\",c=\"d\"} 1", "a{c=\"d\"}", 1.0, None),
        ("{\"my.metric\",\"la.bel\"=\"v\",x=\"y\"} 1", "my.metric{la.bel=\"v\", x=\"y\"}", 1.0, None),
        ("{\"just.a.name\"} 1", "just.a.name{}", 1.0, None),
        ("a{b=\"héé☃\"} 1\r", "a{b=\"héé☃\"}", 1.0, None),
    ] {
        match sample(line, Format::Text) {
            Ok(found) => assert_eq!(found, (series.to_owned(), value, timestamp_ms), "{line}"),
            Err(_) => assert_eq!(series, "", "{line}"),
        }
    }
    assert!(sample("a NaN", Format::Text).unwrap().1.is_nan());
}

#[test]
fn openmetrics_has_seconds_and_exemplars() {
    let line = "a_bucket{le=\"1\"} 3 1.25 # {trace_id=\"abc # }\"} 0.5 1.5";
    let Ok(Line::Sample { reading, .. }) = parse_line(line, Format::OpenMetrics) else { panic!("not a sample") };
    assert_eq!((reading.value, reading.timestamp_ms), (3.0, Some(1_250)));
    let exemplar = parse_exemplar(reading.exemplar.unwrap(), 7).unwrap();
    assert_eq!(exemplar.labels.get("trace_id"), Some("abc # }"));
    assert_eq!((exemplar.value, exemplar.timestamp_ms), (0.5, 1_500));
    assert_eq!(parse_exemplar("{} 2", 7).unwrap().timestamp_ms, 7);
    assert_eq!(parse_line("# EOF", Format::OpenMetrics), Ok(Line::Eof));
    assert_eq!(parse_line("# EOF", Format::Text), Ok(Line::Blank));
}

#[test]
fn reads_metadata() {
    for (line, wanted) in [
        ("# TYPE a counter", Line::Metadata(Metadata::Type, "a", "counter")),
        ("# HELP a  two  words ", Line::Metadata(Metadata::Help, "a", "two  words ")),
        ("# HELP a", Line::Metadata(Metadata::Help, "a", "")),
        ("# UNIT a_s s", Line::Metadata(Metadata::Unit, "a_s", "s")),
        ("# TYPE \"a.b\" gauge", Line::Metadata(Metadata::Type, "a.b", "gauge")),
        ("# just a remark", Line::Blank),
        ("#", Line::Blank),
        ("", Line::Blank),
    ] {
        assert_eq!(parse_line(line, Format::Text), Ok(wanted), "{line}");
    }
}

#[test]
fn says_what_is_wrong() {
    for (line, reason) in [
        ("a", "there is no value"),
        ("a one", "the value is not a number"),
        ("a 1_000", "the value is not a number"),
        ("a 1 now", "the timestamp is not a number"),
        ("a 1 2 3", "there is text after the sample"),
        ("a 1 # {} 1", "there is text after the sample"),
        ("a{b=\"c\" 1", "the labels have no closing brace"),
        ("a{b=\"c} 1", "a quote is not closed"),
        ("a{b=c} 1", "a label's value is not quoted"),
        ("a{b} 1", "a label has no value"),
        ("a{b=\"1\" c=\"2\"} 1", "there is no comma between two labels"),
        ("a{b=\"1\",b=\"2\"} 1", "a label comes twice"),
        ("a{1b=\"1\"} 1", "a label's name holds a character that must be quoted"),
        ("a.b 1", "the metric's name holds a character that must be quoted"),
        ("{b=\"1\"} 1", "the metric has no name"),
    ] {
        assert_eq!(sample(line, Format::Text), Err(reason), "{line}");
    }
}

#[test]
fn content_types_name_the_format() {
    for (content_type, format) in [
        ("text/plain; version=0.0.4; charset=utf-8", Some(Format::Text.into())),
        ("text/plain", Some(Format::Text.into())),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", Some(Format::OpenMetrics.into())),
        (
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=values",
            Some(MediaType::Protobuf),
        ),
        ("Application/vnd.google.protobuf", Some(MediaType::Protobuf)),
        ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text", None),
        ("application/vnd.google.protobuf; proto=other; encoding=delimited", None),
        ("text/html", None),
        ("", None),
    ] {
        assert_eq!(MediaType::from_content_type(content_type), format, "{content_type}");
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

proptest! {
    #[test]
    fn never_panics(line in "[ -~\t☃]{0,60}", openmetrics in any::<bool>()) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        if let Ok(Line::Sample { series, reading }) = parse_line(&line, format) {
            let _ = parse_series(series);
            let _ = reading.exemplar.map(|e| parse_exemplar(e, 0));
        }
        let _ = strict_openmetrics(&line);
    }

    #[test]
    fn never_panics_on_what_looks_like_a_sample(line in "[a{}=\", \\\\#1.]{0,30}") {
        if let Ok(Line::Sample { series, .. }) = parse_line(&line, Format::OpenMetrics) {
            let _ = parse_series(series);
        }
        let _ = strict_openmetrics(&format!("{line}\n# EOF\n"));
    }

    #[test]
    fn any_name_and_label_survives_being_written(name in ".{1,8}", label in ".{1,8}", value in ".{0,12}", v in any::<f64>()) {
        prop_assume!(label != METRIC_NAME);
        let line = format!("{{{},{}={}}} {v}", quoted(&name), quoted(&label), quoted(&value));
        let Ok(Line::Sample { series, reading }) = parse_line(&line, Format::Text) else { panic!("{line}") };
        let parts = parse_series(series).unwrap();
        let found = Labels::new(parts.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())));
        prop_assert_eq!(found, Labels::new([(METRIC_NAME.to_owned(), name), (label, value)]));
        prop_assert!(reading.value == v || (reading.value.is_nan() && v.is_nan()));
    }

    /// Where the other parser is right: no empty value, none of `,` `=` `}` in a label's value, nothing to unescape, one space.
    #[test]
    fn as_another_parser_reads_what_it_reads_right(
        lines in prop::collection::vec(
            (
                "[a-z_][a-z0-9_]{0,9}",
                prop::collection::btree_map("[a-z_][a-z0-9_]{0,5}", "[a-zA-Z0-9 .:/;+*#{(-]{0,9}[a-z0-9]", 0..4),
                prop_oneof![any::<f64>().prop_map(|v| v.to_string()), "[+-]Inf|NaN|-?[0-9]{1,5}[.][0-9]{1,3}(e[+-]?[0-9]{1,2})?"],
                prop::option::of(-99_999_999_999_999i64..99_999_999_999_999),
            ),
            0..20,
        )
    ) {
        let text = |(name, labels, value, time): &(String, BTreeMap<String, String>, String, Option<i64>)| {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            format!("{name}{labels} {value}{}", time.map(|at| format!(" {at}")).unwrap_or_default())
        };
        let texts: Vec<String> = lines.iter().map(text).collect();
        let theirs = prometheus_parse::Scrape::parse(texts.iter().cloned().map(Ok)).unwrap().samples;
        prop_assert_eq!(theirs.len(), texts.len());
        for ((text, theirs), (_, _, _, time)) in texts.iter().zip(theirs).zip(&lines) {
            let (series, value, at_ms) = sample(text, Format::Text).unwrap();
            let prometheus_parse::Value::Untyped(wanted) = theirs.value else { panic!("{theirs:?}") };
            let name = [(METRIC_NAME, &*theirs.metric)];
            let labels = theirs.labels.iter().map(|(name, value)| (&**name, &**value));
            prop_assert_eq!(series, Labels::new(labels.chain(name)).to_string());
            prop_assert!(value == wanted || value.is_nan() && wanted.is_nan(), "{} {}", value, wanted);
            prop_assert_eq!(at_ms, time.map(|_| theirs.timestamp.timestamp_millis()));
        }
    }
}
