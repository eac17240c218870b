//! What a target prints is what the API answers; what it stops printing ends.

use axum::Router;
use axum::routing::get;
use collector::{Collector, StartError};
use tokio::task::JoinSet;

use crate::running::{Running, Target, options, scrape};

#[tokio::test]
async fn what_is_printed_can_be_queried() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.prints("# TYPE a counter\na_total{b=\"c\"} 7\n");
    let running = Running::start(&mut tasks, folder.path(), &scrape(&[&target.address])).await;
    running.becomes("a_total", 7.0).await;
    running.becomes("up", 1.0).await;
    running.becomes("scrape_samples_scraped", 1.0).await;
    running.becomes("scrape_series_added", 0.0).await;
    let (labels, _) = running.query("a_total").await.remove(0);
    let wanted = [("__name__", "a_total"), ("b", "c"), ("instance", target.address.as_str()), ("job", "t")];
    assert_eq!(labels, wanted.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
    let headers = target.last_headers();
    assert!(headers["accept"].to_str().unwrap().starts_with("application/openmetrics-text;version=1.0.0"));
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.1");
    assert_eq!(headers["accept-encoding"], "gzip");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("Plimsoll/"));
    assert_eq!(running.stats.stats().targets_up, 1);
}

#[tokio::test]
async fn a_series_ends_when_it_vanishes_and_all_end_when_the_target_fails() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\nb 2\n");
    let running = Running::start(&mut tasks, folder.path(), &scrape(&[&target.address])).await;
    running.becomes("b", 2.0).await;
    target.prints("a 1\n");
    running.ends("b").await;
    running.becomes("a", 1.0).await;
    target.fails();
    running.ends("a").await;
    running.becomes("up", 0.0).await;
    let view = running.client.targets().await.unwrap().active_targets.remove(0);
    assert_eq!((view.health.as_str(), view.last_error.contains("500")), ("down", true));
    target.prints("a 3\n");
    running.becomes("a", 3.0).await;
}

#[tokio::test]
async fn a_bad_line_is_shown_and_the_good_ones_are_kept() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.prints_as("application/openmetrics-text; version=1.0.0", "a 1\nnonsense{\nb 2\n# EOF\n");
    let running = Running::start(&mut tasks, folder.path(), &scrape(&[&target.address])).await;
    running.becomes("b", 2.0).await;
    running.becomes("a", 1.0).await;
    let view = running.client.targets().await.unwrap().active_targets.remove(0);
    assert_eq!((view.health.as_str(), view.last_scrape_samples, view.last_scrape_problems), ("up", 2, 1));
    assert_eq!(view.last_problem, "line 2: the labels have no closing brace: nonsense{");
    target.prints_as("text/html", "a 1\n");
    running.becomes("up", 0.0).await;
    let view = running.client.targets().await.unwrap().active_targets.remove(0);
    assert_eq!(
        view.last_error,
        "the target's Content-Type is \"text/html\", which is no format for metrics; if they are in one nevertheless, name it in \
         fallback_scrape_protocol"
    );
}

#[tokio::test]
async fn gzip_is_read_and_limited_by_what_comes_out() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.compresses();
    target.prints("a 1\n");
    let config = format!("{}  body_size_limit: 10KB\n", scrape(&[&target.address]));
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("a", 1.0).await;
    target.prints(&"# a bomb\n".repeat(10_000));
    running.becomes("up", 0.0).await;
    let view = running.client.targets().await.unwrap().active_targets.remove(0);
    assert_eq!(view.last_error, "the text is longer than body_size_limit (10240 bytes)");
}

#[tokio::test]
async fn discovered_targets_come_and_go() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Target::start(&mut tasks).await, Target::start(&mut tasks).await);
    one.prints("a 1\n");
    two.prints("a 2\n");
    let list = std::sync::Arc::new(parking_lot::Mutex::new(String::new()));
    let group = |address: &str| format!("{{\"targets\":[{address:?}],\"labels\":{{\"__meta_pod\":\"p-{address}\"}}}}");
    *list.lock() = format!("[{},{}]", group(&one.address), group(&two.address));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sd = listener.local_addr().unwrap();
    let answer = list.clone();
    let routes = Router::new().route("/sd", get(move || async move { answer.lock().clone() }));
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let config = format!(
        "global: {{ scrape_interval: 100ms }}\nscrape_configs:\n- job_name: t\n  \
         http_sd_configs: [{{ url: 'http://{sd}/sd', refresh_interval: 50ms }}]\n  \
         relabel_configs: [{{ source_labels: [__meta_pod], target_label: pod }}]\n"
    );
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("sum(a)", 3.0).await;
    let pod = format!("p-{}", one.address);
    *list.lock() = format!("[{}]", group(&two.address));
    running.ends(&format!("a{{pod={pod:?}}}")).await;
    running.ends(&format!("up{{pod={pod:?}}}")).await;
    running.becomes("sum(a)", 2.0).await;
    *list.lock() = "broken".to_owned();
    running.becomes("count(up)", 1.0).await;
}

#[tokio::test]
async fn files_of_targets_are_read_again_when_they_change() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\n");
    let file = folder.path().join("targets.yml");
    std::fs::write(&file, "[]").unwrap();
    let config = "global: { scrape_interval: 100ms }\nscrape_configs:\n- job_name: t\n  \
                  file_sd_configs: [{ files: ['targ*.yml'], refresh_interval: 100ms }]\n";
    let running = Running::start(&mut tasks, folder.path(), config).await;
    std::fs::write(&file, format!("- targets: [{:?}]\n  labels: {{ zone: z }}\n", target.address)).unwrap();
    running.becomes("a{zone=\"z\"}", 1.0).await;
}

#[tokio::test]
async fn says_how_it_is_itself() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\n");
    let running = Running::start(&mut tasks, folder.path(), &scrape(&[&target.address])).await;
    running.becomes("up", 1.0).await;
    for path in ["/healthz", "/readyz", "/", "/api/v1/graph", "/api/services", "/api/v1/metadata"] {
        assert_eq!(running.get(path).await.0, 200, "{path}");
    }
    let (_, metrics) = running.get("/metrics").await;
    for name in [
        "plimsoll_collector_samples_appended_total ",
        "plimsoll_collector_samples_dropped_total{reason=\"out_of_order\"} 0",
        "plimsoll_collector_scrapes_total{outcome=\"succeeded\"}",
        "plimsoll_collector_head_series ",
        "plimsoll_collector_targets{health=\"up\"} 1",
        "plimsoll_collector_wal_bytes ",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert_eq!(collector::exposition::strict_openmetrics(&metrics), Ok(()), "{metrics}");
}

#[tokio::test]
async fn a_wrong_start_names_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scrape.yml");
    let message =
        |result: Result<Collector, StartError>| result.err().map(|error| error.to_string()).unwrap_or_default();
    let missing = message(Collector::bind(options(&file, folder.path())).await);
    assert!(missing.contains("scrape.yml: cannot be read"), "{missing}");
    std::fs::write(&file, "scrape_configs: []\n").unwrap();
    let first = Collector::bind(options(&file, folder.path())).await.unwrap();
    let in_use = message(Collector::bind(options(&file, folder.path())).await);
    assert!(in_use.contains("in use by another collector") && in_use.contains("--data"), "{in_use}");
    let mut taken = options(&file, folder.path());
    taken.listen = first.endpoints().http;
    taken.listen_flag = "--collector";
    let taken = message(Collector::bind(taken).await);
    assert!(taken.ends_with("choose another address with --collector"), "{taken}");
}
