//! Answers in the protobuf format, and histograms of all forms, whatever the format.

use super::super::taking::PRINTED_TWICE;
use super::*;
use crate::exposition::protobuf::messages::{
    BucketSpan, COUNTER, GAUGE, HISTOGRAM, Histogram as Message, Metric, MetricFamily, Quantile, SUMMARY, Summary,
    UNTYPED, answer, bucket, exemplar, family, labels, number, text,
};
use crate::series::HistogramSample;

impl Bench {
    /// A second later, the target answers this.
    fn answers(&mut self, families: &[MetricFamily]) -> Result<Found, String> {
        self.scrape(answer(families), MediaType::Protobuf)
    }
}

fn gauge(name: &str, value: f64) -> MetricFamily {
    family(name, GAUGE, Metric { gauge: number(value), ..Metric::default() })
}

fn of(histograms: &[(&str, Message)]) -> MetricFamily {
    let metric = |(label, histogram): &(&str, Message)| Metric {
        label: labels(&[("l", label)]),
        histogram: Some(histogram.clone()),
        ..Metric::default()
    };
    MetricFamily {
        name: "h".to_owned(),
        kind: HISTOGRAM,
        metric: histograms.iter().map(metric).collect(),
        ..MetricFamily::default()
    }
}

/// With `n` observations in each of some buckets, native and classic ones.
fn message(n: u64, buckets: u32) -> Message {
    let count = n * u64::from(buckets);
    Message {
        sample_count: count,
        sample_sum: n as f64,
        schema: 3,
        positive_span: vec![BucketSpan { offset: 0, length: buckets }],
        positive_delta: std::iter::once(n.cast_signed()).chain(std::iter::repeat_n(0, buckets as usize - 1)).collect(),
        bucket: vec![bucket(1.0, count / 2)],
        ..Message::default()
    }
}

#[test]
fn native_histograms_are_stored_until_they_vanish() {
    let mut bench = Bench::new("scrape_native_histograms: true");
    let both = |n| of(&[("1", message(n, 2)), ("2", message(n + 5, 2))]);
    let found = bench.answers(&[gauge("g", 1.0), both(1)]).unwrap();
    assert_eq!((found.scraped, found.kept, found.added, found.series, found.problems), (3, 3, 3, 3, 0));
    let found = bench.answers(&[gauge("g", 1.0), both(2)]).unwrap();
    assert_eq!((found.scraped, found.added, found.series), (3, 0, 3));
    bench.answers(&[of(&[("2", message(8, 2))]), gauge("g", 2.0)]).unwrap();
    bench.fail();
    bench.answers(&[of(&[("1", message(3, 2))])]).unwrap();
    assert_eq!(
        bench.stored(),
        [
            "g{} 1@1 1@2 2@3 x@4",
            "h{l=\"1\"} [2:1:1,1]@1 [4:2:2,2]@2 x@3 [6:3:3,3]@5",
            "h{l=\"2\"} [12:6:6,6]@1 [14:7:7,7]@2 [16:8:8,8]@3 x@4",
        ]
    );
    let metadata = bench.report.metadata();
    assert_eq!(
        metadata.iter().map(|(name, said)| (&**name, &*said.kind)).collect::<Vec<_>>(),
        [("g", "gauge"), ("h", "histogram")]
    );
}

#[test]
fn without_native_histograms_the_classic_buckets_are_taken() {
    let mut bench = Bench::new("honor_labels: false");
    bench.answers(&[of(&[("1", message(1, 2))])]).unwrap();
    assert_eq!(
        bench.stored(),
        [
            "h_bucket{l=\"1\", le=\"+Inf\"} 2@1",
            "h_bucket{l=\"1\", le=\"1.0\"} 1@1",
            "h_count{l=\"1\"} 2@1",
            "h_sum{l=\"1\"} 1@1"
        ]
    );
}

