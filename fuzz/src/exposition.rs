//! What a target prints: any bytes, read line by line, judged by the letter, and taken in scrape after scrape.
//!
//! Input: a byte of choices, then texts with `NEXT` between them; a piece may be repeated (`input::repeated`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use collector::api::views::Exemplar;
use collector::config::{self, ScrapeJob};
use collector::exposition::{self, Format, Line, MediaType};
use collector::scrape::{Rehearsal, Rehearsed};
use collector::series::{
    AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, METRIC_NAME, Sample, SeriesRef, is_stale,
};

use crate::input::{repeated, seed};
use crate::stored::{NOW_MS, folder};

/// Between one text of the target and its next.
const NEXT: u8 = 0x1d;

/// The most texts of one input.
const TEXTS_MAX: usize = 3;

const INTERVAL_MS: i64 = 15_000;

/// The jobs that an input may choose from.
const JOBS: &str = "
scrape_configs:
- job_name: plain
- job_name: honoring
  honor_labels: true
  track_timestamps_staleness: true
- job_name: own_times_ignored
  honor_timestamps: false
- job_name: bounded
  sample_limit: 40
  label_limit: 6
  label_name_length_limit: 24
  label_value_length_limit: 48
  metric_relabel_configs:
  - {source_labels: [__name__], regex: 'go_.*', action: drop}
  - {regex: 'pod_(.+)', action: labelmap, replacement: '$1'}
  - {source_labels: [le], regex: '(.*)\\.0', target_label: bound}
  - {regex: 'exported_.*', action: labeldrop}
- job_name: shedding
  series_limit: 3
- job_name: native
  scrape_native_histograms: true
  always_scrape_classic_histograms: true
- job_name: converting
  scrape_native_histograms: true
  convert_classic_histograms_to_nhcb: true
  sample_limit: 60
";

/// The job above that sheds series beyond a limit, and the limit.
const SHEDDING: (&str, usize) = ("shedding", 3);

static READY: LazyLock<Vec<ScrapeJob>> = LazyLock::new(|| {
    let dir = folder();
    let path = dir.path().join("scrape.yml");
    std::fs::write(&path, JOBS).expect("the folder is there");
    config::load(&path).expect("the jobs are well").jobs
});

/// Texts of targets.
pub fn seeds() -> Vec<Vec<u8>> {
    const CLASSIC: &str = "# HELP requests_total Requests.\n# TYPE requests_total counter\n\
        requests_total{code=\"200\",path=\"/a b\"} 1027 1700000000000\nrequests_total{code=\"500\"} 3\n\
        # TYPE latency histogram\nlatency_bucket{le=\"0.5\"} 1\nlatency_bucket{le=\"+Inf\"} 2\nlatency_sum 1.5e3\nlatency_count 2\n\
        odd{a=\"\\\"\\\\\\n\",} NaN\ngo_threads 7\r\n\n";
    const OPEN: &str = "# TYPE a counter\n# UNIT a seconds\n# HELP a Text \\n more.\na_total{x=\"1\"} 1.0 1.5 # {trace_id=\"abc\"} 0.5 1.25\n\
        a_created{x=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 1\n# TYPE st stateset\nst{st=\"on\"} 1\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";
    const QUOTED: &str = "{\"a.b\",\"la bel\"=\"\u{e9}\"} 1\n{\"a.b\"} -Inf\nx\t{a = \"b\" , c=\"d\"}\t0x1p-2 \n";
    const LATER: &str =
        "a 1\nb{c=\"d\"} 2\nlast 3\n\x1da 1\nb{c=\"d\"} 2.5\nnew 4\nlast 3 1700000000000\n\x1dlast 3\na 1\n";
    let mut seeds = Vec::new();
    for (choices, text) in [(0, CLASSIC), (1, OPEN), (0, QUOTED), (1, QUOTED), (0, LATER)] {
        for job in [0, 0b010, 0b100, 0b110, 0b1000, 0b1100] {
            seeds.push(seed(&[choices | job], text));
        }
    }
    seeds.push(b"\x00\x1e\x0ax{a=\"1\",b=\"\\\"} 1\n\x1e\n".to_vec());
    // Parts of a histogram that are printed twice; without bounds, as those are not compared.
    const TWICE: &str = "# TYPE h histogram\nh_bucket{} 1\nh_sum 3\nh_sum 4\nh_count 2\nh_count 3\n";
    seeds.push(seed(&[0b1100], TWICE));
    seeds.push(seed(&[0b1100], "# TYPE h histogram\nh_sum 3\n# TYPE s summary\nh_sum 3\nh_count 2\n"));
    // Under a limit, a series that is written in another way.
    seeds.push(b"\x08a{x=\"0\"} 1\nb 1\nc 1\nlast 2\n\x1da 1\nd 1\nnew 4\n\x1dlast{} 1\n".to_vec());
    seeds.push(seed(b"\x01a_total{", b"\x1e\x0ca=\"1\",\x1e} 1 # {a=\"\xff\"} 1\n# EOF\n"));
    seeds
}

