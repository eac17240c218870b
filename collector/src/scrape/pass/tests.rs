//! One text after another against a real store: what is stored, what is stale, what is a problem.

use std::sync::Arc;

use lifecycle::ManualClock;
use proptest::prelude::*;

mod families;

use super::*;
use crate::api::views::{ExemplarSource, TargetsView};
use crate::config;
use crate::exposition::Format;
use crate::series::{Histogram, Queryable, Unmetered, is_stale, stale_nan};
use crate::store::{Store, StoreOptions};

struct Bench {
    job: ScrapeJob,
    target: Labels,
    store: Store,
    report: ScrapeReport,
    cache: Cache,
    batch: Batch,
    at_ms: i64,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scrape.yml");
        let indented: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(&path, format!("scrape_configs:\n- job_name: shop\n{indented}")).unwrap();
        let options = StoreOptions::default();
        Self {
            job: config::load(&path).unwrap().jobs.remove(0),
            target: Labels::new([("job", "shop"), ("instance", "i")]),
            store: Store::open(dir.path(), options, Arc::new(ManualClock::at(0))).unwrap().0,
            report: ScrapeReport::new(String::new(), 0),
            cache: Cache::new(),
            batch: Batch::default(),
            at_ms: 0,
            _dir: dir,
        }
    }

    fn pass(&mut self) -> Pass<'_> {
        Pass {
            job: &self.job,
            target: &self.target,
            series_max: self.job.limits.series,
            store: &self.store,
            report: &self.report,
            cache: &mut self.cache,
            batch: &mut self.batch,
        }
    }

    /// A second later, the target prints this. What it held is told even if a limit failed it.
    fn read(&mut self, text: impl AsRef<[u8]>, media_type: impl Into<MediaType>) -> (Found, Result<(), String>) {
        self.at_ms += 1_000;
        let at_ms = self.at_ms;
        let read = self.pass().read(text.as_ref(), media_type.into(), at_ms);
        assert!(self.batch.append(&self.store).unwrap().is_empty());
        read
    }

    fn scrape(&mut self, text: impl AsRef<[u8]>, format: impl Into<MediaType>) -> Result<Found, String> {
        let (found, result) = self.read(text, format);
        result.map(|()| found)
    }

    /// A second later, the target does not answer.
    fn fail(&mut self) {
        self.at_ms += 1_000;
        let at_ms = self.at_ms;
        self.pass().fail(at_ms);
        assert!(self.batch.append(&self.store).unwrap().is_empty());
    }

    /// Samples that go to the store, without stale markers.
    fn taken(&self) -> usize {
        let samples = self.batch.samples.iter().filter(|(_, sample)| !is_stale(sample.value)).count();
        samples + self.batch.histograms.len()
    }

    /// `name{labels without job and instance} value@seconds ...`, a stale marker as `x`, a histogram as `[count:sum:buckets]`.
    fn stored(&self) -> Vec<String> {
        let series = self.store.select(&[], i64::MIN, i64::MAX, &Unmetered).unwrap();
        let line = |series: &crate::series::SeriesSamples| {
            let own = series.labels.iter().filter(|(name, _)| !["job", "instance"].contains(name));
            let labels = Labels::new(own);
            let samples = series.samples.iter().map(|s| {
                let value = if is_stale(s.value) { "x".to_owned() } else { s.value.to_string() };
                (s.timestamp_ms, value)
            });
            let histograms = series.histograms.iter().map(|s| (s.timestamp_ms, shown(&s.histogram)));
            let mut all: Vec<(i64, String)> = samples.chain(histograms).collect();
            all.sort();
            let all = all.iter().map(|(at_ms, value)| format!(" {value}@{}", *at_ms as f64 / 1_000.0));
            format!("{labels}{}", all.collect::<String>())
        };
        series.iter().map(line).collect()
    }
}

fn shown(histogram: &Histogram) -> String {
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    let buckets: Vec<String> = buckets.map(ToString::to_string).collect();
    match histogram.is_stale() {
        true => "x".to_owned(),
        false => format!("[{}:{}:{}]", histogram.count, histogram.sum, buckets.join(",")),
    }
}