#[test]
fn the_limits_hold_for_histograms() {
    let two = [of(&[("1", message(1, 2)), ("2", message(1, 2))])];
    let native = "scrape_native_histograms: true\n";
    let mut bench = Bench::new(&format!("{native}sample_limit: 1"));
    assert!(bench.answers(&two).unwrap_err().contains("sample_limit (1)"));
    assert!(bench.batch.histograms.is_empty());
    let mut bench = Bench::new(&format!("{native}label_limit: 3"));
    assert!(bench.answers(&two).unwrap_err().contains("label_limit is 3, there are 4"));
    for yaml in [native.to_owned(), "convert_classic_histograms_to_nhcb: true\n".to_owned()] {
        let mut bench = Bench::new(&format!("{yaml}series_limit: 1"));
        for _ in 0..3 {
            let found = bench.answers(&two).unwrap();
            assert_eq!((found.scraped, found.kept, found.shed, found.series), (2, 2, 1, 1), "{yaml}");
            assert_eq!(bench.taken(), 1);
        }
        let shed = bench.answers(&two).unwrap().first_shed.unwrap();
        assert!(shed.text == "h{l=\"2\"}" && shed.to_string().contains("metric 2"), "{shed}");
        // The first is gone: now there is room.
        let found = bench.answers(&[of(&[("2", message(1, 2))])]).unwrap();
        assert_eq!((found.scraped, found.shed, found.series), (1, 0, 1), "{yaml}");
    }
}

#[test]
fn what_has_too_many_buckets_is_made_coarser_or_fails() {
    let answered = |yaml: &str, buckets| {
        let mut bench = Bench::new(&format!("scrape_native_histograms: true\n{yaml}"));
        let result = bench.answers(&[of(&[("1", message(1, buckets))])]);
        result.map(|_| bench.batch.histograms.iter().map(|(_, sample)| sample.histogram.clone()).next().unwrap())
    };
    let schema =
        |yaml, buckets| answered(yaml, buckets).map(|histogram| (histogram.schema, histogram.positive_buckets.len()));
    assert_eq!(schema("", 16), Ok((3, 16)));
    assert_eq!(schema("native_histogram_bucket_limit: 16", 16), Ok((3, 16)));
    // Bucket 0 goes with those before it.
    assert_eq!(schema("native_histogram_bucket_limit: 15", 16), Ok((2, 9)));
    assert_eq!(schema("native_histogram_bucket_limit: 3", 16), Ok((0, 3)));
    assert_eq!(schema("native_histogram_min_bucket_factor: 1.4", 16), Ok((1, 5)));
    assert_eq!(schema("native_histogram_min_bucket_factor: 1.4\nnative_histogram_bucket_limit: 4", 16), Ok((0, 3)));
    let total = |histogram: &Histogram| histogram.positive_buckets.iter().sum::<f64>();
    assert_eq!(answered("native_histogram_bucket_limit: 3", 16).map(|histogram| total(&histogram)), Ok(16.0));
    let refused = answered("native_histogram_bucket_limit: 1", 16).unwrap_err();
    assert_eq!(refused, "a histogram has more buckets than native_histogram_bucket_limit (1)");
    let mut custom = Bench::new("convert_classic_histograms_to_nhcb: true\nnative_histogram_bucket_limit: 1");
    assert!(custom.answers(&[of(&[("1", message(2, 2))])]).unwrap_err().contains("native_histogram_bucket_limit"));
}

#[test]
fn damage_ends_its_series_and_no_other() {
    let mut bench = Bench::new("scrape_native_histograms: true");
    let good = of(&[("1", message(1, 2)), ("2", message(1, 2))]);
    bench.answers(std::slice::from_ref(&good)).unwrap();
    let bad = of(&[("1", Message { sample_count: 9, ..message(1, 2) }), ("2", message(2, 2))]);
    let found = bench.answers(&[bad]).unwrap();
    assert_eq!((found.scraped, found.problems), (1, 1));
    assert_eq!(
        found.first_problem.unwrap().to_string(),
        "family 1, metric 1: its buckets hold another number of observations than its count says: h{l=\"1\"}"
    );
    let twice = of(&[("2", message(3, 2)), ("2", message(4, 2))]);
    let found = bench.answers(&[twice]).unwrap();
    assert_eq!((found.scraped, found.repeated, found.problems), (2, 1, 1));
    let whole = answer(&[good]);
    let found = bench.scrape(&whole[..20], MediaType::Protobuf).unwrap();
    assert_eq!(found.first_problem.unwrap().to_string(), "family 1: the message is cut short: ");
    assert_eq!(bench.stored(), ["h{l=\"1\"} [2:1:1,1]@1 x@2", "h{l=\"2\"} [2:1:1,1]@1 [4:2:2,2]@2 [6:3:3,3]@3 x@4"]);
}

