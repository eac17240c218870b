//! Blocks: what is written comes back to the bit, costs little, and damage is named.

use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::meta::Parent;
use super::*;
use crate::series::{CounterReset, Histogram, HistogramSample, MatchOp, Sample, Span, Unmetered, stale_nan};
use crate::store::chunk::OpenChunk;
use crate::store::merge;

const START_MS: i64 = 1_700_000_000_000;

fn meta(number: u128) -> Meta {
    Meta::new(Ulid::new(START_MS, number), Compaction { level: 1, ..Compaction::default() })
}

fn labels(name: &str, pod: &str) -> Labels {
    Labels::new([("__name__", name), ("pod", pod)])
}

fn regex(name: &str, pattern: &str) -> Matcher {
    Matcher { name: name.to_owned(), op: MatchOp::Regex(regex::Regex::new(&format!("^(?:{pattern})$")).unwrap()) }
}

/// Writes series, which are sorted first, into a block of small row groups.
fn write(home: &Path, number: u128, series: &mut [SeriesSamples]) -> (PathBuf, Meta) {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut writer = BlockWriter::create(home, meta(number), 1_000).unwrap();
    for one in series {
        writer.push(&one.labels, &one.samples, &one.histograms).unwrap();
    }
    writer.finish().unwrap().unwrap()
}

fn select(blocks: &Blocks, matchers: &[Matcher], times: (i64, i64)) -> Vec<SeriesSamples> {
    merge::series(blocks.select(matchers, times, &Unmetered).unwrap())
}

fn counted(pods: i64, samples: i64) -> Vec<SeriesSamples> {
    let value = |pod: i64, i: i64| Sample { timestamp_ms: START_MS + i * 15_000, value: (pod * i) as f64 / 3.0 };
    let one = |pod: i64| {
        let samples = (0..samples).map(|i| value(pod, i)).collect();
        SeriesSamples::floats(labels(if pod % 2 == 0 { "even" } else { "odd" }, &format!("{pod:03}")), samples)
    };
    (0..pods).map(one).collect()
}

fn histogram(seed: i32) -> Histogram {
    Histogram {
        reset: [CounterReset::Unknown, CounterReset::Reset, CounterReset::NotReset, CounterReset::Gauge]
            [seed as usize % 4],
        schema: seed % 8,
        zero_threshold: 1e-128,
        zero_count: 2.0,
        count: f64::from(seed) * 7.5,
        sum: -0.25 * f64::from(seed),
        positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 2, length: 1 }],
        positive_buckets: vec![1.0, f64::from(seed), 3.5],
        negative_spans: if seed % 3 == 0 { Vec::new() } else { vec![Span { offset: 5, length: 1 }] },
        negative_buckets: if seed % 3 == 0 { Vec::new() } else { vec![9.0] },
        custom_bounds: Default::default(),
    }
}

#[test]
fn a_block_that_was_removed_is_read_by_who_found_it_before() {
    let home = tempfile::tempdir().unwrap();
    let mut all = counted(3, 10);
    write(home.path(), 1, &mut all);
    let (blocks, _) = Blocks::open(home.path()).unwrap();
    let found = blocks.list()[0].clone();
    blocks.remove(&HashSet::from([found.meta.ulid])).unwrap();
    let index = found.index().unwrap();
    assert_eq!(found.select(&index, &[], (i64::MIN, i64::MAX), &Unmetered).unwrap(), all, "sorted by the writer");
}

#[test]
fn finds_by_matchers_and_time() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), 1, &mut counted(20, 700));
    let (blocks, found) = Blocks::open(home.path()).unwrap();
    assert_eq!(found, FoundBlocks { blocks: 1, ..FoundBlocks::default() });
    let all = counted(20, 700);
    for (matchers, wanted) in [
        (vec![], (0..20).collect::<Vec<usize>>()),
        (vec![Matcher::equal("pod", "007")], vec![7]),
        (vec![Matcher::equal("__name__", "even"), regex("pod", "00[1-4]")], vec![2, 4]),
        (vec![regex("pod", "01.|"), Matcher::equal("__name__", "odd")], vec![11, 13, 15, 17, 19]),
        (
            vec![Matcher { name: "pod".to_owned(), op: MatchOp::NotEqual("003".to_owned()) }, regex("pod", "00[3-5]")],
            vec![4, 5],
        ),
        (vec![Matcher::equal("none", "")], (0..20).collect()),
        (vec![Matcher::equal("none", "x")], vec![]),
    ] {
        for (from, to) in [(0, 699), (0, 0), (699, 699), (100, 355), (-5, 2), (690, 900), (300, 299)] {
            let times = (START_MS + from * 15_000, START_MS + to * 15_000);
            let mut expected: Vec<SeriesSamples> = wanted.iter().map(|pod| all[*pod].clone()).collect();
            for one in &mut expected {
                one.samples.retain(|sample| (times.0..=times.1).contains(&sample.timestamp_ms));
            }
            expected.retain(|one| !one.is_empty());
            expected.sort_by(|a, b| a.labels.cmp(&b.labels));
            assert_eq!(select(&blocks, &matchers, times), expected, "{matchers:?} {from}..={to}");
        }
        let series = blocks.series(&matchers, (i64::MIN, i64::MAX), &Unmetered).unwrap();
        assert_eq!(series.concat().len(), wanted.len(), "{matchers:?}");
    }
    assert!(blocks.series(&[], (START_MS + 699 * 15_000 + 1, i64::MAX), &Unmetered).unwrap().concat().is_empty());
}