#[test]
fn samples_are_stored_whatever_the_order_of_the_lines() {
    let mut bench = Bench::new("honor_labels: false");
    for text in [
        "# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 2\nc 3\n",
        "# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 5\nc 3\n",
        "c 4\na{b=\"2\"} 5\n# TYPE a gauge\na{b=\"1\"} 1\n",
        "c 4\na{b=\"2\"} 6\n# TYPE a gauge\na{b=\"1\"} 1",
    ] {
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!((found.scraped, found.kept, found.problems), (3, 3, 0), "{text}");
    }
    assert_eq!(bench.stored(), ["a{b=\"1\"} 1@1 1@2 1@3 1@4", "a{b=\"2\"} 2@1 5@2 5@3 6@4", "c{} 3@1 3@2 4@3 4@4"]);
}

#[test]
fn a_series_that_vanishes_is_marked_once_and_may_return() {
    let mut bench = Bench::new("honor_labels: false");
    for text in ["a 1\nb 1\n", "a 1\n", "a 1\n", "a 1\nb 2\n"] {
        bench.scrape(text, Format::Text).unwrap();
    }
    assert_eq!(bench.stored(), ["a{} 1@1 1@2 1@3 1@4", "b{} 1@1 x@2 2@4"]);
}

#[test]
fn a_series_whose_labels_change_places_is_not_marked() {
    let mut bench = Bench::new("honor_labels: false");
    for text in ["a{b=\"1\",c=\"2\"} 1\n", "a{c=\"2\",b=\"1\"} 2\n"] {
        bench.scrape(text, Format::Text).unwrap();
        assert_eq!(bench.batch.samples.len(), 1, "no marker that the store must refuse: {text}");
    }
    assert_eq!(bench.stored(), ["a{b=\"1\", c=\"2\"} 1@1 2@2"]);
}

#[test]
fn a_failed_scrape_marks_every_series() {
    let mut bench = Bench::new("sample_limit: 2");
    bench.scrape("a 1\nb 1\n", Format::Text).unwrap();
    let reason = bench.scrape("a 1\nb 1\nc 1\n", Format::Text).unwrap_err();
    assert!(reason.contains("sample_limit (2)"), "{reason}");
    bench.scrape("a 1\nb 1\nc 1\n", Format::Text).unwrap_err();
    bench.scrape("a 7\n", Format::Text).unwrap();
    assert_eq!(bench.stored(), ["a{} 1@1 x@2 7@4", "b{} 1@1 x@2"]);
}

#[test]
fn a_scrape_that_a_limit_fails_still_says_how_much_there_was() {
    let mut bench = Bench::new("sample_limit: 2");
    let text: String = (0..500).map(|s| format!("# HELP m{s} x\nm{s} 1\n")).collect();
    for round in 0..3 {
        let (found, result) = bench.read(&text, Format::Text);
        assert!(result.is_err());
        let added = if round == 0 { 2 } else { 0 };
        assert_eq!((found.scraped, found.kept, found.added, found.series), (500, 500, added, 0), "{round}");
        assert_eq!((bench.cache.lines(), bench.store.stats().series), (0, 0), "nothing of it is remembered");
    }
    // As in Prometheus, what comes twice is not stored and does not count.
    assert_eq!(bench.scrape("a 1\na 2\nb 1\n", Format::Text).unwrap().repeated, 1);
}

#[test]
fn scrapes_that_fail_with_other_series_each_time_leave_nothing_behind() {
    for (limits, fails_at) in [
        ("sample_limit: 100", 100),
        ("sample_limit: 100\nseries_limit: 1000", 100),
        ("label_value_length_limit: 20", 500),
        ("label_limit: 4", 500),
    ] {
        let mut bench = Bench::new(limits);
        let base: String = (0..50).map(|s| format!("# TYPE base{s} gauge\nbase{s}{{s=\"{s}\"}} 1\n")).collect();
        let known = bench.scrape(&base, Format::Text).unwrap();
        assert_eq!((known.added, bench.cache.lines(), bench.store.stats().series), (50, 100, 50));
        for round in 0..30 {
            let burst = |s| format!("# TYPE burst{round}_{s} gauge\nburst{round}_{s}{{s=\"{s}\"}} 1\n");
            let burst: String = (0..450).map(burst).collect();
            let text = format!("{base}{burst}last{{s=\"0\",a_label=\"that is too much by far\"}} 1\n");
            let (found, result) = bench.read(&text, Format::Text);
            assert!(result.is_err(), "{limits}");
            assert_eq!((found.scraped, found.added), (501, fails_at - 50), "{limits}: {round}");
            let held = (bench.cache.lines(), bench.cache.series_known(), bench.store.stats().series);
            assert_eq!(held, (100, 50, 50), "{limits}: {round}");
            assert_eq!(bench.report.metadata().len(), 50, "{limits}: {round}");
        }
        // All that it had is known, and goes on.
        let found = bench.scrape(&base, Format::Text).unwrap();
        assert_eq!((found.added, found.series, found.problems), (0, 50, 0), "{limits}");
        assert_eq!(bench.stored()[0], "base0{s=\"0\"} 1@1 x@2 1@32", "{limits}");
    }
}