#[test]
fn exemplars_of_a_histogram_are_kept_once() {
    let mut bench = Bench::new("scrape_native_histograms: true");
    for exemplars in [&[1, 3][..], &[1, 3], &[3, 5, 4], &[2, 5]] {
        let exemplars = exemplars.iter().map(|at| exemplar("t", f64::from(*at), Some(i64::from(*at)))).collect();
        bench.answers(&[of(&[("1", Message { exemplars, ..message(1, 2) })])]).unwrap();
    }
    let kept = bench.store.exemplars(&[vec![]], 0, 10_000).remove(0).exemplars;
    assert_eq!(kept.iter().map(|exemplar| exemplar.timestamp_ms).collect::<Vec<_>>(), [1_000, 3_000, 4_000, 5_000]);
}

#[test]
fn what_the_store_has_forgotten_is_looked_up_again() {
    let mut bench = Bench::new("scrape_native_histograms: true");
    bench.answers(&[gauge("g", 1.0), of(&[("1", message(1, 2))])]).unwrap();
    let mut lost = std::mem::take(&mut bench.batch);
    lost.histograms.push((SeriesRef(u64::MAX), lost.histograms[0].1.clone()));
    let stored: Vec<SeriesRef> = lost.series().take(2).collect();
    bench.pass().again(lost);
    assert_eq!(bench.batch.series().collect::<Vec<_>>(), stored, "what nobody prints is let go");
}

#[test]
fn parts_of_a_histogram_come_in_any_order_and_by_the_third_time_are_known() {
    let mut bench = Bench::new("convert_classic_histograms_to_nhcb: true");
    for n in 1..5 {
        let text = format!(
            "# TYPE h histogram\nh_bucket{{l=\"1\",le=\"+Inf\"}} {n}\nh_count{{ l=\"2\" }} 5\nh_bucket{{le=\"1\", l=\"1\"}} 1\n\
             h_sum{{l=\"1\"}} 2.5\nh_count{{l=\"1\"}} {n}\nh_bucket{{l=\"2\",le=\"2\"}} 5\n# TYPE h_more gauge\nh_more_count 3\n"
        );
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!((found.scraped, found.problems, found.series), (3, 0, 3), "{n}");
        assert_eq!(found.added, if n == 1 { 3 } else { 0 });
    }
    let bounds = |(_, sample): &(SeriesRef, HistogramSample)| sample.histogram.custom_bounds.to_vec();
    assert_eq!(bench.batch.histograms.iter().map(bounds).collect::<Vec<_>>(), [[1.0], [2.0]]);
    let found = bench.scrape("# TYPE h histogram\nh_count{l=\"1\"} 3\nh_count{l=\"1\"} 4\n", Format::Text).unwrap();
    assert_eq!((found.problems, found.first_problem.unwrap().reason), (1, "the series is printed twice"));
    let falling = "# TYPE h histogram\nh_bucket{l=\"1\",le=\"1\"} 3\nh_count{l=\"1\"} 2\n";
    let found = bench.scrape(falling, Format::Text).unwrap();
    let problem = "line 2: one of its buckets holds less than the one before: h{l=\"1\"}";
    assert_eq!(found.first_problem.unwrap().to_string(), problem);
    assert_eq!(
        bench.stored(),
        [
            "h{l=\"1\"} [1:2.5:1,0]@1 [2:2.5:1,1]@2 [3:2.5:1,2]@3 [4:2.5:1,3]@4 [3:0:3]@5 x@6",
            "h{l=\"2\"} [5:0:5,0]@1 [5:0:5,0]@2 [5:0:5,0]@3 [5:0:5,0]@4 x@5",
            "h_more_count{} 3@1 3@2 3@3 3@4 x@5",
        ]
    );
}