/// See the file's head.
pub fn run(bytes: &[u8]) {
    let (choices, text) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let text = repeated(text);
    if let Ok(text) = std::str::from_utf8(&text) {
        text.split('\n').for_each(read_line);
        judge(text);
    }
    let format = if choices & 1 == 0 { Format::Text } else { Format::OpenMetrics };
    let texts: Vec<&[u8]> = text.splitn(TEXTS_MAX, |byte| *byte == NEXT).collect();
    scrape(job(choices >> 1), format.into(), &texts);
}

/// A line is read or is a problem; what is read of its series says the same when it is written again.
fn read_line(line: &str) {
    for format in [Format::Text, Format::OpenMetrics] {
        let Ok(Line::Sample { series, reading }) = exposition::parse_line(line, format) else { continue };
        if let Some(exemplar) = reading.exemplar {
            // Read or refused.
            let _ = exposition::parse_exemplar(exemplar, NOW_MS);
        }
        let Ok(parts) = exposition::parse_series(series) else { continue };
        let written: Vec<String> =
            parts.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value))).collect();
        let written = format!("{{{}}}", written.join(","));
        assert_eq!(exposition::parse_series(&written), Ok(parts), "{series} written again is {written}");
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// What the strict reader accepts, the lenient one reads without a problem.
fn judge(text: &str) {
    if exposition::strict_openmetrics(text).is_err() {
        return;
    }
    for line in text.split('\n') {
        match exposition::parse_line(line, Format::OpenMetrics) {
            Ok(Line::Sample { series, reading }) => {
                assert!(exposition::parse_series(series).is_ok(), "{line:?} is strict OpenMetrics");
                let exemplar = reading.exemplar.map(|text| exposition::parse_exemplar(text, NOW_MS));
                assert!(!matches!(exemplar, Some(Err(_))), "{line:?} is strict OpenMetrics");
            }
            Ok(_) => {}
            Err(reason) => panic!("{line:?} is strict OpenMetrics: {reason}"),
        }
    }
}

/// One of the jobs.
pub fn job(chosen: u8) -> &'static ScrapeJob {
    &READY[usize::from(chosen) % READY.len()]
}

/// Each text twice in a row, then the first again: a target that has printed before says what a new one says.
pub fn scrape(job: &ScrapeJob, format: MediaType, texts: &[&[u8]]) {
    let order = texts.iter().flat_map(|text| [text, text]).chain(texts.first());
    let store: Arc<dyn Ingest> = Arc::new(Catalogue::default());
    let target = Labels::new([("job", "fuzz"), ("instance", "h:1")]);
    let begin = || Rehearsal::new(job.clone(), target.clone(), store.clone());
    let mut known = begin();
    // Without a limit, and with the types that it knows from earlier texts.
    let mut unlimited = Rehearsal::new(READY[0].clone(), target.clone(), store.clone());
    let mut before: Option<(Rehearsed, i64)> = None;
    let (one_way, mut seen) = (in_one_way(texts), Vec::new());
    for (text, at_ms) in order.zip((0..).map(|time| NOW_MS + time * INTERVAL_MS)) {
        let (found, new) = (known.read(text, format, at_ms), begin().read(text, format, at_ms));
        seen.push(*text);
        if job.name == SHEDDING.0 {
            let all = unlimited.read(text, format, at_ms);
            judge_shed(before.as_ref().map(|(before, _)| before).filter(|_| one_way), &found, &all);
        } else if format == MediaType::Protobuf || !types_change_labels(&seen) {
            compare(&found, &new, format);
        }
        let found = found.ok().map(|found| (found, at_ms));
        if let (Some(before), Some(now)) = (&before, &found) {
            judge_ends(before, now);
        }
        before = found;
    }
}

/// Whether each series is written in one way in all texts: what a target holds under a limit goes by the text.
fn in_one_way(texts: &[&[u8]]) -> bool {
    let mut ways: HashMap<BTreeMap<String, String>, &str> = HashMap::new();
    let lines = texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
    for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
        for format in [Format::Text, Format::OpenMetrics] {
            let Ok(Line::Sample { series, .. }) = exposition::parse_line(line, format) else { continue };
            let Ok(parts) = exposition::parse_series(series) else { continue };
            let labels = parts.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            if *ways.entry(labels).or_insert(series) != series {
                return false;
            }
        }
    }
    true
}