#[test]
fn series_of_a_job_with_limits_are_stored_as_those_of_one_without() {
    let texts = [
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nb 1 500\nc 1\nd_drop 1\n# EOF\n",
        "c 2\nh_bucket{le=\"1\"} 3\ne{x=\"1\",y=\"2\"} 1 # {t=\"1\"} 1\ne{y=\"2\",x=\"1\"} 1\nc 2\n# EOF\n",
    ];
    let relabel = "metric_relabel_configs: [{ source_labels: [__name__], regex: '.*_drop', action: drop }]";
    let run = |limits: &str| {
        let mut bench = Bench::new(&format!("{relabel}\n{limits}"));
        let found = texts.map(|text| bench.scrape(text, Format::OpenMetrics).unwrap());
        let exemplars = bench.store.exemplars(&[vec![]], 0, 10_000);
        (found, bench.stored(), exemplars, bench.cache.lines(), bench.report.metadata())
    };
    let wanted = run("honor_labels: false");
    for limits in ["sample_limit: 100", "label_limit: 10", "native_histogram_bucket_limit: 10"] {
        assert_eq!(run(limits), wanted, "{limits}");
    }
    assert_eq!(wanted.2.len(), 1);
}

#[test]
fn an_exemplar_of_a_scrape_that_fails_is_kept_when_it_comes_again() {
    let mut bench = Bench::new("sample_limit: 1");
    let kept =
        |bench: &Bench| bench.store.exemplars(&[vec![]], 0, 10_000).iter().map(|s| s.exemplars.len()).sum::<usize>();
    let line = "a_total 1 # {t=\"1\"} 1 0.5\n";
    bench.read(format!("{line}b 1\n# EOF\n"), Format::OpenMetrics).1.unwrap_err();
    assert_eq!(kept(&bench), 0);
    bench.scrape(format!("{line}# EOF\n"), Format::OpenMetrics).unwrap();
    assert_eq!(kept(&bench), 1);
    bench.read(format!("{line}b 1\n# EOF\n"), Format::OpenMetrics).1.unwrap_err();
    bench.scrape(format!("{line}# EOF\n"), Format::OpenMetrics).unwrap();
    assert_eq!(kept(&bench), 1, "and not twice");
}

#[test]
fn new_series_are_shed_when_a_target_is_at_its_limit_and_the_others_go_on() {
    let mut bench = Bench::new("series_limit: 2\nsample_limit: 2");
    let mut scrape = |text: &str| {
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!(found.scraped, bench.taken() + (found.scraped - found.kept) + found.shed + found.repeated);
        (found.kept, found.shed, found.added, found.first_shed.map(|first| first.to_string()))
    };
    let shed = |line| Some(format!("line {line}: there is no room for this series: c{{x=\"1\"}}"));
    assert_eq!(scrape("a 1\nb 1\n"), (2, 0, 2, None));
    assert_eq!(scrape("c{x=\"1\"} 1\na 2\nd 1\nb 2\nd 1 7\n"), (5, 3, 0, shed(1)));
    assert_eq!(scrape("b 3\na 3\nc{x=\"1\"} 1\n"), (3, 1, 0, shed(3)));
    assert_eq!(scrape("b 4\na 4\n"), (2, 0, 0, None));
    assert_eq!(bench.stored(), ["a{} 1@1 2@2 3@3 4@4", "b{} 1@1 2@2 3@3 4@4"]);
}

