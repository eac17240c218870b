//! Limits keep one target, or one job, from harming the others, and say so where one looks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use collector::Collector;
use lifecycle::CancellationToken;
use protocol::prometheus::{ActiveTarget, PrometheusClient, QueryData};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::process::Process;
use crate::prometheus::Prometheus;
use crate::running::{Running, Target, options};

/// Set in the process whose memory is measured: its folder.
const FOLDER: &str = "PLIMSOLL_TEST_LIMITS_FOLDER";

/// Longer than the explosion takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(40);

/// Series of the target that explodes, before and while it does.
const SERIES: [usize; 2] = [1_000, 100_000];

/// Its limit.
const SERIES_LIMIT: usize = 2_000;

/// What the explosion may cost: requirement A-5.
const MEMORY_KIB_MAX: u64 = 64 << 10;

/// Not a test of its own: a collector that runs until it is killed, and says where it is reached.
#[test]
fn collects_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let collector = Collector::bind(options(&folder.join("scrape.yml"), folder)).await.unwrap();
        println!("listens {}", collector.endpoints().http);
        collector.run(CancellationToken::new()).await.unwrap();
    });
}

/// A collector in a process of its own.
struct Measured {
    process: Process,
    client: PrometheusClient,
}

impl Measured {
    fn start(folder: &Path, config: &str) -> Self {
        std::fs::write(folder.join("scrape.yml"), config).unwrap();
        let process = Process::start("limits::collects_until_killed", FOLDER, folder);
        let client = PrometheusClient::new(format!("http://{}", process.address).parse().unwrap());
        Self { process, client }
    }

