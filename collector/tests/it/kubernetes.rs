//! Targets from an API server that answers, refuses, forgets and falls silent; configurations that change under way.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use collector::{Collector, Shard};
use lifecycle::CancellationToken;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fake_api::{FakeApi, Mode};
use crate::running::{Running, Target, options};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(15);

/// Set in the process that is to be killed: the folder with its configuration.
const FOLDER: &str = "PLIMSOLL_TEST_COLLECTOR";

const GLOBAL: &str = "global: { scrape_interval: 100ms }\nscrape_configs:\n";

/// Pods that print their number.
async fn started(tasks: &mut JoinSet<()>, api: &FakeApi, count: usize) -> Vec<Target> {
    let mut all = Vec::new();
    for number in 0..count {
        let target = Target::start(tasks).await;
        target.prints(&format!("a {number}\n"));
        api.add(&format!("pod-{number}"), &target.address);
        all.push(target);
    }
    all
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn metric(running: &Running, line: &str) -> bool {
    running.get("/metrics").await.1.lines().any(|found| found == line)
}

#[tokio::test]
async fn pods_are_scraped_from_when_they_come_until_they_go() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    let pods = started(&mut tasks, &api, 2).await;
    let running = Running::start(&mut tasks, folder.path(), &format!("{GLOBAL}{}", api.job("t"))).await;
    running.becomes("sum(a)", 1.0).await;
    let late = Target::start(&mut tasks).await;
    late.prints("a 5\n");
    api.add("late", &late.address);
    running.becomes("a{pod=\"late\"}", 5.0).await;
    api.remove("pod-1");
    running.ends("up{pod=\"pod-1\"}").await;
    // A pod that moves is another target under the same name.
    api.add("pod-0", &pods[1].address);
    running.becomes("a{pod=\"pod-0\"}", 1.0).await;
    assert_eq!(api.lists.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_last_known_targets_are_scraped_while_the_api_server_is_away() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    let pods = started(&mut tasks, &api, 1).await;
    let running = Running::start(&mut tasks, folder.path(), &format!("{GLOBAL}{}", api.job("t"))).await;
    running.becomes("a", 0.0).await;
    assert!(metric(&running, "plimsoll_collector_kubernetes_watches{state=\"following\"} 1").await);
    api.set_mode(Mode::Down);
    let failing = "plimsoll_collector_kubernetes_watches{state=\"failing\"} 1";
    until("the failure is told", async || metric(&running, failing).await).await;
    let late = Target::start(&mut tasks).await;
    late.prints("a 7\n");
    api.add("late", &late.address);
    pods[0].prints("a 3\n");
    running.becomes("a", 3.0).await;
    assert_eq!(running.get("/readyz").await.0, 200);
    api.set_mode(Mode::Well);
    running.becomes("a{pod=\"late\"}", 7.0).await;
    running.becomes("count(up)", 2.0).await;
    let following = "plimsoll_collector_kubernetes_watches{state=\"following\"} 1";
    until("the recovery is told", async || metric(&running, following).await).await;
}

#[tokio::test]
async fn who_starts_while_the_api_server_is_away_says_so_and_finds_the_targets_when_it_is_back() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    started(&mut tasks, &api, 1).await;
    api.set_mode(Mode::Down);
    let running = Running::start(&mut tasks, folder.path(), &format!("{GLOBAL}{}", api.job("t"))).await;
    for path in ["/readyz", "/-/ready"] {
        until("what is missing is said", async || {
            let (code, text) = running.get(path).await;
            assert_eq!(code, 200, "queries and traces need no targets: {text}");
            text.contains("note: pods") && text.contains("targets cannot be found yet")
        })
        .await;
    }
    api.set_mode(Mode::Well);
    // Two tries may lie 10 s apart (PAUSE_MAX), and one may take 5 s to fail.
    running.becomes("a", 0.0).await;
    until("nothing is missing", async || running.get("/readyz").await.1 == "ok\n").await;
    assert_eq!(running.get("/-/healthy").await.1, "ok\n");
}