#[test]
fn a_series_that_vanishes_gives_its_room_to_one_that_comes_in_the_same_scrape() {
    for texts in [["a 1\nb 1\n", "c 1\nb 1\n"], ["b 1\na 1\n", "b 1\nc 1\n"]] {
        let mut bench = Bench::new("series_limit: 2");
        for text in texts {
            let found = bench.scrape(text, Format::Text).unwrap();
            assert_eq!((found.kept, found.shed, found.series, found.first_shed), (2, 0, 2, None), "{text}");
        }
        assert_eq!(bench.stored(), ["a{} 1@1 x@2", "b{} 1@1 1@2", "c{} 1@2"]);
    }
}

#[test]
fn a_second_look_at_a_text_counts_and_keeps_nothing_twice() {
    let mut bench = Bench::new("series_limit: 2");
    bench.scrape("a 1\nb 1\n# EOF\n", Format::OpenMetrics).unwrap();
    let text = "nonsense{ 1\n# TYPE n counter\nn_total 1 0.1 # {t=\"1\"} 1\nn_total 2 0.2 # {t=\"2\"} 2\nb 2\nb 3\n\
                o 1\nn_total x\n# EOF\nlate 1\n";
    let found = bench.scrape(text, Format::OpenMetrics).unwrap();
    assert_eq!((found.scraped, found.kept, found.shed, found.repeated), (5, 5, 1, 1));
    assert_eq!((found.problems, found.added, found.series), (4, 1, 2));
    assert_eq!(found.first_shed.unwrap().to_string(), "line 7: there is no room for this series: o");
    assert_eq!(bench.store.exemplars(&[vec![]], 0, 10_000)[0].exemplars.len(), 2);
    assert_eq!(bench.stored(), ["a{} 1@1 x@2", "b{} 1@1 2@2", "n_total{} 1@0.1 2@0.2"]);
    // The order is as the text has it: nothing is new, and nothing is looked for.
    let found = bench.scrape("# TYPE n counter\nn_total 3\nb 4\n# EOF\n", Format::OpenMetrics).unwrap();
    assert_eq!((found.added, found.shed, found.problems), (0, 0, 0));
    // What came in is printed again behind what did not.
    let found = bench.scrape("b 5\np 1\nq 1\np 2\n# EOF\n", Format::OpenMetrics).unwrap();
    assert_eq!((found.added, found.shed, found.repeated, found.problems), (1, 1, 1, 1));
}

#[test]
fn nothing_is_remembered_of_what_is_shed() {
    let mut bench =
        Bench::new("series_limit: 10\nmetric_relabel_configs: [{ source_labels: [d], regex: y, action: drop }]");
    let text = |first: usize| -> String {
        let family = |s: usize| format!("# HELP m{s} help\n# TYPE m{s} gauge\nm{s}{{d=\"n\"}} 1\n");
        (0..10).chain(first..first + 5_000).map(family).collect()
    };
    for round in 0..4 {
        let found = bench.scrape(text(10 + round * 5_000), Format::Text).unwrap();
        assert_eq!((found.shed, found.series), (5_000, 10));
        assert_eq!((bench.cache.lines(), bench.store.stats().series), (30, 10), "{round}");
        assert_eq!(bench.report.metadata().len(), 10);
    }
    let found = bench.scrape("m0{d=\"n\"} 1\nm1{d=\"y\"} 1\n", Format::Text).unwrap();
    assert_eq!((found.scraped, found.kept, found.shed), (2, 1, 0));
}

#[test]
fn a_target_that_prints_other_series_each_time_brings_its_limit_an_hour_and_once_more() {
    let mut bench = Bench::new("series_limit: 10");
    let mut scrape = |round: usize, hours: i64| {
        bench.at_ms += hours * 3_600_000;
        let text: String = (0..100).map(|s| format!("m{{s=\"{round}-{s}\"}} 1\n")).collect();
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!((found.kept, found.shed + found.series), (100, 100));
        found.series
    };
    let series =
        [(0, 0), (1, 0), (2, 0), (2, 0), (3, 1), (3, 0), (4, 0), (5, 9), (6, 0), (7, 0)].map(|(r, h)| scrape(r, h));
    assert_eq!(series, [10, 10, 0, 0, 10, 10, 0, 10, 10, 0]);
}