#[test]
fn of_a_part_printed_twice_the_first_counts_also_in_the_first_scrape() {
    let mut bench = Bench::new("convert_classic_histograms_to_nhcb: true");
    let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_sum 4\nh_count 2\nh_count 9\nh_bucket{le=\"1\"} 2\n";
    for _ in 0..4 {
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!((found.problems, found.first_problem.unwrap().reason), (3, PRINTED_TWICE));
    }
    assert_eq!(bench.stored(), ["h{} [2:3:1,1]@1 [2:3:1,1]@2 [2:3:1,1]@3 [2:3:1,1]@4"]);
}

#[test]
fn a_part_that_is_printed_again_outside_of_its_family_is_printed_twice_and_no_series() {
    let mut bench = Bench::new("convert_classic_histograms_to_nhcb: true");
    let text = "# TYPE h histogram\nh_sum 3\nh_count 2\nh_bucket{le=\"+Inf\"} 2\n# TYPE s summary\nh_sum 3\nh_sum 4\nh_more 1\n";
    for _ in 0..4 {
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!((found.problems, found.first_problem.unwrap().reason), (2, PRINTED_TWICE));
    }
    assert_eq!(bench.stored(), ["h{} [2:3:2]@1 [2:3:2]@2 [2:3:2]@3 [2:3:2]@4", "h_more{} 1@1 1@2 1@3 1@4"]);
}

#[test]
fn exemplars_of_parts_go_to_the_histogram() {
    let mut bench = Bench::new("convert_classic_histograms_to_nhcb: true");
    for _ in 0..4 {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {t=\"a\"} 0.5 0.25\nh_bucket{le=\"+Inf\"} 2 # {t=\"b\"} 1.5\n# EOF\n";
        assert_eq!(bench.scrape(text, Format::OpenMetrics).unwrap().problems, 0);
    }
    let kept = bench.store.exemplars(&[vec![]], 0, 10_000).remove(0);
    assert_eq!((kept.labels.name(), kept.exemplars.len(), kept.exemplars[0].timestamp_ms), ("h", 1, 250));
}

/// What one series of a family says; values that are too large for a counter of buckets are not needed.
fn metric(which: usize, label: usize, value: u8) -> (i32, Metric) {
    let n = u64::from(value);
    let metric = Metric { label: labels(&[("l", ["x", "y\""][label])]), ..Metric::default() };
    match which {
        0 => (COUNTER, Metric { counter: number(f64::from(value)), ..metric }),
        1 => (GAUGE, Metric { gauge: number(-f64::from(value)), ..metric }),
        2 => (UNTYPED, Metric { untyped: number(0.5), timestamp_ms: i64::from(value), ..metric }),
        3 => {
            let quantile = vec![Quantile { quantile: 0.5, value: 1.5 }, Quantile { quantile: 1.0, value: 1e7 }];
            (SUMMARY, Metric { summary: Some(Summary { sample_count: n, sample_sum: 3.0, quantile }), ..metric })
        }
        _ => {
            let bucket = vec![bucket(-1.0, n), bucket(1e6, 2 * n), bucket(f64::INFINITY, 3 * n)];
            let histogram = Message { sample_count: 3 * n, sample_sum: 1.5, bucket, ..Message::default() };
            (HISTOGRAM, Metric { histogram: Some(histogram), ..metric })
        }
    }
}

fn families(values: &[((usize, usize), u8)]) -> Vec<MetricFamily> {
    let mut families: Vec<MetricFamily> = Vec::new();
    for ((which, label), value) in values {
        let (kind, metric) = metric(*which, *label, *value);
        let name = ["c_total", "g.h", "u", "s", "h"][*which];
        match families.last_mut().filter(|family| family.name == name) {
            Some(family) => family.metric.push(metric),
            None => families.push(family(name, kind, metric)),
        }
    }
    families
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The same families store the same samples in either format, whatever was said before.
    #[test]
    fn text_and_protobuf_store_the_same(
        scrapes in prop::collection::vec(prop::collection::btree_map((0usize..5, 0usize..2), 0u8..9, 0..7), 1..5),
        native: bool, custom: bool, classic_always: bool,
    ) {
        let yaml = format!(
            "scrape_native_histograms: {native}\nconvert_classic_histograms_to_nhcb: {custom}\n\
             always_scrape_classic_histograms: {classic_always}"
        );
        let (mut of_text, mut of_protobuf) = (Bench::new(&yaml), Bench::new(&yaml));
        for values in scrapes {
            let families = families(&values.into_iter().collect::<Vec<_>>());
            let in_text = of_text.scrape(text(&families), Format::Text).unwrap();
            prop_assert_eq!(in_text, of_protobuf.answers(&families).unwrap());
        }
        prop_assert_eq!(of_text.stored(), of_protobuf.stored());
    }

    #[test]
    fn a_target_may_change_its_format(
        scrapes in prop::collection::vec((any::<bool>(), 1u8..9), 1..8), custom: bool,
    ) {
        let mut bench = Bench::new(&format!("convert_classic_histograms_to_nhcb: {custom}"));
        let all = |value| families(&[((0, 0), value), ((1, 1), value), ((3, 0), value), ((4, 0), value)]);
        for (in_text, value) in &scrapes {
            let found = match in_text {
                true => bench.scrape(text(&all(*value)), Format::Text),
                false => bench.answers(&all(*value)),
            };
            prop_assert_eq!(found.unwrap().problems, 0);
        }
        for series in bench.stored() {
            let count = series.split(" ").filter(|word| word.contains('@')).count();
            prop_assert!(count == scrapes.len() && !series.contains(" x@"), "{}", series);
        }
    }
}