#[tokio::test]
async fn a_missing_right_is_asked_for_seldom_and_used_when_it_is_granted_elsewhere() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let (forbidding, granting) = (FakeApi::start(&mut tasks).await, FakeApi::start(&mut tasks).await);
    forbidding.set_mode(Mode::Forbidden);
    started(&mut tasks, &granting, 1).await;
    let config = format!("{GLOBAL}{}{}", forbidding.job("f"), granting.job("g"));
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("a", 0.0).await;
    running.becomes("count_over_time(up[1m]) >= bool 20", 1.0).await;
    assert_eq!(forbidding.requests.load(Ordering::Relaxed), 1, "two seconds have passed");
    assert!(metric(&running, "plimsoll_collector_kubernetes_watches{state=\"failing\"} 1").await);
}

#[tokio::test]
async fn a_watch_that_fell_behind_begins_anew_without_a_target_lost() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    started(&mut tasks, &api, 1).await;
    let running = Running::start(&mut tasks, folder.path(), &format!("{GLOBAL}{}", api.job("t"))).await;
    running.becomes("a", 0.0).await;
    api.forget();
    until("it is listed again", async || api.lists.load(Ordering::Relaxed) == 2).await;
    let late = Target::start(&mut tasks).await;
    late.prints("a 7\n");
    api.add("late", &late.address);
    running.becomes("a{pod=\"late\"}", 7.0).await;
    running.becomes("max(max_over_time(up[1m])) - min(min_over_time(up[1m]))", 0.0).await;
    assert!(metric(&running, "plimsoll_collector_kubernetes_watch_failures_total 0").await);
}

#[tokio::test]
async fn jobs_that_look_at_the_same_pods_share_one_watch_until_the_last_is_gone() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    started(&mut tasks, &api, 1).await;
    let config = format!("{GLOBAL}{}{}", api.job("one"), api.job("two"));
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("count(a)", 2.0).await;
    assert_eq!(api.lists.load(Ordering::Relaxed), 1);
    let file = folder.path().join("scrape.yml");
    std::fs::write(&file, format!("{GLOBAL}{}", api.job("two"))).unwrap();
    assert_eq!(running.post("/-/reload").await.0, 200);
    running.ends("a{job=\"one\"}").await;
    assert!(metric(&running, "plimsoll_collector_kubernetes_watches{state=\"following\"} 1").await);
    std::fs::write(&file, "scrape_configs: []\n").unwrap();
    assert_eq!(running.post("/-/reload").await.0, 200);
    running.ends("a").await;
    let none = "plimsoll_collector_kubernetes_watches{state=\"following\"} 0";
    until("the watch ends", async || metric(&running, none).await).await;
    assert_eq!(api.lists.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_reload_touches_only_what_changed_and_a_bad_file_nothing() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let (one, two) = (Target::start(&mut tasks).await, Target::start(&mut tasks).await);
    one.prints("a 1\n");
    two.prints("a 2\n");
    let job = |name: &str, address: &str, more: &str| {
        format!("- job_name: {name}\n{more}  static_configs: [{{ targets: [{address:?}] }}]\n")
    };
    let first = format!("{GLOBAL}{}{}", job("kept", &one.address, ""), job("gone", &two.address, ""));
    let running = Running::start(&mut tasks, folder.path(), &first).await;
    running.becomes("sum(a)", 3.0).await;
    let file = folder.path().join("scrape.yml");
    std::fs::write(&file, "scrape_configs: [{}]\n").unwrap();
    let (status, reason) = running.post("/-/reload").await;
    assert!(status == 500 && reason.contains("scrape.yml: document 1: scrape_configs[0]"), "{reason}");
    assert!(metric(&running, "plimsoll_collector_config_last_reload_successful 0").await);
    running.becomes("sum(a)", 3.0).await;

    let changed = format!("{GLOBAL}{}", job("kept", &one.address, "  params: { x: [y] }\n"));
    std::fs::write(&file, &changed).unwrap();
    assert_eq!(running.post("/-/reload").await.0, 200);
    assert!(metric(&running, "plimsoll_collector_config_last_reload_successful 1").await);
    running.ends("a{job=\"gone\"}").await;
    running.becomes("a{job=\"kept\"}", 1.0).await;
    assert!(running.get("/api/v1/status/config").await.1.contains("params"));
    assert!(!running.get("/api/v1/targets").await.1.contains("gone"));
}