#[test]
fn what_relabelling_drops_is_not_shed() {
    let mut bench = Bench::new(
        "series_limit: 1\nmetric_relabel_configs: [{ source_labels: [__name__], regex: 'd.*', action: drop }]",
    );
    for _ in 0..2 {
        let found = bench.scrape("a 1\nd1 1\nb 1\nd2 1\n", Format::Text).unwrap();
        assert_eq!((found.scraped, found.kept, found.shed, found.series), (4, 2, 1, 1));
        assert_eq!(found.first_shed.unwrap().place, Place::Line(3));
    }
}

#[test]
fn labels_are_judged_of_series_that_are_shed_too() {
    for (limits, fails) in [("label_limit: 3", true), ("label_limit: 4", false)] {
        let mut bench = Bench::new(&format!("series_limit: 1\n{limits}"));
        assert_eq!(bench.scrape("a 1\nb{x=\"1\"} 1\n", Format::Text).is_err(), fails, "{limits}");
    }
}

#[test]
fn each_limit_fails_the_scrape_with_its_name() {
    for (yaml, name) in [
        ("label_limit: 3", "label_limit is 3, there are 4"),
        ("label_name_length_limit: 8", "label_name_length_limit is 8"),
        ("label_value_length_limit: 5", "label_value_length_limit is 5"),
    ] {
        let mut bench = Bench::new(yaml);
        let (found, result) = bench.read("c 1\na{long_name=\"123456\"} 1\nd 1\n", Format::Text);
        let reason = result.unwrap_err();
        assert!(reason.contains(name), "{reason}");
        assert_eq!((found.scraped, found.kept, found.refused), (2, 1, 1));
        assert!(bench.stored().is_empty());
    }
}

#[test]
fn own_times_are_honored_and_get_no_marker_unless_asked_for() {
    let texts = ["a 1 500\n", "b 1\n"];
    for (yaml, wanted) in [
        ("honor_timestamps: true", ["a{} 1@0.5", "b{} 1@2"]),
        ("track_timestamps_staleness: true", ["a{} 1@0.5 x@2", "b{} 1@2"]),
        ("honor_timestamps: false", ["a{} 1@1 x@2", "b{} 1@2"]),
    ] {
        let mut bench = Bench::new(yaml);
        texts.iter().for_each(|text| _ = bench.scrape(text, Format::Text).unwrap());
        assert_eq!(bench.stored(), wanted, "{yaml}");
    }
}

#[test]
fn a_bad_line_is_a_problem_and_costs_no_other() {
    let mut bench = Bench::new("honor_labels: false");
    let text = b"a 1\nb{ 2\nc 3\n\xff 1\nd{x=\"1\",x=\"2\"} 1\ne 5\n";
    for _ in 0..2 {
        let found = bench.scrape(text, Format::Text).unwrap();
        assert_eq!((found.scraped, found.problems), (3, 3));
        let problem = found.first_problem.unwrap().to_string();
        assert_eq!(problem, "line 4: the line is not UTF-8: \u{fffd} 1");
    }
    assert_eq!(bench.stored(), ["a{} 1@1 1@2", "c{} 3@1 3@2", "e{} 5@1 5@2"]);
}

#[test]
fn a_known_series_with_an_unreadable_value_is_a_problem_and_ends() {
    let mut bench = Bench::new("honor_labels: false");
    bench.scrape("a 1\nb 1\n", Format::Text).unwrap();
    let found = bench.scrape("a one\nb 1\n", Format::Text).unwrap();
    assert_eq!(found.first_problem.unwrap().to_string(), "line 1: the value is not a number: a one");
    assert_eq!(bench.stored(), ["a{} 1@1 x@2", "b{} 1@1 1@2"]);
}

#[test]
fn openmetrics_must_end_and_nothing_follows() {
    let mut bench = Bench::new("honor_labels: false");
    let first = |bench: &mut Bench, text: &str| {
        bench.scrape(text, Format::OpenMetrics).unwrap().first_problem.map(|p| p.reason)
    };
    assert_eq!(first(&mut bench, "a 1\n# EOF\n"), None);
    assert_eq!(first(&mut bench, "a 1\n# EOF\n"), None);
    assert_eq!(first(&mut bench, "a 1\n# EOF\nb 1\n"), Some("there is text after # EOF"));
    assert_eq!(first(&mut bench, "a 1\n"), Some("the text ends without # EOF: it may be cut short"));
}