    async fn becomes(&self, query: &str, value: f64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.client.query(query, None).await.unwrap();
            if matches!(&found, QueryData::Vector(series) if series.len() == 1 && series[0].value.value() == value) {
                return;
            }
            assert!(Instant::now() < deadline, "{query} did not become {value}: {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The target of a job, once it is as wanted.
    async fn target(&self, job: &str, wanted: impl Fn(&ActiveTarget) -> bool) -> ActiveTarget {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.client.targets().await.unwrap().active_targets;
            let found = found.into_iter().find(|target| target.scrape_pool == job);
            if let Some(target) = found.as_ref().filter(|target| wanted(target)) {
                return target.clone();
            }
            assert!(Instant::now() < deadline, "{found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Resident memory: `VmRSS` now, `VmHWM` the most so far.
    fn kib(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
    }
}

/// The old series come last: whoever takes in what comes first would lose them.
fn requests(count: usize) -> String {
    let line = |i: usize| format!("requests_total{{old=\"{}\",request_id=\"{i:024}\"}} {i}\n", i < SERIES[0]);
    format!("# TYPE requests_total counter\n{}", (0..count).rev().map(line).collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_explodes_sheds_its_new_series_and_harms_nobody() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let exploding = Target::start(&mut tasks).await;
    exploding.prints(&requests(SERIES[0]));
    let mut neighbours = Vec::new();
    for _ in 0..4 {
        let neighbour = Target::start(&mut tasks).await;
        neighbour.prints(&(0..50).map(|i| format!("n{{i=\"{i}\"}} 1\n")).collect::<String>());
        neighbours.push(neighbour.address.clone());
    }
    let process = Measured::start(
        folder.path(),
        &format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n\
             - {{ job_name: neighbours, static_configs: [{{ targets: {neighbours:?} }}] }}\n\
             - {{ job_name: exploding, scrape_timeout: 900ms, series_limit: {SERIES_LIMIT}, \
             static_configs: [{{ targets: [{:?}] }}] }}\n",
            exploding.address
        ),
    );
    process.becomes("count(up == 1)", 5.0).await;
    process.becomes("scrape_series_current", SERIES[0] as f64).await;
    process.becomes("scrape_series_limit_samples_dropped", 0.0).await;
    let before = process.kib("VmRSS");

    exploding.prints(&requests(SERIES[1]));
    let shed = SERIES[1] - SERIES_LIMIT;
    process.becomes("scrape_series_limit_samples_dropped", shed as f64).await;
    process.becomes("count(requests_total)", SERIES_LIMIT as f64).await;
    process.becomes("count(requests_total{old=\"true\"})", SERIES[0] as f64).await;
    process.becomes("sum(sum_over_time(scrape_samples_scraped{job=\"exploding\"}[5m])) > bool 250000", 1.0).await;
    let grown = process.kib("VmHWM") - before;
    assert!(grown <= MEMORY_KIB_MAX, "{grown} KiB more");

    let view = process.target("exploding", |target| target.last_scrape_series_shed > 0).await;
    assert_eq!((view.health.as_str(), view.last_scrape_series), ("up", SERIES_LIMIT as u64));
    assert_eq!((view.series_limit, view.last_scrape_series_shed), (SERIES_LIMIT as u64, shed as u64));
    let wanted = format!(
        "{shed} samples of new series were not stored, because the target's series_limit is {SERIES_LIMIT}; the first: line 1002: \
         there is no room for this series: requests_total{{old=\"false\",request_id="
    );
    assert!(view.last_shed.starts_with(&wanted), "{}", view.last_shed);
    assert!(view.last_shed.ends_with("or raise series_limit."), "{}", view.last_shed);

    exploding.prints(&requests(SERIES[0]));
    let view = process.target("exploding", |target| target.last_scrape_series_shed == 0).await;
    assert_eq!((view.last_shed.as_str(), view.last_scrape_series), ("", SERIES[0] as u64));
    no_scrape_was_missed(&process).await;
}

/// Samples of the neighbours have come each second.
async fn no_scrape_was_missed(process: &Measured) {
    process.becomes("min(min_over_time(up{job=\"neighbours\"}[5m]))", 1.0).await;
    let QueryData::Matrix(series) = process.client.query("n[5m]", None).await.unwrap() else { panic!() };
    assert_eq!(series.len(), 200);
    for one in series {
        let times: Vec<f64> = one.values.iter().map(protocol::prometheus::Point::seconds).collect();
        let whole = times.windows(2).all(|pair| pair[1] - pair[0] < 1.9);
        assert!(whole && times.len() > 3, "{:?}: {times:?}", one.metric);
    }
}

#[tokio::test]
async fn a_job_with_too_many_targets_has_none_until_they_are_fewer() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let (one, two) = (Target::start(&mut tasks).await, Target::start(&mut tasks).await);
    one.prints("a 1\n");
    two.prints("a 1\n");
    let config = |limit: usize, addresses: &[&str]| {
        format!(
            "global: {{ scrape_interval: 100ms, target_limit: {limit} }}\nscrape_configs:\n- job_name: t\n  \
             static_configs: [{{ targets: {addresses:?} }}]\n"
        )
    };
    let both = [one.address.as_str(), two.address.as_str()];
    let running = Running::start(&mut tasks, folder.path(), &config(2, &both)).await;
    running.becomes("sum(a)", 2.0).await;
    for (limit, addresses, up) in [(1, &both[..], 0.0), (1, &both[..1], 1.0), (2, &both[..], 2.0)] {
        std::fs::write(folder.path().join("scrape.yml"), config(limit, addresses)).unwrap();
        assert_eq!(running.post("/-/reload").await.0, 200);
        running.becomes("sum(up)", up).await;
        if up == 0.0 {
            running.ends("a").await;
            for target in running.client.targets().await.unwrap().active_targets {
                assert_eq!(target.last_error, "target_limit exceeded (number of targets: 2, limit: 1)");
            }
        }
    }
    running.becomes("sum(a)", 2.0).await;
}

#[tokio::test]
async fn another_configuration_goes_on_with_the_series_that_there_are() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\n");
    let config = |rest: &str| {
        let address = &target.address;
        format!(
            "global: {{ scrape_interval: 100ms }}\nscrape_configs:\n- job_name: t\n  series_limit: 1\n  \
             static_configs: [{{ targets: [{address:?}] }}]\n  {rest}\n"
        )
    };
    let running = Running::start(&mut tasks, folder.path(), &config("")).await;
    running.becomes("a", 1.0).await;
    target.prints("b 1\na 2\n");
    running.becomes("scrape_series_limit_samples_dropped", 1.0).await;
    let reload = async |rest: &str| {
        std::fs::write(folder.path().join("scrape.yml"), config(rest)).unwrap();
        assert_eq!(running.post("/-/reload").await.0, 200);
    };
    reload("extra_scrape_metrics: true").await;
    running.becomes("scrape_body_size_bytes", 8.0).await;
    target.prints("b 1\na 3\n");
    running.becomes("a", 3.0).await;
    running.ends("b").await;
    // What the relabelling of before let in ends at once, and so does what only that configuration asked for.
    reload("metric_relabel_configs: [{ source_labels: [__name__], regex: a, action: drop }]").await;
    running.becomes("b", 1.0).await;
    running.ends("a").await;
    running.ends("scrape_body_size_bytes").await;
}

#[tokio::test]
async fn targets_say_how_near_they_are_to_their_limits() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    let text = "a 1\na 2\nb 1\n";
    target.prints(text);
    let config = format!(
        "global: {{ scrape_interval: 100ms, extra_scrape_metrics: true, sample_limit: 7, body_size_limit: 1KB }}\n\
         scrape_configs:\n- job_name: t\n  keep_dropped_targets: 1\n  static_configs: [{{ targets: [{:?}, x:1, y:1] }}]\n  \
         relabel_configs:\n  - {{ source_labels: [__address__], regex: '[xy].*', action: drop }}\n  \
         - {{ target_label: __series_limit__, replacement: '9' }}\n",
        target.address
    );
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    for (query, value) in [
        ("scrape_timeout_seconds", 0.1),
        ("scrape_sample_limit", 7.0),
        ("scrape_body_size_bytes", text.len() as f64),
        ("scrape_series_limit", 9.0),
        ("scrape_series_current", 2.0),
        ("scrape_series_limit_samples_dropped", 0.0),
    ] {
        running.becomes(query, value).await;
    }
    let targets = running.all_targets().await;
    let view = &targets.active_targets[0];
    assert_eq!((view.sample_limit, view.series_limit, view.body_size_limit), (7, 9, 1024));
    assert_eq!((view.last_scrape_samples, view.last_scrape_series, view.last_scrape_bytes), (3, 2, text.len() as u64));
    assert_eq!((targets.dropped_targets.len(), targets.dropped_target_counts["t"]), (1, 2));
    let (_, metrics) = running.get("/metrics").await;
    assert!(!metrics.contains("samples_dropped_total{reason=\"printed_twice\"} 0\n"), "{metrics}");

    target.prints(&"# a long text\n".repeat(100));
    running.becomes("scrape_body_size_bytes", -1.0).await;
    target.fails();
    running.becomes("scrape_body_size_bytes", 0.0).await;
    target.prints(&(0..9).map(|i| format!("c{i} 1\n")).collect::<String>());
    running.becomes("scrape_samples_post_metric_relabeling > 8", 9.0).await;
    running.becomes("up", 0.0).await;
    let (_, metrics) = running.get("/metrics").await;
    assert!(!metrics.contains("samples_dropped_total{reason=\"scrape_failed\"} 0\n"), "{metrics}");
}

/// Jobs with what they say of limits, and what their target prints.
const JOBS: [(&str, &str, &str); 10] = [
    ("free", "honor_labels: false", "a 1\nb 1\n"),
    ("samples", "sample_limit: 2", "a 1\nb 1\nc 1\nd 1\n# HELP e f\ne 1\n"),
    ("samples_as_many_as_may_be", "sample_limit: 2", "a 1\nb 1\n"),
    ("samples_twice", "sample_limit: 2", "a 1\na 2\nb 1\n"),
    (
        "samples_relabelled",
        "sample_limit: 1, metric_relabel_configs: [{ regex: 'x', action: labeldrop }]",
        "a{x=\"1\"} 1\nb 1\n",
    ),
    ("labels", "label_limit: 3", "a 1\nb 1\nc{d=\"1\"} 1\ne 1\n"),
    ("names", "label_name_length_limit: 8", "a 1\nc{long_name=\"1\"} 1\ne 1\n"),
    ("values", "label_value_length_limit: 30", "a 1\nc{d=\"1234567890123456789012345678901234567890\"} 1\n"),
    ("body", "body_size_limit: 30B", "# HELP a 12345678901234567890123456789\na 1\nb 1\n"),
    (
        "dropped",
        "sample_limit: 1, metric_relabel_configs: [{ source_labels: [__name__], regex: b, action: drop }]",
        "a 1\nb 1\n",
    ),
];

/// Automatic series of a target but for `scrape_duration_seconds`, which both are asked for; one job has two targets.
const AUTOMATIC_COUNT: usize = 7;

/// Them all.
const AUTOMATIC: &str =
    "{__name__=~\"up|scrape_samples_.+|scrape_series_added|scrape_(sample_limit|body_size_bytes|timeout_seconds)\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_fail_what_they_fail_in_a_real_prometheus() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let mut jobs = String::new();
    for (name, limits, text) in JOBS {
        let target = Target::start(&mut tasks).await;
        target.prints(text);
        jobs +=
            &format!("- {{ job_name: {name}, {limits}, static_configs: [{{ targets: [{:?}] }}] }}\n", target.address);
    }
    jobs += "- { job_name: targets, target_limit: 1, static_configs: [{ targets: ['h:1', 'h:2'] }] }\n";
    let config = |more: &str| format!("global: {{ scrape_interval: 1s{more} }}\nscrape_configs:\n{jobs}");
    let extra = ["--enable-feature=extra-scrape-metrics"];
    let theirs = Prometheus::start_with(&folder.path().join("prometheus"), &config(""), &extra);
    let Some(theirs) = theirs else { return };
    let running = Running::start(&mut tasks, folder.path(), &config(", extra_scrape_metrics: true")).await;
    let theirs = PrometheusClient::new(format!("http://{}", theirs.address).parse().unwrap());
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (ours, theirs) = (automatic(&running.client).await, automatic(&theirs).await);
        if ours.len() == AUTOMATIC_COUNT * (JOBS.len() + 2) && ours == theirs {
            return;
        }
        let differ = |(series, value): &(&String, &f64)| theirs.get(*series) != Some(value);
        let differ: Vec<_> =
            ours.iter().filter(differ).map(|(series, value)| (series, value, theirs.get(series))).collect();
        assert!(Instant::now() < deadline, "{} and {}: {differ:#?}", ours.len(), theirs.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The values of the automatic series by their labels, once each target was scraped three times; nothing before.
async fn automatic(client: &PrometheusClient) -> BTreeMap<String, f64> {
    let scraped = format!("{AUTOMATIC} and on (instance) count_over_time(up[1m]) > 2");
    match client.query(&scraped, None).await {
        Ok(QueryData::Vector(series)) => {
            series.into_iter().map(|one| (format!("{:?}", one.metric), one.value.value())).collect()
        }
        _ => BTreeMap::new(),
    }
}