#[tokio::test]
async fn shards_scrape_each_target_once_and_say_who_does_not() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    started(&mut tasks, &api, 8).await;
    let mut seen = Vec::new();
    for index in 0..3 {
        let folder = folder.path().join(index.to_string());
        std::fs::create_dir(&folder).unwrap();
        let running = Running::start_with(&mut tasks, &folder, &format!("{GLOBAL}{}", api.job("t")), |options| {
            options.shard = Some(Shard::new(index, 3).unwrap());
        })
        .await;
        until("all are told apart", async || {
            let targets = running.all_targets().await;
            targets.active_targets.len() + targets.dropped_targets.len() == 8
        })
        .await;
        let targets = running.all_targets().await;
        assert!(targets.dropped_targets.iter().all(|dropped| dropped.reason == "shard"));
        assert_eq!(targets.dropped_target_counts["t"], targets.dropped_targets.len() as u64);
        let shard = format!("plimsoll_collector_targets_dropped{{reason=\"shard\"}} {}", targets.dropped_targets.len());
        assert!(metric(&running, &shard).await);
        seen.extend(targets.active_targets.into_iter().map(|target| target.labels["pod"].clone()));
    }
    seen.sort();
    let all: Vec<String> = (0..8).map(|number| format!("pod-{number}")).collect();
    assert_eq!(seen, all);
}

/// Not a test of its own: runs a collector until it is killed.
#[tokio::test]
async fn collects_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let collector = Collector::bind(options(&folder.join("scrape.yml"), folder)).await.unwrap();
    std::fs::write(folder.join("address"), collector.endpoints().http.to_string()).unwrap();
    collector.run(CancellationToken::new()).await.unwrap();
}

/// A collector in a process of its own, and a client of it.
struct Process {
    child: Child,
    client: protocol::prometheus::PrometheusClient,
}

impl Process {
    async fn start(folder: &Path) -> Self {
        let file = folder.join("address");
        let _ = std::fs::remove_file(&file);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["kubernetes::collects_until_killed", "--exact"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("the collector is up", async || std::fs::read_to_string(&file).is_ok_and(|text| !text.is_empty())).await;
        let address = std::fs::read_to_string(&file).unwrap();
        let client = protocol::prometheus::PrometheusClient::new(format!("http://{address}").parse().unwrap());
        Self { child, client }
    }

    /// How many samples there are of the only series `a`, from when and until when.
    async fn samples(&self) -> [f64; 3] {
        let mut found = [0.0; 3];
        for (i, query) in ["count_over_time(a[5m])", "timestamp(a)", "max(up)"].into_iter().enumerate() {
            if let Ok(protocol::prometheus::QueryData::Vector(series)) = self.client.query(query, None).await {
                found[i] = series.first().map_or(0.0, |series| series.value.value());
            }
        }
        found
    }
}

#[tokio::test]
async fn a_killed_collector_loses_no_more_than_its_downtime() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let api = FakeApi::start(&mut tasks).await;
    started(&mut tasks, &api, 1).await;
    std::fs::write(folder.path().join("scrape.yml"), format!("{GLOBAL}{}", api.job("t"))).unwrap();
    let mut first = Process::start(folder.path()).await;
    until("it scrapes", async || first.samples().await[0] >= 10.0).await;
    let before = first.samples().await;
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut second = Process::start(folder.path()).await;
    let after = second.samples().await;
    assert!(after[0] >= before[0], "samples were lost: {before:?} {after:?}");
    until("it scrapes on", async || second.samples().await[0] >= before[0] + 10.0).await;
    second.child.kill().unwrap();
    second.child.wait().unwrap();
}