#[test]
fn bytes_that_are_not_utf_8_move_no_line() {
    let mut bench = Bench::new("honor_labels: false");
    for text in [&b"\xff 1\na 1\n# EOF\n"[..], &b"\xff 1\na 1\n# EOF"[..]] {
        let found = bench.scrape(text, Format::OpenMetrics).unwrap();
        assert_eq!((found.scraped, found.problems), (1, 1));
    }
    let cut = bench.scrape(b"a 1\n\xff 1\n", Format::OpenMetrics).unwrap();
    assert_eq!(cut.problems, 2, "and it ends without # EOF");
}

#[test]
fn a_series_printed_twice_is_a_problem_and_its_first_value_counts() {
    let mut bench = Bench::new("honor_labels: false");
    for _ in 0..2 {
        let found = bench.scrape("a 1\na 2\nb 3 400\nb 4 500\n", Format::Text).unwrap();
        assert_eq!((found.scraped, found.problems), (4, 1));
        assert_eq!(found.first_problem.unwrap().reason, "the series is printed twice");
    }
    assert_eq!(bench.stored(), ["a{} 1@1 1@2", "b{} 3@0.4 4@0.5"]);
}

#[test]
fn a_time_far_ahead_is_a_problem_and_keeps_nothing_out() {
    let mut bench = Bench::new("honor_labels: false");
    for text in ["a 1 601001\n", "a 1 9223372036854775807\n", "a 1 603001\n"] {
        let problem = bench.scrape(text, Format::Text).unwrap().first_problem.unwrap();
        assert_eq!(problem.reason, "the timestamp is more than 10 minutes ahead");
    }
    // What was too far ahead is so no longer when it is printed again.
    assert_eq!(bench.scrape("a 1 603001\n", Format::Text).unwrap().problems, 0);
    assert_eq!(bench.stored(), ["a{} 1@603.001"]);
}

#[test]
fn exemplars_are_kept_once() {
    let mut bench = Bench::new("honor_labels: false");
    for value in ["1", "1", "2"] {
        let text = format!("a_total {value} # {{trace_id=\"t\"}} 0.5 0.25\n# EOF\n");
        bench.scrape(text, Format::OpenMetrics).unwrap();
    }
    let kept = bench.store.exemplars(&[vec![]], 0, 10_000);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].exemplars.len(), 1);
    assert_eq!(kept[0].exemplars[0].timestamp_ms, 250);
}

#[test]
fn metric_relabelling_drops_and_renames() {
    let mut bench = Bench::new(
        "metric_relabel_configs:\n- { source_labels: [__name__], regex: 'b.*', action: drop }\n\
         - { source_labels: [__name__], regex: 'a', target_label: __name__, replacement: z }",
    );
    for _ in 0..2 {
        let found = bench.scrape("a 1\nb1 2\nb2 3\n", Format::Text).unwrap();
        assert_eq!((found.scraped, found.kept), (3, 1));
    }
    assert_eq!(bench.stored(), ["z{} 1@1 1@2"]);
}