/// Whether labels may depend on the type that an earlier text gave: bounds are then written in one way.
fn types_change_labels(texts: &[&[u8]]) -> bool {
    let has = |word: &[u8]| texts.iter().any(|text| text.windows(word.len()).any(|found| found == word));
    has(b"TYPE") && (has(b"le") || has(b"quantile"))
}

fn compare(known: &Result<Rehearsed, String>, new: &Result<Rehearsed, String>, format: MediaType) {
    match (known, new) {
        (Ok(known), Ok(new)) => {
            // New series of a job with a limit come after those it knows; of one series the order counts.
            let by_series = |found: &Rehearsed| {
                let mut printed = printed(found);
                printed.sort_by_key(|(series, ..)| *series);
                printed
            };
            assert_eq!(by_series(known), by_series(new), "a target that printed before, and a new one");
            let histograms = |found: &Rehearsed| format!("{:?}", found.histograms);
            assert_eq!(histograms(known), histograms(new), "a target that printed before, and a new one");
            // An exemplar is read when it is new, and a problem then only.
            assert!(format != Format::Text.into() || known.problems == new.problems, "{known:?} {new:?}");
        }
        (Err(_), Err(_)) => {}
        _ => panic!("a target that printed before: {known:?}, a new one: {new:?}"),
    }
}

/// A target holds no more series than it may, and of those that it held none gives way to another.
fn judge_shed(before: Option<&Rehearsed>, found: &Result<Rehearsed, String>, all: &Result<Rehearsed, String>) {
    let (Ok(found), Ok(all)) = (found, all) else { panic!("shedding fails no scrape: {found:?}") };
    let (now, all) = (series(found), series(all));
    assert!(now.len() <= SHEDDING.1 && now.is_subset(&all), "{now:?} of {all:?}");
    let held = before.map(series).unwrap_or_default();
    assert!(
        held.intersection(&all).all(|series| now.contains(series)),
        "{held:?} were held, {all:?} printed, {now:?} are"
    );
}

fn series(found: &Rehearsed) -> HashSet<u64> {
    let numbers = printed(found).into_iter().map(|(series, ..)| series);
    numbers.chain(found.histograms.iter().map(|(series, _)| series.0)).collect()
}

/// Samples without the markers, with their bits.
fn printed(found: &Rehearsed) -> Vec<(u64, i64, u64)> {
    let printed = found.samples.iter().filter(|(_, sample)| !is_stale(sample.value));
    printed.map(|(series, sample)| (series.0, sample.timestamp_ms, sample.value.to_bits())).collect()
}

/// What is no longer printed is marked as gone; asked where no line has a time of its own or could not be read.
fn judge_ends((before, before_ms): &(Rehearsed, i64), (now, now_ms): &(Rehearsed, i64)) {
    let is_plain = |found: &Rehearsed, at: i64| {
        let numbers = printed(found).iter().all(|(_, time, _)| *time == at);
        numbers && found.problems == 0 && found.histograms.iter().all(|(_, sample)| sample.timestamp_ms == at)
    };
    if !is_plain(before, *before_ms) || !is_plain(now, *now_ms) {
        return;
    }
    let ended = now.samples.iter().filter(|(_, sample)| is_stale(sample.value)).map(|(series, _)| series.0);
    let wanted: HashSet<u64> = series(before).difference(&series(now)).copied().collect();
    assert_eq!(ended.collect::<HashSet<u64>>(), wanted, "series that have ended");
}

/// Gives handles to series, and takes nothing in.
#[derive(Default)]
struct Catalogue {
    known: Mutex<BTreeMap<Labels, SeriesRef>>,
}

impl Appendable for Catalogue {
    fn append(&self, _: &[(Labels, Sample)]) -> Result<Appended, AppendError> {
        Ok(Appended::default())
    }
}

impl Ingest for Catalogue {
    fn resolve(&self, labels: &Labels) -> SeriesRef {
        assert!(labels.get(METRIC_NAME).is_some(), "{labels} has no name");
        let mut known = self.known.lock().expect("nobody panics with it and goes on");
        let next = SeriesRef(known.len() as u64 + 1);
        *known.entry(labels.clone()).or_insert(next)
    }

    fn labels(&self, series: SeriesRef) -> Option<Labels> {
        let known = self.known.lock().expect("nobody panics with it and goes on");
        known.iter().find(|(_, handle)| **handle == series).map(|(labels, _)| labels.clone())
    }

    fn append_resolved(&self, _: &[(SeriesRef, Sample)], _: &mut Vec<usize>) -> Result<Appended, AppendError> {
        Ok(Appended::default())
    }

    fn append_histograms(
        &self,
        _: &[(SeriesRef, HistogramSample)],
        _: &mut Vec<usize>,
    ) -> Result<Appended, AppendError> {
        Ok(Appended::default())
    }

    fn append_exemplar(&self, _: SeriesRef, _: Exemplar) {}
}
