//! Side by side with a real Prometheus on the demo's own scrape configuration. Needs one: `PROMETHEUS=/path/to/prometheus`
//! or `prometheus` on the PATH; without it the comparison is skipped, loudly.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::process::{Demo, query, skipped, turn, vector, wait_until};

/// What both are asked: issue-free PromQL that every dashboard uses.
const QUERY: &str = "sum by (service) (rate(http_server_request_duration_seconds_count[1m]))";

/// The two scrape the same counters at other moments of each second, so a minute's rate differs by what arrived in less
/// than a second at each end.
const AGREEMENT: f64 = 0.01;

/// Moments at which both are asked; their mean is compared.
const MOMENTS: u32 = 20;

struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    fn start(config: &str, data: &std::path::Path) -> Option<Self> {
        let binary = std::env::var("PROMETHEUS").unwrap_or_else(|_| "prometheus".to_owned());
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(binary)
            .args([format!("--config.file={config}"), format!("--web.listen-address={address}")])
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, url: format!("http://{address}") })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shop with its policies switched off: a real Prometheus sees a new replica up to 5 s late, and what the replica served
/// until then is in nobody's rate.
fn manifests_that_do_not_scale() -> tempfile::TempDir {
    let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/shop");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    for (from, to) in [("base", ""), ("policies", "policies")] {
        for entry in fs::read_dir(shop.join(from)).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                let text = fs::read_to_string(&file).unwrap().replace("mode: Auto", "mode: \"Off\"");
                fs::write(folder.path().join(to).join(file.file_name().unwrap()), text).unwrap();
            }
        }
    }
    folder
}

fn mean_rates(url: &str, moments: &[f64]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for at in moments {
        for (service, rate) in vector(query(url, QUERY, Some(*at)), "service") {
            *sums.entry(service).or_default() += rate / moments.len() as f64;
        }
    }
    sums
}

#[test]
fn a_real_prometheus_with_the_same_configuration_agrees() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let manifests = manifests_that_do_not_scale();
    let demo = Demo::start(&[
        "--seconds",
        "600",
        "--profile",
        "steady",
        "--rate",
        "20",
        "--data",
        data,
        "--manifests",
        manifests.path().to_str().unwrap(),
    ]);
    let config = folder.path().join("scrape.yml");
    let Some(prometheus) = Prometheus::start(config.to_str().unwrap(), &folder.path().join("prometheus")) else {
        skipped("no prometheus found (PROMETHEUS=/path/to/prometheus), nothing was compared");
        return;
    };
    let full = "count(count_over_time(up{job=\"shop\"}[1m]) >= 59)";
    wait_until("both have a full minute", Duration::from_secs(150), || {
        [&demo.collector, &prometheus.url].iter().all(|url| {
            std::panic::catch_unwind(|| vector(query(url, full, None), "")).is_ok_and(|v| v.get("") >= Some(&10.0))
        })
    });
    std::thread::sleep(Duration::from_secs(u64::from(MOMENTS)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - 2.0;
    let moments: Vec<f64> = (0..MOMENTS).map(|i| now - f64::from(i)).collect();
    let (ours, theirs) = (mean_rates(&demo.collector, &moments), mean_rates(&prometheus.url, &moments));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (service, rate) in &theirs {
        let difference = (ours[service] - rate).abs() / rate;
        println!("{service}: ours {:.3}/s, Prometheus {rate:.3}/s, apart {:.2} %", ours[service], difference * 100.0);
        assert!(difference <= AGREEMENT, "{service}: ours {}, Prometheus {rate}", ours[service]);
    }
}