#[test]
fn bounds_of_buckets_have_one_form() {
    let mut bench = Bench::new("honor_labels: false");
    let text = "# TYPE a histogram\na_bucket{le=\"1\"} 1\n# TYPE b gauge\nb{le=\"1\"} 1\n";
    bench.scrape(text, Format::Text).unwrap();
    assert_eq!(bench.stored(), ["a_bucket{le=\"1.0\"} 1@1", "b{le=\"1\"} 1@1"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The cache changes nothing: whatever was printed before, a text stores what it says.
    #[test]
    fn the_cache_is_never_seen(texts in prop::collection::vec(prop::collection::vec((0usize..6, 0u32..3), 0..8), 1..6)) {
        let mut bench = Bench::new("honor_labels: false");
        for lines in texts {
            let text: String = lines.iter().map(|(s, v)| format!("m{{s=\"{s}\"}} {v}\n")).collect();
            let found = bench.scrape(&text, Format::Text).unwrap();
            let distinct = lines.iter().map(|(s, _)| s).collect::<std::collections::HashSet<_>>().len();
            prop_assert_eq!((found.scraped, found.problems), (lines.len(), lines.len() - distinct));
            let now = bench.store.select(&[], bench.at_ms, bench.at_ms, &Unmetered).unwrap();
            for series in now {
                let s: usize = series.labels.get("s").unwrap().parse().unwrap();
                // Of a series printed twice, the first counts.
                match lines.iter().find(|(line, _)| *line == s) {
                    Some((_, value)) => prop_assert_eq!(series.samples[0].value, f64::from(*value)),
                    None => prop_assert!(is_stale(series.samples[0].value)),
                }
            }
        }
    }

    /// Whatever stands behind a series that is known is read as behind one that is new.
    #[test]
    fn a_known_line_says_what_a_new_one_says(rest in "[ \t\r]{0,2}[-+0-9.einfNaE]{0,6}[ #\t\r]{0,2}[0-9x]{0,3}\r?", openmetrics in any::<bool>()) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        let (mut new, mut known) = (Bench::new("honor_labels: false"), Bench::new("honor_labels: false"));
        known.scrape("a 1\nb 1\n# EOF\n", format).unwrap();
        let text = format!("a{rest}\nb 2\n# EOF\n");
        new.at_ms = known.at_ms;
        let (mut in_new, in_known) = (new.scrape(&text, format).unwrap(), known.scrape(&text, format).unwrap());
        in_new.added = in_known.added;
        prop_assert_eq!(in_new, in_known);
        let values = |bench: &Bench| {
            let samples = bench.batch.samples.iter().map(|(_, sample)| (sample.timestamp_ms, sample.value.to_bits()));
            samples.filter(|(_, bits)| *bits != stale_nan().to_bits()).collect::<Vec<_>>()
        };
        prop_assert_eq!(values(&new), values(&known));
    }

    /// What is known goes on; of what is new comes in what there is room for, first come first served.
    #[test]
    fn a_target_holds_as_many_series_as_it_may_and_never_loses_one_for_another(
        max in 1usize..6,
        texts in prop::collection::vec(prop::option::weighted(0.9, prop::collection::vec(0usize..9, 0..10)), 1..7),
    ) {
        let mut bench = Bench::new(&format!("series_limit: {max}"));
        // What may come in anew: an hour would bring more.
        let (mut held, mut budget): (Vec<usize>, usize) = (Vec::new(), 2 * max);
        let name = |s: &usize| format!("m{{s=\"{s}\"}}");
        for lines in texts {
            let Some(lines) = lines else {
                bench.fail();
                continue;
            };
            let text: String = lines.iter().map(|s| format!("# TYPE x{s} gauge\n{} 1\n", name(s))).collect();
            let found = bench.scrape(&text, Format::Text).unwrap();
            let mut printed: Vec<usize> = Vec::new();
            for s in &lines {
                if !printed.contains(s) {
                    printed.push(*s);
                }
            }
            let (known, new): (Vec<usize>, Vec<usize>) = printed.into_iter().partition(|s| held.contains(s));
            let admitted = budget.min(max - known.len()).min(new.len());
            budget -= admitted;
            held = known.into_iter().chain(new.into_iter().take(admitted)).collect();
            let kept = lines.iter().filter(|s| held.contains(s)).count();
            prop_assert_eq!((found.scraped, found.kept, found.series), (lines.len(), lines.len(), held.len()));
            prop_assert_eq!((found.shed, found.repeated), (lines.len() - kept, kept - held.len()));
            prop_assert_eq!(found.problems, found.repeated);
            prop_assert_eq!(found.scraped, bench.taken() + found.shed + found.repeated);
            prop_assert_eq!(found.first_shed.is_some(), found.shed > 0);
            let now = bench.store.select(&[], bench.at_ms, bench.at_ms, &Unmetered).unwrap();
            let mut stored: Vec<usize> = now
                .iter()
                .filter(|series| !is_stale(series.samples[0].value))
                .map(|series| series.labels.get("s").unwrap().parse().unwrap())
                .collect();
            stored.sort_unstable();
            held.sort_unstable();
            prop_assert_eq!(&stored, &held);
        }
    }

    #[test]
    fn never_panics(texts in prop::collection::vec("[ab{}=\"#\n 1.]{0,40}", 1..4), openmetrics in any::<bool>()) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        for limits in ["series_limit: 0", "series_limit: 2", "series_limit: 3\nsample_limit: 2"] {
            let mut bench = Bench::new(limits);
            for text in &texts {
                let (found, result) = bench.read(text, format);
                let counted = found.scraped - found.kept + found.shed + found.repeated + found.ahead;
                prop_assert!(result.is_err() || found.scraped == bench.taken() + counted, "{found:?}");
            }
        }
    }
}