#[test]
fn a_series_may_have_both_kinds_of_samples() {
    let home = tempfile::tempdir().unwrap();
    let at = |i: i64| START_MS + i * 1_000;
    let histograms = |from: i64, to: i64| -> Vec<HistogramSample> {
        let one = |i: i64| HistogramSample { timestamp_ms: at(i), histogram: Arc::new(histogram(i as i32)) };
        (from..to).map(one).collect()
    };
    let mut custom = histogram(1);
    (custom.schema, custom.custom_bounds) = (-53, [0.5, 1.0, f64::MAX].into());
    let stale = Arc::new(Histogram::stale());
    let mut series = vec![
        SeriesSamples { labels: labels("a", ""), samples: Vec::new(), histograms: histograms(0, 3_000) },
        SeriesSamples {
            labels: labels("b", ""),
            samples: vec![Sample { timestamp_ms: at(1), value: stale_nan() }],
            histograms: vec![
                HistogramSample { timestamp_ms: at(2), histogram: Arc::new(custom) },
                HistogramSample { timestamp_ms: at(3), histogram: stale },
            ],
        },
        SeriesSamples::floats(labels("c", ""), vec![Sample { timestamp_ms: at(9), value: 1.0 }]),
    ];
    write(home.path(), 1, &mut series);
    let (blocks, _) = Blocks::open(home.path()).unwrap();
    let found = select(&blocks, &[], (i64::MIN, i64::MAX));
    assert_eq!(format!("{found:?}"), format!("{series:?}"));
    assert_eq!(found[1].samples[0].value.to_bits(), stale_nan().to_bits());
    let part = select(&blocks, &[Matcher::equal("__name__", "a")], (at(1_500), at(1_502)));
    assert_eq!(part[0].histograms, histograms(1_500, 1_503));
    let stats = blocks.list()[0].meta.stats;
    assert_eq!((stats.num_samples, stats.num_histogram_samples, stats.num_series), (3_004, 3_002, 3));
}

#[test]
fn a_folder_that_was_never_finished_is_removed_and_one_that_is_replaced_too() {
    let home = tempfile::tempdir().unwrap();
    let (_, first) = write(home.path(), 1, &mut counted(2, 10));
    let parent = Parent { ulid: first.ulid, min_time: first.min_time, max_time: first.max_time };
    let compaction = Compaction { level: 2, sources: vec![first.ulid], parents: vec![parent] };
    let mut merged = BlockWriter::create(home.path(), Meta { compaction, ..meta(2) }, 1_000).unwrap();
    merged.push(&labels("even", "000"), &[Sample { timestamp_ms: START_MS, value: 0.0 }], &[]).unwrap();
    merged.finish().unwrap();
    std::mem::forget(BlockWriter::create(home.path(), meta(3), 1_000).unwrap());
    fs::create_dir(home.path().join("notes")).unwrap();
    let (blocks, found) = Blocks::open(home.path()).unwrap();
    assert_eq!(found, FoundBlocks { blocks: 1, damaged: 0, removed: 2 });
    assert_eq!(select(&blocks, &[], (i64::MIN, i64::MAX)).len(), 1);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
}

#[test]
fn a_writer_that_is_given_up_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = BlockWriter::create(home.path(), meta(1), 1_000).unwrap();
    writer.push(&labels("a", "1"), &[Sample { timestamp_ms: START_MS, value: 0.0 }], &[]).unwrap();
    drop(writer);
    let empty = BlockWriter::create(home.path(), meta(2), 1_000).unwrap();
    assert!(empty.finish().unwrap().is_none());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// Whatever byte of whatever file is flipped or cut off: no other answer than the right one is given, and the error names
/// the file.
#[test]
fn damage_is_never_an_answer() {
    let home = tempfile::tempdir().unwrap();
    let mut series = counted(30, 1_000);
    series[3].histograms = vec![HistogramSample { timestamp_ms: START_MS, histogram: Arc::new(histogram(1)) }];
    let (folder, meta) = write(home.path(), 1, &mut series);
    let mut random = StdRng::seed_from_u64(7);
    let mut noticed = 0;
    for name in meta.files.keys().map(String::as_str).chain(["meta.json", "checksums"]) {
        let path = folder.join(name);
        let whole = fs::read(&path).unwrap();
        for attempt in 0..25 {
            let mut broken = whole.clone();
            let place = random.random_range(0..whole.len());
            if attempt % 5 == 0 {
                broken.truncate(place);
            } else {
                broken[place] ^= 1 << random.random_range(0..8);
            }
            fs::write(&path, &broken).unwrap();
            let (blocks, found) = Blocks::open(home.path()).unwrap();
            let answer = blocks.select(&[], (i64::MIN, i64::MAX), &Unmetered);
            match answer {
                _ if found.damaged == 1 => noticed += 1,
                Err(SelectError::Block { path, message }) => {
                    noticed += 1;
                    assert!(path.ends_with(name), "{name}: {} {message}", path.display());
                }
                Err(SelectError::Refused) => panic!("nobody refused"),
                Ok(answer) => assert_eq!(merge::series(answer), series, "{name} at {place}"),
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(noticed >= 120, "{noticed}");
    let (_, found) = Blocks::open(home.path()).unwrap();
    assert_eq!((found.blocks, found.damaged), (1, 0));
}

struct Limit(AtomicU64);

impl Meter for Limit {
    fn take(&self, samples: usize) -> Result<(), SelectError> {
        let seen = self.0.fetch_add(samples as u64, Ordering::Relaxed) + samples as u64;
        if seen > 1_000 { Err(SelectError::Refused) } else { Ok(()) }
    }
}

#[test]
fn a_query_may_stop_before_the_samples_are_read() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), 1, &mut counted(10, 500));
    let (blocks, _) = Blocks::open(home.path()).unwrap();
    let limit = Limit(AtomicU64::new(0));
    let stopped = blocks.select(&[], (i64::MIN, i64::MAX), &limit);
    assert_eq!(stopped, Err(SelectError::Refused));
    assert!(limit.0.load(Ordering::Relaxed) <= 2_000);
}

/// Counters, gauges and histograms as services print them, with noise; and what the same samples take as chunks of the kind
/// that Prometheus keeps, with nothing for its index.
#[test]
fn takes_at_most_six_tenths_of_prometheus_chunks() {
    const SAMPLES: i64 = 480;
    let mut random = StdRng::seed_from_u64(1);
    let mut series = Vec::new();
    for target in 0..20 {
        let offset = random.random_range(0..15_000);
        let mut add = |name: String, le: &str, value: &mut dyn FnMut(&mut StdRng) -> f64| {
            let labels = Labels::new([
                ("__name__", name),
                ("instance", format!("10.0.0.{target}:8080")),
                ("job", format!("service-{}", target % 5)),
                ("le", le.to_owned()),
            ]);
            let at = |i: i64| START_MS + offset + i * 15_000;
            let samples = (0..SAMPLES).map(|i| Sample { timestamp_ms: at(i), value: value(&mut random) }).collect();
            series.push(SeriesSamples::floats(labels, samples));
        };
        for (metric, most) in [1u32, 10, 100, 2_000].into_iter().cycle().take(12).enumerate() {
            let mut count = 1e6;
            add(format!("requests_{metric}_total"), "", &mut |random| {
                count += f64::from(random.random_range(0..=most));
                count
            });
        }
        for bucket in 0..24 {
            let mut count = 0.0;
            add(format!("latency_{}_bucket", bucket / 12), &format!("{}", bucket % 12), &mut |random| {
                count += f64::from(random.random_range(0..=4 * (bucket % 12 + 1)));
                count
            });
        }
        for gauge in 0..6 {
            add(format!("temperature_{gauge}"), "", &mut |random| f64::from(random.random_range(2_000..6_000)) / 100.0);
            add(format!("workers_{gauge}"), "", &mut |_| f64::from(gauge));
        }
    }
    let home = tempfile::tempdir().unwrap();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut writer = BlockWriter::create(home.path(), meta(1), ROWS_PER_GROUP).unwrap();
    for one in &series {
        writer.push(&one.labels, &one.samples, &[]).unwrap();
    }
    let (_, meta) = writer.finish().unwrap().unwrap();
    let chunks: usize = series.iter().flat_map(|one| one.samples.chunks(120)).map(chunk_bytes).sum();
    let per_sample = |bytes: f64| bytes / meta.stats.num_samples as f64;
    let (ours, theirs) = (per_sample(meta.bytes() as f64), per_sample(chunks as f64));
    println!("bytes a sample: block {ours:.3}, XOR chunks {theirs:.3}, ratio {:.2}", ours / theirs);
    assert!(ours <= 0.6 * theirs, "{ours} {theirs} {:?}", meta.files);
}

fn chunk_bytes(samples: &[Sample]) -> usize {
    let mut chunk = OpenChunk::new(samples[0]);
    samples[1..].iter().for_each(|sample| chunk.push(*sample));
    chunk.seal().size() - size_of::<crate::store::chunk::Chunk>()
}

/// Not a test of its own: seals a file of OpenMetrics text, sorted or not, and says what the block takes.
/// `PLIMSOLL_OPENMETRICS=FILE PLIMSOLL_BLOCKS=FOLDER cargo test -p collector seals_a_file -- --nocapture`
#[test]
fn seals_a_file_of_openmetrics() {
    let (Some(file), Some(home)) = (std::env::var_os("PLIMSOLL_OPENMETRICS"), std::env::var_os("PLIMSOLL_BLOCKS"))
    else {
        return;
    };
    let mut series: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
    let text = fs::read_to_string(file).unwrap();
    let mut known: HashMap<&str, Labels> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (rest, seconds) = line.rsplit_once(' ').unwrap();
        let (name, value) = rest.rsplit_once(' ').unwrap();
        let labels = known.entry(name).or_insert_with(|| {
            let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
            let labels = labels.trim_end_matches('}').split_terminator("\",").filter_map(|pair| pair.split_once("=\""));
            Labels::new(labels.map(|(n, v)| (n, v.trim_end_matches('"'))).chain([("__name__", metric)]))
        });
        let timestamp_ms = (seconds.parse::<f64>().unwrap() * 1000.0).round() as i64;
        series.entry(labels.clone()).or_default().push(Sample { timestamp_ms, value: value.parse().unwrap() });
    }
    let home = PathBuf::from(home);
    fs::create_dir_all(&home).unwrap();
    let started = Instant::now();
    let mut writer = BlockWriter::create(&home, meta(u128::from(std::process::id())), ROWS_PER_GROUP).unwrap();
    for (labels, samples) in &mut series {
        samples.sort_by_key(|sample| sample.timestamp_ms);
        writer.push(labels, samples, &[]).unwrap();
    }
    let (folder, meta) = writer.finish().unwrap().unwrap();
    let per_sample = |bytes: u64| bytes as f64 / meta.stats.num_samples as f64;
    println!("{}: {:?} in {:?}", folder.display(), meta.stats, started.elapsed());
    println!("bytes a sample {:.3}; by file {:?}", per_sample(meta.bytes()), meta.files);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_comes_back_to_the_bit(
        given in prop::collection::vec(prop::collection::btree_map(any::<i64>(), any::<u64>(), 0..300), 1..8),
        start in any::<i64>(), end in any::<i64>()
    ) {
        let home = tempfile::tempdir().unwrap();
        let one = |(i, samples): (usize, &BTreeMap<i64, u64>)| {
            let sample = |(time, bits): (&i64, &u64)| Sample { timestamp_ms: *time, value: f64::from_bits(*bits) };
            SeriesSamples::floats(labels(&i.to_string(), "\u{1f6a2} \" = ,"), samples.iter().map(sample).collect())
        };
        let mut series: Vec<SeriesSamples> = given.iter().enumerate().map(one).collect();
        let mut writer = BlockWriter::create(home.path(), meta(1), 256).unwrap();
        for one in &series {
            writer.push(&one.labels, &one.samples, &[]).unwrap();
        }
        let written = writer.finish().unwrap();
        let (blocks, _) = Blocks::open(home.path()).unwrap();
        series.retain(|one| !one.is_empty());
        prop_assert_eq!(written.is_some(), !series.is_empty());
        let bits = |series: &[SeriesSamples]| -> Vec<_> {
            let sample = |sample: &Sample| (sample.timestamp_ms, sample.value.to_bits());
            series.iter().map(|one| (one.labels.clone(), one.samples.iter().map(sample).collect::<Vec<_>>())).collect()
        };
        let whole: Vec<_> = blocks.list().iter().flat_map(|block| {
            let index = block.index().unwrap();
            let all: Vec<u32> = (0..index.table().len() as u32).collect();
            block.read(&index, &all, (i64::MIN, i64::MAX), |_| Ok::<(), BlockError>(())).unwrap()
        }).collect();
        prop_assert_eq!(bits(&whole), bits(&series));
        for one in &mut series {
            one.samples.retain(|sample| (start..=end).contains(&sample.timestamp_ms));
        }
        series.retain(|one| !one.is_empty());
        prop_assert_eq!(bits(&select(&blocks, &[], (start, end))), bits(&series));
    }
}
